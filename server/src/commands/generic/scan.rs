//! Commands that look for keys nobody named: KEYS, SCAN, RANDOMKEY, DBSIZE.
//!
//! They hold one shard at a time, so other clients' commands go on in between: KEYS shows each key
//! that exists throughout, but not one instant of the database. Inside a transaction all shards are
//! held, and it does.

use super::object::type_name;
use crate::dispatch::call::{Call, CommandResult};
use crate::glob::glob_match;
use crate::keyspace::scan::Cursor;
use larder_protocol::{ArgReader, CommandError, Reply};

/// Keys that one SCAN looks at unless COUNT says otherwise, as in Redis.
const DEFAULT_COUNT: i64 = 10;

/// KEYS pattern
pub fn keys<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let pattern = call.args.at(1);
    let mut found = Vec::new();
    call.db.each(|entry| {
        if pattern == b"*" || glob_match(pattern, entry.key(), false) {
            found.push(Reply::Owned(entry.key().to_vec()));
        }
    });
    Ok(Reply::Array(found))
}

/// SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]
pub fn scan<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let cursor = parse_cursor(call.args.at(1)).ok_or(CommandError::INVALID_CURSOR)?;
    let options = ScanOptions::read(call.args.reader(2), true)?;
    let mut found = Vec::new();
    let (next, due) = call.db.scan(cursor, options.count, |entry| {
        let is_wanted = options
            .wanted_type
            .is_none_or(|name| type_name(entry).as_bytes().eq_ignore_ascii_case(name));
        if options.matches(entry.key()) && is_wanted {
            found.push(Reply::Owned(entry.key().to_vec()));
        }
    });
    call.let_go(&due);
    Ok(Reply::Array(vec![Reply::digits(next.0 as i64), Reply::Array(found)]))
}

/// The options of SCAN, and of the commands that scan one collection.
pub struct ScanOptions<'a> {
    /// How many to look at.
    pub count: usize,
    pattern: Option<&'a [u8]>,
    wanted_type: Option<&'a [u8]>,
}

impl<'a> ScanOptions<'a> {
    /// Reads MATCH and COUNT, and TYPE where keys are scanned.
    pub fn read(mut options: ArgReader<'a>, of_keys: bool) -> Result<Self, CommandError> {
        let (mut pattern, mut count, mut wanted_type) = (None, DEFAULT_COUNT, None);
        while options.has_next() {
            if options.keyword("count") {
                count = options.int_in(1..=i64::MAX, CommandError::SYNTAX);
            } else if options.keyword("match") {
                // The usual pattern is also the cheapest: none.
                pattern = Some(options.next()).filter(|pattern| *pattern != b"*");
            } else if of_keys && options.keyword("type") {
                // A name that no type has finds nothing, without an error.
                wanted_type = Some(options.next());
            } else {
                options.fail(CommandError::SYNTAX);
            }
        }
        options.finish()?;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        Ok(Self { count, pattern, wanted_type })
    }

    /// Whether the pattern lets `name` through.
    pub fn matches(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob_match(pattern, name, false))
    }
}

/// A cursor as Redis reads it, which is how C reads an unsigned number: nothing counts as 0, a sign
/// is allowed, and a zero byte is the end.
pub fn parse_cursor(text: &[u8]) -> Option<Cursor> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let (negative, digits) = match text {
        [] => return Some(Cursor(0)),
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let number = digits.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })?;
    Some(Cursor(if negative { number.wrapping_neg() } else { number }))
}

/// RANDOMKEY
pub fn randomkey<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    // A generator of its own, because one key may take several draws.
    let mut draws = fastrand::Rng::with_seed(call.random());
    let key = call.db.random_key(&mut || draws.u64(..));
    Ok(key.map_or(Reply::Null, Reply::Owned))
}

/// DBSIZE
pub fn dbsize<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(Reply::Int(call.db.len() as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_as_c_reads_unsigned_numbers() {
        for (text, expected) in [
            ("0", Some(0)),
            ("", Some(0)),
            ("007", Some(7)),
            ("+5", Some(5)),
            ("-1", Some(u64::MAX)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("-", None),
            ("--1", None),
            (" 1", None),
            ("1 ", None),
            ("1x", None),
            ("x", None),
        ] {
            let cursor = parse_cursor(text.as_bytes()).map(|cursor| cursor.0);
            assert_eq!(cursor, expected, "{text:?}");
        }
    }
}
