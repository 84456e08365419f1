//! Commands about the connection itself: who speaks, in which protocol, to which database.
//!
//! They change the [`Session`](crate::session::Session) and what others see of it, the
//! [`Client`](crate::node::clients::Client); none of them touches the data set.
//!
//! ```text
//! auth     AUTH, HELLO                             basic    PING, ECHO, SELECT, RESET, QUIT
//! client   CLIENT about its own connection, and the pauses of all
//! client/list   CLIENT LIST, CLIENT INFO           client/kill   CLIENT KILL
//! ```

pub mod auth;
pub mod basic;
pub mod client;
pub mod table;

use larder_protocol::CommandError;

/// Bytes of a client's own word that an error repeats: more than any word somebody mistyped, and
/// little enough that nobody gets megabytes back.
const ECHO_BYTES: usize = 1024;

/// An error that quotes a client's word, `before` and `after` around it.
pub(super) fn quoting(before: &str, word: &[u8], after: &str) -> CommandError {
    let word = &word[..word.len().min(ECHO_BYTES)];
    CommandError::quoting(&format!("ERR {before}"), word, after)
}
