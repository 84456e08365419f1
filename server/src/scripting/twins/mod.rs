//! The client crate's scripts as functions, each the twin of a text.
//!
//! The text is the contract: it runs on every other server, and here too when a call is not of the
//! shape that the client sends, or stored data not of the shape that scripts write, which a twin
//! declines before it has written anything. It makes the same changes in the same order, so that
//! replies, data and effects are the same; the tests beside it compare them. The texts are the client crate's own files, read when this crate is
//! built. A twin names the digest of the text that it was written for: one that changes has no
//! twin, and fails a test, until somebody has changed the twin too.

mod cache;
mod records;
mod sessions;
#[cfg(test)]
mod tests;

use super::native::{NativeCall, NativeError, NativeFunction, Natives};
use super::script::Digest;
use larder_protocol::{CommandError, Reply, number};
use std::sync::LazyLock;

/// A text and its twin.
struct Twin {
    text: &'static str,
    /// The digest of the text that the function was written for.
    digest: &'static str,
    function: NativeFunction,
}

/// All twins. Their texts are digested once, however many nodes a process has.
pub fn all() -> Natives {
    static ALL: LazyLock<Natives> = LazyLock::new(|| {
        let mut natives = Natives::default();
        for twin in [cache::TWINS, records::TWINS, sessions::TWINS].into_iter().flatten() {
            if Digest::of(twin.text.as_bytes()).hex() == twin.digest {
                natives.add(twin.text.as_bytes(), twin.function);
            }
        }
        natives
    });
    ALL.clone()
}

/// What nothing in the place of a number does to a script that counts with it.
const NOT_A_NUMBER: CommandError =
    CommandError::from_static("ERR attempt to perform arithmetic on a nil value");

/// Declines a call with fewer keys or arguments than the text uses.
fn expect(script: &NativeCall<'_>, keys: usize, args: usize) -> Result<(), NativeError> {
    if script.keys().len() < keys || script.args().len() < args {
        return Err(NativeError::Declined);
    }
    Ok(())
}

/// A whole number that Lua counts with exactly, as the client and the scripts write it. To Lua other
/// texts are numbers too, such as `1e3`: what is none here is declined.
fn whole(digits: &[u8]) -> Option<i64> {
    let is_plain = (1..=15).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let is_shortest = digits.len() == 1 || !digits.starts_with(b"0");
    (is_plain && is_shortest).then(|| number::parse_i64(digits)).flatten()
}

/// An argument that is a whole number; another one is declined.
fn whole_arg(script: &NativeCall<'_>, at: usize) -> Result<i64, NativeError> {
    whole(script.args().at(at)).ok_or(NativeError::Declined)
}

/// The string at a key.
fn get(script: &mut NativeCall<'_>, key: &[u8]) -> Result<Option<Vec<u8>>, NativeError> {
    script.call(&[b"GET", key], |reply| reply.as_bytes().map(<[u8]>::to_vec))
}

/// The integer that a command answers.
fn int(script: &mut NativeCall<'_>, command: &[&[u8]]) -> Result<i64, NativeError> {
    script.call(command, |reply| reply.as_i64().unwrap_or_default())
}

/// Runs a command for what it does.
fn run(script: &mut NativeCall<'_>, command: &[&[u8]]) -> Result<(), NativeError> {
    script.call(command, |_: &Reply<'_>| ())
}

/// Eight bytes as a number, as `struct.unpack('>I8')` gives it.
fn unpack(bytes: &[u8]) -> f64 {
    bytes.first_chunk().map_or(0.0, |bytes| u64::from_be_bytes(*bytes) as f64)
}
