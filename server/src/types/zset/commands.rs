//! The commands on single members of sorted sets: adding, reading, removing, drawing, scanning.
#![allow(clippy::missing_errors_doc, reason = "a handler's errors are those of its command")]

pub use super::operations::{
    zdiff, zdiffstore, zinter, zintercard, zinterstore, zunion, zunionstore,
};
pub use super::pop::{bzmpop, bzpopmax, bzpopmin, zmpop, zpopmax, zpopmin};
pub use super::ranges::{
    zcount, zlexcount, zrange, zrangebylex, zrangebyscore, zrangestore, zremrangebylex,
    zremrangebyrank, zremrangebyscore, zrevrange, zrevrangebylex, zrevrangebyscore,
};

use super::{Thresholds, ZsetRef, convert, remove, scored, upsert};
use crate::commands::generic::scan::{ScanOptions, parse_cursor};
use crate::dispatch::call::{Call, CommandResult};
use crate::keyspace::Key;
use crate::keyspace::notify::Classes;
use crate::raw::{Kind, NewValue};
use crate::types::draw::{self, Wanted};
use crate::types::packed;
use larder_protocol::number::{parse_f64, push_f64_exact};
use larder_protocol::{CommandError, Reply};
use smallvec::SmallVec;

/// The options of ZADD.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::types) struct AddOptions {
    /// Members that are there stay as they are.
    pub(in crate::types) nx: bool,
    /// No member is added.
    pub(in crate::types) xx: bool,
    gt: bool,
    lt: bool,
    /// The reply counts members with new scores, too.
    pub(in crate::types) changed: bool,
    incr: bool,
}

/// What ZADD did.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::types) struct Added {
    new: usize,
    updated: usize,
    /// The score of the last member, unless an option kept it from being looked at.
    score: Option<f64>,
}

impl AddOptions {
    /// The score that a member gets, or nothing when an option is against it.
    fn decide(self, old: Option<f64>, score: f64) -> Result<Option<f64>, CommandError> {
        let Some(old) = old else { return Ok((!self.xx).then_some(score)) };
        if self.nx {
            return Ok(None);
        }
        let score = if self.incr { old + score } else { score };
        if score.is_nan() {
            return Err(CommandError::SCORE_NAN);
        }
        let is_refused = (self.gt && score <= old) || (self.lt && score >= old);
        Ok((!is_refused).then_some(score))
    }
}

/// ZADD key \[NX | XX\] \[GT | LT\] \[CH\] \[INCR\] score member \[score member ...\]
pub fn zadd<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let mut options = AddOptions::default();
    let mut reader = call.args.reader(2);
    loop {
        let option = match () {
            () if reader.keyword("nx") => &mut options.nx,
            () if reader.keyword("xx") => &mut options.xx,
            () if reader.keyword("gt") => &mut options.gt,
            () if reader.keyword("lt") => &mut options.lt,
            () if reader.keyword("ch") => &mut options.changed,
            () if reader.keyword("incr") => &mut options.incr,
            () => break,
        };
        *option = true;
    }
    let pairs = reader.remaining() / 2;
    if pairs == 0 || reader.remaining() % 2 == 1 {
        return Err(CommandError::SYNTAX);
    }
    if options.nx && options.xx {
        return Err(CommandError::XX_AND_NX);
    }
    if (options.nx && (options.gt || options.lt)) || (options.gt && options.lt) {
        return Err(CommandError::GT_LT_NX);
    }
    if options.incr && pairs > 1 {
        return Err(CommandError::INCR_SINGLE_PAIR);
    }
    let members = scores_and_members(call, reader.position())?;
    let added = add_all(call, &members, options)?;
    Ok(if options.incr {
        added.score.map_or(Reply::Null, Reply::Double)
    } else {
        added.count(options)
    })
}

impl Added {
    /// How many members are new or have another score.
    pub(in crate::types) fn changes(&self) -> usize {
        self.new + self.updated
    }

    /// The reply that counts what was added.
    pub(in crate::types) fn count(self, options: AddOptions) -> Reply<'static> {
        Reply::from(if options.changed { self.changes() } else { self.new })
    }
}

/// ZINCRBY key increment member
pub fn zincrby<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    // Redis reads the options of ZADD here too, and then misses the increment.
    let word = call.args.at(2);
    if [&b"nx"[..], b"xx", b"gt", b"lt", b"ch", b"incr"]
        .iter()
        .any(|o| word.eq_ignore_ascii_case(o))
    {
        return Err(CommandError::SYNTAX);
    }
    let members = scores_and_members(call, 2)?;
    let added = add_all(call, &members, AddOptions { incr: true, ..AddOptions::default() })?;
    Ok(added.score.map_or(Reply::Null, Reply::Double))
}

