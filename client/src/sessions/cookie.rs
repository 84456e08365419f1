//! The header lines of a session's cookie.
//!
//! `__Host-` makes browsers insist on `Secure`, `Path=/` and no `Domain`; the token is for no script
//! and is not sent with requests that other sites cause, but for links that are followed.

use super::token::SessionToken;
use std::time::Duration;

/// The name of the cookie.
pub const NAME: &str = "__Host-sid";

/// The value of `Set-Cookie` that hands a token out. Without `max_age` the cookie ends with the
/// browser; the server's deadlines hold in any case.
///
/// ```
/// use larder_client::sessions::cookie;
/// use larder_client::sessions::token::SessionToken;
///
/// let token = SessionToken::random();
/// let line = cookie::set(&token, None);
/// assert!(line.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax"));
/// let sent_back = format!("theme=dark; {}", line.split(';').next().unwrap_or_default());
/// assert_eq!(cookie::find(&sent_back), Some(token));
/// ```
pub fn set(token: &SessionToken, max_age: Option<Duration>) -> String {
    let age = max_age.map(|age| format!("; Max-Age={}", age.as_secs())).unwrap_or_default();
    format!("{NAME}={}; Path=/; Secure; HttpOnly; SameSite=Lax{age}", token.reveal())
}

/// The value of `Set-Cookie` that takes it back.
pub fn clear() -> String {
    format!("{NAME}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0")
}

/// The token in the value of a `Cookie` header, if there is one that can be a token.
pub fn find(header: &str) -> Option<SessionToken> {
    header.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == NAME).then(|| SessionToken::parse(value.trim_matches('"'))).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_token_is_none() {
        for header in ["", "sid=x", "__Host-sid=", "__Host-sid=short", "a=b; c", "__Host-sid"] {
            assert_eq!(find(header), None, "{header}");
        }
        let token = SessionToken::random();
        let header = format!("__Host-sid=junk; __Host-sid=\"{}\"", token.reveal());
        assert_eq!(find(&header), Some(token), "the first that can be one counts");
        assert!(clear().contains("Max-Age=0"));
    }
}
