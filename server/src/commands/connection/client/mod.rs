//! CLIENT: what a connection says about itself, how it wants to be treated, and CLIENT PAUSE.
//!
//! Names and library texts are shown in CLIENT LIST, whose fields are split at spaces; so they hold
//! no space and nothing that cannot be printed.

pub mod kill;
pub mod list;
pub mod tracking;

use super::quoting;
use crate::commands::docs;
use crate::dispatch::call::{Call, CommandResult};
use crate::node::clients::{Client, ClientTexts};
use crate::node::pause::PauseMode;
use crate::session::ReplyMode;
use larder_protocol::{CommandError, Reply, number};
use std::sync::atomic::{AtomicBool, Ordering};

/// What a client cannot be: the error of CLIENT KILL and CLIENT LIST about an unknown TYPE.
fn unknown_type(word: &[u8]) -> CommandError {
    quoting("Unknown client type '", word, "'")
}

/// Kinds of clients, as CLIENT LIST and CLIENT KILL filter by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Normal,
    Replica,
    Pubsub,
    Primary,
}

impl Kind {
    /// The kind that a word names.
    fn named(word: &[u8]) -> Option<Self> {
        const NAMES: [(&str, Kind); 5] = [
            ("normal", Kind::Normal),
            ("slave", Kind::Replica),
            ("replica", Kind::Replica),
            ("pubsub", Kind::Pubsub),
            ("master", Kind::Primary),
        ];
        let named = |(name, _): &&(&str, Self)| word.eq_ignore_ascii_case(name.as_bytes());
        NAMES.iter().find(named).map(|(_, kind)| *kind)
    }

    /// Whether a client is of this kind.
    fn holds(self, client: &Client) -> bool {
        let is = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        let is_link = is(&client.is_replica) || is(&client.is_primary);
        match self {
            Self::Normal => !is(&client.is_subscriber) && !is_link,
            Self::Pubsub => is(&client.is_subscriber) && !is_link,
            Self::Replica => is(&client.is_replica),
            Self::Primary => is(&client.is_primary),
        }
    }
}

/// CLIENT ID
pub fn id<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(Reply::Int(call.session.client.id as i64))
}

/// CLIENT SETNAME connection-name
pub fn setname<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let name = call.args.at(2);
    check_name(name)?;
    call.session.client.texts.lock().name = name.to_vec();
    Ok(Reply::Ok)
}

/// CLIENT GETNAME
pub fn getname<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let name = call.session.client.texts.lock().name.clone();
    Ok(if name.is_empty() { Reply::Null } else { Reply::Owned(name) })
}

/// Whether a connection may be named so; nothing at all takes the name away.
pub(super) fn check_name(name: &[u8]) -> Result<(), CommandError> {
    if is_one_word(name) {
        return Ok(());
    }
    const INVALID: &str = "ERR Client names cannot contain spaces, newlines or special characters.";
    Err(CommandError::from_static(INVALID))
}

fn is_one_word(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_graphic)
}

/// CLIENT SETINFO LIB-NAME libname | LIB-VER libver
pub fn setinfo<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (attribute, value) = (call.args.at(2), call.args.at(3));
    let set: fn(&mut ClientTexts, Vec<u8>) = match () {
        () if attribute.eq_ignore_ascii_case(b"lib-name") => |texts, value| texts.lib_name = value,
        () if attribute.eq_ignore_ascii_case(b"lib-ver") => |texts, value| texts.lib_ver = value,
        () => return Err(quoting("Unrecognized option '", attribute, "'")),
    };
    if !is_one_word(value) {
        let reason = " cannot contain spaces, newlines or special characters.";
        return Err(quoting("", attribute, reason));
    }
    set(&mut call.session.client.texts.lock(), value.to_vec());
    Ok(Reply::Ok)
}

/// CLIENT NO-EVICT ON | OFF
pub fn no_evict<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let on = on_or_off(call.args.at(2))?;
    call.node.clients.spare(&call.session.client, on);
    Ok(Reply::Ok)
}

/// CLIENT NO-TOUCH ON | OFF
pub fn no_touch<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let on = on_or_off(call.args.at(2))?;
    call.session.no_touch = on;
    call.session.client.no_touch.store(on, Ordering::Relaxed);
    Ok(Reply::Ok)
}

fn on_or_off(word: &[u8]) -> Result<bool, CommandError> {
    if word.eq_ignore_ascii_case(b"on") {
        Ok(true)
    } else if word.eq_ignore_ascii_case(b"off") {
        Ok(false)
    } else {
        Err(CommandError::SYNTAX)
    }
}

/// CLIENT REPLY ON | OFF | SKIP
pub fn reply<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let word = call.args.at(2);
    let mode = &mut call.session.reply_mode;
    if word.eq_ignore_ascii_case(b"on") {
        *mode = ReplyMode::On;
        return Ok(Reply::Ok);
    }
    if word.eq_ignore_ascii_case(b"off") {
        *mode = ReplyMode::Off;
    } else if word.eq_ignore_ascii_case(b"skip") {
        if *mode != ReplyMode::Off {
            *mode = ReplyMode::SkipNext;
        }
    } else {
        return Err(CommandError::SYNTAX);
    }
    Ok(Reply::None)
}

