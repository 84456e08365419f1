//! The parts of a file besides its keys.

use crate::scripting::functions::Libraries;
use larder_protocol::rdb::{VERSION, Writer, crc64, opcode};

/// What is said in front of a file.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// When the file was made, in seconds since the Unix epoch.
    pub created_s: i64,
    /// What the data set took, in bytes.
    pub used_bytes: u64,
    /// Where the data set stands in a history of effects, if it is part of one.
    pub history: Option<History<'a>>,
    /// Whether increments of an append-only file follow.
    pub is_aof_base: bool,
}

/// A place in a history of effects.
#[derive(Clone, Copy, Debug)]
pub struct History<'a> {
    /// The name of the history, 40 hexadecimal digits.
    pub id: &'a str,
    /// How many bytes of it came before.
    pub offset: u64,
    /// The database that the next effect speaks of, if one was named.
    pub db: Option<usize>,
}

/// Appends the header: what format it is, and facts about the file.
pub fn put_header(out: &mut Writer, facts: &Facts<'_>) {
    let number = |out: &mut Writer, name: &str, value: i64| {
        out.opcode(opcode::AUX);
        out.string(name.as_bytes());
        out.int_string(value);
    };
    out.raw(format!("REDIS{VERSION:04}").as_bytes());
    out.opcode(opcode::AUX);
    out.string(b"redis-ver");
    out.string(crate::observe::info::REDIS_VERSION.as_bytes());
    number(out, "redis-bits", i64::from(usize::BITS));
    number(out, "ctime", facts.created_s);
    number(out, "used-mem", facts.used_bytes as i64);
    if let Some(history) = facts.history {
        number(out, "repl-stream-db", history.db.map_or(-1, |db| db as i64));
        out.opcode(opcode::AUX);
        out.string(b"repl-id");
        out.string(history.id.as_bytes());
        number(out, "repl-offset", history.offset as i64);
    }
    number(out, "aof-base", facts.is_aof_base.into());
}

/// Appends the libraries of functions.
pub fn put_functions(out: &mut Writer, libraries: &Libraries) {
    for library in libraries.iter() {
        out.opcode(opcode::FUNCTION2);
        out.string(&library.text);
    }
}

/// Appends what stands before the keys of a database: how many there are and how many of them have
/// a deadline are hints only.
pub fn put_database(out: &mut Writer, db: usize, keys: u64, volatile: u64) {
    out.opcode(opcode::SELECTDB);
    out.length(db as u64);
    out.opcode(opcode::RESIZEDB);
    out.length(keys);
    out.length(volatile);
}

/// Appends the end and the checksum; `before` is the checksum of all bytes of the file that came
/// before those in `out`, or nothing when the file shall have none.
pub fn put_footer(out: &mut Writer, before: Option<u64>) {
    out.opcode(opcode::EOF);
    let checksum = before.map_or(0, |before| crc64(before, out.as_bytes()));
    out.raw(&checksum.to_le_bytes());
}
