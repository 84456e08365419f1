//! Deadlines: the EXPIRE and TTL families and PERSIST.
//!
//! A deadline is an instant in milliseconds since the Unix epoch, and a key is gone from that
//! millisecond on. All four EXPIRE commands become such an instant before anything is looked at;
//! the effect log holds only the instant, so that a replica that is behind expires no later.

use crate::dispatch::call::{Call, CommandResult};
use crate::keyspace::notify::Classes;
use larder_protocol::{ArgReader, Args, CommandError, Reply, number};

/// Milliseconds in a second.
const SECOND_MS: i64 = 1000;

/// EXPIRE key seconds [NX|XX|GT|LT]
pub fn expire<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let now_ms = call.now_ms();
    set_deadline(call, SECOND_MS, now_ms)
}

/// PEXPIRE key milliseconds [NX|XX|GT|LT]
pub fn pexpire<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let now_ms = call.now_ms();
    set_deadline(call, 1, now_ms)
}

/// EXPIREAT key unix-time-seconds [NX|XX|GT|LT]
pub fn expireat<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    set_deadline(call, SECOND_MS, 0)
}

/// PEXPIREAT key unix-time-milliseconds [NX|XX|GT|LT]
pub fn pexpireat<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    set_deadline(call, 1, 0)
}

/// TTL key
pub fn ttl<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(Reply::Int(remaining_ms(call).map_or_else(|none| none, rounded_seconds)))
}

/// PTTL key
pub fn pttl<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(Reply::Int(remaining_ms(call).unwrap_or_else(|none| none)))
}

/// EXPIRETIME key
pub fn expiretime<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(Reply::Int(deadline_ms(call).map_or_else(|none| none, rounded_seconds)))
}

/// PEXPIRETIME key
pub fn pexpiretime<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(Reply::Int(deadline_ms(call).unwrap_or_else(|none| none)))
}

/// PERSIST key
pub fn persist<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let key = call.key(1);
    let Some(mut entry) = call.db.find_for_write(key) else { return Ok(Reply::Int(0)) };
    if entry.view().deadline_ms().is_none() {
        return Ok(Reply::Int(0));
    }
    entry.set_deadline_ms(None);
    call.changed(Classes::GENERIC, "persist", key);
    Ok(Reply::Int(1))
}

/// Gives the key at argument 1 the deadline at argument 2, counted in units of `unit_ms` from
/// `base_ms` on.
fn set_deadline<'c>(call: &'c mut Call<'_>, unit_ms: i64, base_ms: i64) -> CommandResult<'c> {
    let condition = Condition::parse(call.args)?;
    let amount = number::parse_i64(call.args.at(2)).ok_or(CommandError::NOT_INTEGER)?;
    let deadline = amount
        .checked_mul(unit_ms)
        .and_then(|span| span.checked_add(base_ms))
        .ok_or_else(|| CommandError::invalid_expire(call.row.name))?;
    let is_due = call.is_past(deadline);
    let key = call.key(1);
    let Some(mut entry) = call.db.find_for_write(key) else { return Ok(Reply::Int(0)) };
    if !condition.allows(entry.view().deadline_ms(), deadline) {
        return Ok(Reply::Int(0));
    }
    if is_due {
        // The key goes now, and as deleted, not as expired.
        call.db.remove(key);
        call.changed(Classes::GENERIC, "del", key);
        call.effect_expired(key);
    } else {
        entry.set_deadline_ms(Some(deadline));
        call.changed(Classes::GENERIC, "expire", key);
        call.effect(&[b"PEXPIREAT", key.bytes, deadline.to_string().as_bytes()]);
    }
    Ok(Reply::Int(1))
}

/// Under which circumstances EXPIRE and its kin change a deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// NX: there must be no deadline.
    absent: bool,
    /// XX: there must be one.
    present: bool,
    /// GT: the new one must be later; no deadline counts as the latest.
    later: bool,
    /// LT: the new one must be earlier; no deadline counts as the latest.
    earlier: bool,
}

