//! A Lua text that runs on the server in one step, known to it by its digest.
//!
//! The digest goes first. A server that does not know it gets the text, once. A Larder node may have
//! a function under the same digest, which does the same without Lua.

use sha1::{Digest, Sha1};

/// A script: its text and the digest that servers know it by.
#[derive(Clone, Debug)]
pub struct Script {
    text: &'static str,
    digest: String,
}

impl Script {
    /// The script of a text.
    pub fn new(text: &'static str) -> Self {
        use std::fmt::Write as _;
        let mut digest = String::with_capacity(40);
        for byte in Sha1::digest(text.as_bytes()) {
            // Writing to a string does not fail.
            let _ = write!(digest, "{byte:02x}");
        }
        Self { text, digest }
    }

    /// The Lua text.
    pub fn text(&self) -> &'static str {
        self.text
    }

    /// The SHA-1 of the text, in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// EVALSHA of it.
    pub(crate) fn by_digest(&self, keys: &[&[u8]], args: &[&[u8]]) -> redis::Cmd {
        command("EVALSHA", &self.digest, keys, args)
    }

    /// EVAL of it, after which the server knows the digest.
    pub(crate) fn by_text(&self, keys: &[&[u8]], args: &[&[u8]]) -> redis::Cmd {
        command("EVAL", self.text, keys, args)
    }
}

/// A script that stands on what those of sessions and records share.
macro_rules! step {
    ($file:literal) => {
        $crate::script::Script::new(concat!(
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/scripts/steps.lua")),
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/scripts/", $file))
        ))
    };
}
pub(crate) use step;

fn command(name: &str, script: &str, keys: &[&[u8]], args: &[&[u8]]) -> redis::Cmd {
    let bytes: usize = keys.iter().chain(args).map(|part| part.len()).sum();
    let mut command =
        redis::Cmd::with_capacity(keys.len() + args.len() + 3, bytes + script.len() + 16);
    command.arg(name).arg(script).arg(keys.len());
    for part in keys.iter().chain(args) {
        command.arg(*part);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_the_servers() {
        // `redis-cli script load "return 1"`
        assert_eq!(Script::new("return 1").digest(), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
    }

    #[test]
    fn commands_carry_keys_before_arguments() {
        let packed = Script::new("return 1").by_text(&[b"k"], &[b"a", b""]).get_packed_command();
        let text = String::from_utf8(packed).unwrap();
        assert_eq!(
            text,
            "*6\r\n$4\r\nEVAL\r\n$8\r\nreturn 1\r\n$1\r\n1\r\n$1\r\nk\r\n$1\r\na\r\n$0\r\n\r\n"
        );
    }
}