type ScoresAndMembers<'a> = SmallVec<[(f64, &'a [u8]); 4]>;

/// The pairs of score and member from argument `at` on.
fn scores_and_members<'a>(
    call: &Call<'a>,
    at: usize,
) -> Result<ScoresAndMembers<'a>, CommandError> {
    let args = call.args;
    let pair = |at| Ok((parse_f64(args.at(at)).ok_or(CommandError::NOT_FLOAT)?, args.at(at + 1)));
    (at..args.len()).step_by(2).map(pair).collect()
}

/// Gives members their scores under the key at argument 1, which is made when it is missing.
pub(in crate::types) fn add_all(
    call: &mut Call<'_>,
    members: &[(f64, &[u8])],
    options: AddOptions,
) -> Result<Added, CommandError> {
    let (key, thresholds) = (call.key(1), Thresholds::of(call.settings));
    let mut entry = match call.db.find_for_write(key) {
        Some(mut entry) => {
            ZsetRef::of(entry.view())?;
            entry
        }
        None if options.xx => return Ok(Added::default()),
        None => {
            call.db.insert(key, NewValue::Packed(Kind::ZsetPacked, packed::EMPTY), None);
            let Some(mut entry) = call.db.find_for_write(key) else {
                return Ok(Added::default());
            };
            if !thresholds.suit(members.len(), members[0].1.len()) {
                convert(&mut entry);
            }
            entry
        }
    };
    if members.len() > thresholds.entries {
        convert(&mut entry);
    }
    let (mut added, mut failure) = (Added::default(), None);
    for (score, member) in members {
        added.score = None;
        upsert(&mut entry, member, thresholds, |old| {
            let decided = options.decide(old, *score).unwrap_or_else(|error| {
                failure = Some(error);
                None
            })?;
            match old {
                None => added.new += 1,
                Some(old) if old != decided => added.updated += 1,
                Some(_) => {}
            }
            added.score = Some(decided);
            Some(decided)
        });
    }
    if let Some(error) = failure {
        return Err(error);
    }
    let changes = added.changes();
    if changes > 0 {
        call.changed(Classes::SORTED_SET, if options.incr { "zincr" } else { "zadd" }, key);
        call.db.changes.dirty += changes as u64 - 1;
    }
    Ok(added)
}

/// ZREM key member \[member ...\]
pub fn zrem<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, members) = (call.key(1), call.args.skip(2));
    let Some(mut entry) = call.db.find_for_write(key) else { return Ok(Reply::Int(0)) };
    let mut left = ZsetRef::of(entry.view())?.len();
    let mut gone = 0;
    for member in members.iter() {
        if remove(&mut entry, member) {
            gone += 1;
            left -= 1;
        }
        if left == 0 {
            break;
        }
    }
    if left == 0 {
        entry.remove();
    }
    if gone > 0 {
        removed(call, key, "zrem", gone, left == 0);
    }
    Ok(Reply::from(gone))
}

/// Notes that `count` members are gone, and perhaps their key.
pub(super) fn removed(
    call: &mut Call<'_>,
    key: Key<'_>,
    event: &'static str,
    count: usize,
    key_gone: bool,
) {
    call.changed(Classes::SORTED_SET, event, key);
    call.db.changes.dirty += count as u64 - 1;
    if key_gone {
        let db = call.db.db();
        call.db.changes.event(Classes::GENERIC, "del", db, key.bytes);
    }
}

/// ZCARD key
pub fn zcard<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let key = call.key(1);
    let Some(entry) = call.db.find(key) else { return Ok(Reply::Int(0)) };
    Ok(Reply::from(ZsetRef::of(entry)?.len()))
}

/// ZSCORE key member
pub fn zscore<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, member) = (call.key(1), call.args.at(2));
    let Some(entry) = call.db.find(key) else { return Ok(Reply::Null) };
    Ok(ZsetRef::of(entry)?.score(member).map_or(Reply::Null, Reply::Double))
}

/// ZMSCORE key member \[member ...\]
pub fn zmscore<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, members) = (call.key(1), call.args.skip(2));
    let zset = call.db.find(key).map(ZsetRef::of).transpose()?;
    let score =
        |member| zset.and_then(|zset| zset.score(member)).map_or(Reply::Null, Reply::Double);
    Ok(Reply::Array(members.iter().map(score).collect()))
}