impl Condition {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let mut condition = Self::default();
        let mut options = args.reader(3);
        while options.has_next() {
            if !condition.read(&mut options) {
                let other = options.next();
                options.fail(CommandError::unsupported_option(other));
            }
        }
        options.finish()?;
        if condition.absent && (condition.present || condition.later || condition.earlier) {
            return Err(CommandError::EXPIRE_NX_CONFLICT);
        }
        if condition.later && condition.earlier {
            return Err(CommandError::EXPIRE_GT_LT_CONFLICT);
        }
        Ok(condition)
    }

    /// Reads one option, if the next argument is one.
    pub fn read(&mut self, options: &mut ArgReader<'_>) -> bool {
        let words = [
            ("nx", &mut self.absent),
            ("xx", &mut self.present),
            ("gt", &mut self.later),
            ("lt", &mut self.earlier),
        ];
        for (word, flag) in words {
            if options.keyword(word) {
                *flag = true;
                return true;
            }
        }
        false
    }

    /// Whether a deadline may take the place of another one, or of none.
    pub fn allows(self, current_ms: Option<i64>, new_ms: i64) -> bool {
        match current_ms {
            Some(current) => {
                !self.absent
                    && (!self.later || new_ms > current)
                    && (!self.earlier || new_ms < current)
            }
            None => !self.present && !self.later,
        }
    }
}

/// TTL's answer for a key that does not exist.
const NO_KEY: i64 = -2;
/// TTL's answer for a key without a deadline.
const NO_DEADLINE: i64 = -1;

/// The deadline of the key at argument 1, or the number that says why there is none.
fn deadline_ms(call: &mut Call<'_>) -> Result<i64, i64> {
    let key = call.key(1);
    let entry = call.db.find_untouched(key).ok_or(NO_KEY)?;
    entry.deadline_ms().ok_or(NO_DEADLINE)
}

/// How long the key at argument 1 has to live, or the number that says why there is no end.
fn remaining_ms(call: &mut Call<'_>) -> Result<i64, i64> {
    // A key that is found has its deadline ahead of it.
    deadline_ms(call).map(|deadline| deadline.saturating_sub(call.now_ms()))
}

/// Half a second and more counts as one.
fn rounded_seconds(ms: i64) -> i64 {
    ms / SECOND_MS + i64::from(ms % SECOND_MS >= SECOND_MS / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_up_to_the_last_instant() {
        for (ms, seconds) in [
            (0, 0),
            (1, 0),
            (499, 0),
            (500, 1),
            (1499, 1),
            (1500, 2),
            (i64::MAX, i64::MAX / 1000 + 1),
        ] {
            assert_eq!(rounded_seconds(ms), seconds, "{ms}");
        }
    }

    #[test]
    fn a_missing_deadline_counts_as_the_latest() {
        let nx = Condition { absent: true, ..Condition::default() };
        let xx = Condition { present: true, ..Condition::default() };
        let gt = Condition { later: true, ..Condition::default() };
        let lt = Condition { earlier: true, ..Condition::default() };
        let xx_lt = Condition { present: true, earlier: true, ..Condition::default() };
        for (condition, current, new, allowed) in [
            (Condition::default(), None, 5, true),
            (Condition::default(), Some(9), 5, true),
            (nx, None, 5, true),
            (nx, Some(9), 5, false),
            (xx, None, 5, false),
            (xx, Some(9), 5, true),
            (gt, None, i64::MAX, false),
            (gt, Some(9), 9, false),
            (gt, Some(9), 10, true),
            (lt, None, i64::MAX, true),
            (lt, Some(9), 9, false),
            (lt, Some(9), 8, true),
            (xx_lt, None, 8, false),
            (xx_lt, Some(9), 8, true),
        ] {
            assert_eq!(condition.allows(current, new), allowed, "{condition:?} {current:?} {new}");
        }
    }
}
