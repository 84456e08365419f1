//! Commands that work on keys of any type, and on whole databases.
//!
//! None but SORT looks inside a value: they see that a key is there, when it is due, and how it is
//! stored. A key whose deadline has passed is invisible to all of them from that millisecond on,
//! whether or not something has removed it yet; only DBSIZE still counts it, as in Redis.
//!
//! ```text
//! keys     DEL, UNLINK, EXISTS, TYPE, TOUCH        rename   RENAME, RENAMENX, COPY, MOVE
//! expire   EXPIRE and TTL families, PERSIST        scan     KEYS, SCAN, RANDOMKEY, DBSIZE
//! flush    FLUSHDB, FLUSHALL, SWAPDB               object   OBJECT and its subcommands
//! sort     SORT, SORT_RO                          dump     DUMP, RESTORE
//! ```

pub mod dump;
pub mod expire;
pub mod flush;
pub mod keys;
pub mod object;
pub mod rename;
pub mod scan;
pub mod sort;
pub mod table;

#[cfg(test)]
mod tests;

use larder_protocol::{CommandError, number};

/// A database number as MOVE and COPY take it: checked for being a 32-bit number first, then
/// against the databases there are, since the two errors differ.
pub(super) fn parse_db(arg: &[u8], databases: usize) -> Result<usize, CommandError> {
    let number = number::parse_i64(arg).ok_or(CommandError::NOT_INTEGER)?;
    let number = i32::try_from(number)
        .map_err(|_| CommandError::out_of_bounds(i32::MIN.into(), i32::MAX.into()))?;
    existing_db(number, databases)
}

/// The index of a database, if there is one of this number.
fn existing_db(number: i32, databases: usize) -> Result<usize, CommandError> {
    usize::try_from(number).ok().filter(|db| *db < databases).ok_or(CommandError::DB_INDEX)
}