/// ZRANK key member \[WITHSCORE\]
pub fn zrank<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    rank(call, false)
}

/// ZREVRANK key member \[WITHSCORE\]
pub fn zrevrank<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    rank(call, true)
}

fn rank<'c>(call: &'c mut Call<'_>, from_end: bool) -> CommandResult<'c> {
    let (key, args) = (call.key(1), call.args);
    let with_score = match args.get(3) {
        None => false,
        Some(_) if args.len() > 4 => return Err(CommandError::wrong_arity(call.row.name)),
        Some(word) if word.eq_ignore_ascii_case(b"withscore") => true,
        Some(_) => return Err(CommandError::SYNTAX),
    };
    let missing = if with_score { Reply::NullArray } else { Reply::Null };
    let Some(entry) = call.db.find(key) else { return Ok(missing) };
    let zset = ZsetRef::of(entry)?;
    let Some((rank, score)) = zset.rank(args.at(2)) else { return Ok(missing) };
    let rank = Reply::from(if from_end { zset.len() - 1 - rank } else { rank });
    Ok(if with_score { Reply::Array(vec![rank, Reply::Double(score)]) } else { rank })
}

/// ZRANDMEMBER key \[count \[WITHSCORES\]\]
pub fn zrandmember<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (args, key) = (call.args, call.key(1));
    if args.len() == 2 {
        let Some(entry) = call.db.find(key) else { return Ok(Reply::Null) };
        let len = ZsetRef::of(entry)?.len();
        let rank = call.random_below(len);
        let Some(entry) = call.db.view(key) else { return Ok(Reply::Null) };
        let member = ZsetRef::of(entry)?.at(rank);
        return Ok(member.map_or(Reply::Null, |(member, _)| member.reply()));
    }
    let wanted = Wanted::read(call, 2)?;
    let with_scores = match args.len() {
        3 => false,
        4 if args.at(3).eq_ignore_ascii_case(b"withscores") => true,
        _ => return Err(CommandError::SYNTAX),
    };
    let half = i64::MAX as usize / 2;
    if with_scores && matches!(wanted, Wanted::Different(n) | Wanted::Repeated(n) if n > half) {
        return Err(CommandError::VALUE_OUT_OF_RANGE);
    }
    let version = call.session.version;
    let Some(entry) = call.db.find(key) else { return Ok(Reply::Array(Vec::new())) };
    let len = ZsetRef::of(entry)?.len();
    let ranks = draw::positions(call, len, wanted);
    let Some(entry) = call.db.view(key) else { return Ok(Reply::Array(Vec::new())) };
    let zset = ZsetRef::of(entry)?;
    let drawn = ranks.into_iter().filter_map(|rank| zset.at(rank));
    let drawn = drawn.map(|(member, score)| (member.reply(), score));
    Ok(if with_scores {
        scored(version, drawn)
    } else {
        Reply::Array(drawn.map(|(member, _)| member).collect())
    })
}

/// ZSCAN key cursor \[MATCH pattern\] \[COUNT count\]
pub fn zscan<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, args) = (call.key(1), call.args);
    let cursor = parse_cursor(args.at(2)).ok_or(CommandError::INVALID_CURSOR)?;
    let reply = |cursor: u64, found| {
        Ok(Reply::Array(vec![Reply::digits(cursor as i64), Reply::Array(found)]))
    };
    let Some(entry) = call.db.find(key) else { return reply(0, Vec::new()) };
    let zset = ZsetRef::of(entry)?;
    let options = ScanOptions::read(args.reader(3), false)?;
    let mut found = Vec::new();
    let next = match zset {
        ZsetRef::Packed(packed) => {
            let mut items = packed.items();
            while let (Some(member), Some(score)) = (items.next(), items.next()) {
                if options.matches(&member.bytes()) {
                    found.extend([member.reply(), score.reply()]);
                }
            }
            0
        }
        ZsetRef::Large(zset) => zset.scan(cursor.0, options.count, |member, score| {
            if options.matches(member) {
                // Redis prints these scores with all their digits.
                let mut text = Vec::new();
                push_f64_exact(&mut text, score);
                found.extend([Reply::Owned(member.to_vec()), Reply::Owned(text)]);
            }
        }),
    };
    reply(next, found)
}