/// CLIENT PAUSE timeout [WRITE | ALL]
pub fn pause<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let args = call.args;
    let mode = match (args.len(), args.at(3)) {
        (3, _) => PauseMode::All,
        (4, word) if word.eq_ignore_ascii_case(b"all") => PauseMode::All,
        (4, word) if word.eq_ignore_ascii_case(b"write") => PauseMode::Write,
        (4, _) => return Err(CommandError::PAUSE_MODE),
        _ => return Err(subcommand_syntax(call)),
    };
    let now_ms = call.now_ms();
    let until_ms = match number::parse_i64(args.at(2)) {
        None => return Err(CommandError::TIMEOUT_NOT_INTEGER),
        Some(..0) => return Err(CommandError::NEGATIVE_TIMEOUT),
        Some(timeout_ms) => {
            now_ms.checked_add(timeout_ms).ok_or(CommandError::TIMEOUT_OUT_OF_RANGE)?
        }
    };
    call.node.pause.pause(mode, until_ms, now_ms);
    Ok(Reply::Ok)
}

/// CLIENT UNPAUSE
pub fn unpause<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    call.node.pause.unpause();
    Ok(Reply::Ok)
}

/// CLIENT UNBLOCK client-id [TIMEOUT | ERROR]
///
/// A client that waits for the end of a pause does not count.
pub fn unblock<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (args, reason) = (call.args, call.args.at(3));
    let with_error = match args.len() {
        3 => false,
        4 if reason.eq_ignore_ascii_case(b"timeout") => false,
        4 if reason.eq_ignore_ascii_case(b"error") => true,
        4 => return Err(CommandError::UNBLOCK_REASON),
        _ => return Err(subcommand_syntax(call)),
    };
    let id = number::parse_i64(args.at(2)).ok_or(CommandError::NOT_INTEGER)?;
    let client = u64::try_from(id).ok().and_then(|id| call.node.clients.get(id));
    let waiter = client.and_then(|client| client.parked.lock().clone());
    let waiter = waiter.filter(|waiter| waiter.may_time_out());
    Ok(Reply::from(waiter.is_some_and(|waiter| match with_error {
        true => waiter.fail(CommandError::UNBLOCKED),
        false => waiter.time_out(call.node),
    })))
}

fn subcommand_syntax(call: &Call<'_>) -> CommandError {
    let container = String::from_utf8_lossy(call.args.at(0));
    CommandError::subcommand_syntax(call.args.at(1), &container)
}

/// CLIENT HELP
pub fn help<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(docs::help(
        call,
        &[
            "CACHING (YES|NO)",
            "    Whether the keys of the next command are remembered, in OPTIN or OPTOUT mode.",
            "GETREDIR",
            "    The client that gets this connection's invalidation messages, -1 for none.",
            "GETNAME",
            "    The name this connection gave itself.",
            "ID",
            "    The number of this connection, never used twice.",
            "INFO",
            "    This connection's line of CLIENT LIST.",
            "KILL <ip:port>",
            "    Close the connection that comes from this address.",
            "KILL <option> <value> [<option> <value> [...]]",
            "    Close all connections to which every option applies:",
            "    * ID <client-id>",
            "      The connection with this number.",
            "    * ADDR (<ip:port>|<unixsocket>:0)",
            "      The client's own address.",
            "    * LADDR (<ip:port>|<unixsocket>:0)",
            "      The address the client connected to.",
            "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
            "      What the connection is used for.",
            "    * USER <username>",
            "      Whom it is authenticated as.",
            "    * SKIPME (YES|NO)",
            "      Whether this connection is spared; it is unless NO is said.",
            "LIST [options ...]",
            "    One line about each connection. Options:",
            "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
            "      Only connections used for this.",
            "    * ID <client-id> [<client-id> [...]]",
            "      Only connections with these numbers.",
            "UNPAUSE",
            "    End a pause; what was held back runs.",
            "PAUSE <timeout> [WRITE|ALL]",
            "    Hold back all commands, or those that write, for that many milliseconds.",
            "REPLY (ON|OFF|SKIP)",
            "    Send replies to this connection, or none, or none to its next command.",
            "SETNAME <name>",
            "    Name this connection; an empty name takes the name away.",
            "SETINFO <option> <value>",
            "    Tell what speaks over this connection. Options are:",
            "    * LIB-NAME: name of the client library.",
            "    * LIB-VER: version of the client library.",
            "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]]",
            "         [OPTIN] [OPTOUT] [NOLOOP]",
            "    Tell this connection when keys change that it has read.",
            "TRACKINGINFO",
            "    How this connection tracks keys.",
            "UNBLOCK <clientid> [TIMEOUT|ERROR]",
            "    End the blocking command of a client as if its time were up, or with an error.",
            "NO-EVICT (ON|OFF)",
            "    Spare this connection when connections are closed for lack of memory.",
            "NO-TOUCH (ON|OFF)",
            "    Let reads over this connection leave no trace in idle times and frequencies.",
        ],
    ))
}
