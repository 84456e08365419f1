//! AUTH and HELLO.
//!
//! There is one user, `default`, and his password is `requirepass`; without one he is let in
//! whatever password he gives. A password that changes counts for those who authenticate from then
//! on: nobody who is in is thrown out.

use super::{client, quoting};
use crate::config::COMPATIBLE_REDIS_VERSION;
use crate::dispatch::call::{Call, CommandResult};
use larder_protocol::{CommandError, Reply, Version, number};
use std::hint::black_box;
use std::sync::atomic::Ordering;

/// The user that every connection begins as.
pub const DEFAULT_USER: &str = "default";

/// AUTH [username] password
pub fn auth<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let args = call.args;
    match args.len() {
        2 if call.node.config.load().requirepass.is_empty() => {
            return Err(CommandError::NO_PASSWORD_SET);
        }
        2 => authenticate(call, DEFAULT_USER.as_bytes(), args.at(1))?,
        3 => authenticate(call, args.at(1), args.at(2))?,
        _ => return Err(CommandError::SYNTAX),
    }
    Ok(Reply::Ok)
}

/// HELLO [protover [AUTH username password] [SETNAME clientname]]
pub fn hello<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let mut reader = call.args.reader(1);
    let version = match reader.peek() {
        None => None,
        Some(_) => match number::parse_i64(reader.next()) {
            None => return Err(CommandError::PROTO_NOT_INTEGER),
            Some(2) => Some(Version::Resp2),
            Some(3) => Some(Version::Resp3),
            Some(_) => return Err(CommandError::NO_PROTO),
        },
    };
    let (mut credentials, mut name) = (None, None);
    while reader.has_next() {
        let (option, values) = (reader.next(), reader.remaining());
        if option.eq_ignore_ascii_case(b"auth") && values >= 2 {
            credentials = Some((reader.next(), reader.next()));
        } else if option.eq_ignore_ascii_case(b"setname") && values >= 1 {
            let wanted = reader.next();
            client::check_name(wanted)?;
            name = Some(wanted);
        } else {
            return Err(quoting("Syntax error in HELLO option '", option, "'"));
        }
    }
    if let Some((user, password)) = credentials {
        authenticate(call, user, password)?;
    }
    if !call.session.authenticated {
        return Err(CommandError::HELLO_NO_AUTH);
    }
    let session = &mut *call.session;
    if let Some(name) = name {
        session.client.texts.lock().name = name.to_vec();
    }
    if let Some(version) = version {
        session.version = version;
    }
    let protocol = match session.version {
        Version::Resp2 => 2,
        Version::Resp3 => 3,
    };
    session.client.resp.store(protocol, Ordering::Relaxed);
    Ok(Reply::map([
        ("server", Reply::Bulk(b"redis")),
        ("version", Reply::Bulk(COMPATIBLE_REDIS_VERSION.as_bytes())),
        ("proto", Reply::Int(protocol.into())),
        ("id", Reply::Int(session.client.id as i64)),
        ("mode", Reply::Bulk(b"standalone")),
        ("role", Reply::Bulk(b"master")),
        ("modules", Reply::Array(Vec::new())),
    ]))
}

/// Lets the connection in as `user`, or leaves it as it was.
fn authenticate(call: &mut Call<'_>, user: &[u8], password: &[u8]) -> Result<(), CommandError> {
    let settings = call.node.config.load();
    let expected = settings.requirepass.as_bytes();
    let known = user == DEFAULT_USER.as_bytes();
    // The password is compared even for a user who does not exist, so that time tells nothing.
    let matches = expected.is_empty() || is_same_secret(password, expected);
    if !(known && matches) {
        return Err(CommandError::WRONG_PASS);
    }
    call.session.authenticated = true;
    DEFAULT_USER.clone_into(&mut call.session.client.user.lock());
    Ok(())
}

/// Whether two secrets are equal, in a time that depends only on the length of the `given` one: how
/// much of a guess was right cannot be measured.
fn is_same_secret(given: &[u8], expected: &[u8]) -> bool {
    let mut difference = u8::from(given.len() != expected.len());
    // Beyond the end of the expected secret the comparison begins again, so that its length does not
    // show either; the lengths differ then, which is already noted.
    for (given, expected) in given.iter().zip(expected.iter().cycle()) {
        difference = black_box(difference | (given ^ expected));
    }
    difference == 0
}

#[cfg(test)]
mod tests {
    use super::is_same_secret;

    #[test]
    fn secrets() {
        assert!(is_same_secret(b"secret", b"secret"));
        for wrong in [&b""[..], b"s", b"secre", b"Secret", b"secreT", b"secrets", b"secretsecret"] {
            assert!(!is_same_secret(wrong, b"secret"), "{wrong:?}");
        }
        assert!(is_same_secret(b"", b""));
        assert!(!is_same_secret(b"x", b""));
    }
}
