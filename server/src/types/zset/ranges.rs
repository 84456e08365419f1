//! Ranges of a sorted set: what the arguments say, the ranks they mean, and the commands on them.

use super::{ZsetRef, pairs, remove_range, scored, store, text_of};
use crate::dispatch::call::{Call, CommandResult};
use crate::keyspace::Key;
use crate::keyspace::notify::Classes;
use crate::types::packed::{Item, Packed};
use larder_protocol::number::parse_f64;
use larder_protocol::{CommandError, Reply};
use std::cmp::Ordering;
use std::ops::Range;

/// Members of one effect where they are named.
const EFFECT_MEMBERS: usize = 512;

/// What a range is a range of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Rank,
    Score,
    Lex,
}

/// One end of a lexicographical range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LexEnd<'a> {
    Lowest,
    Highest,
    Name { name: &'a [u8], is_open: bool },
}

/// One end of a range of scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ScoreEnd {
    score: f64,
    is_open: bool,
    /// Whether every server reads it: Redis 8 takes neither hexadecimal numbers nor blanks here.
    is_plain: bool,
}

/// A range as its arguments give it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Span<'a> {
    Ranks(i64, i64),
    Scores(ScoreEnd, ScoreEnd),
    Names(LexEnd<'a>, LexEnd<'a>),
}

fn score_end(text: &[u8]) -> Result<ScoreEnd, CommandError> {
    let (text, is_open) = match text {
        [b'(', text @ ..] => (text, true),
        text => (text, false),
    };
    // Redis reads the ends with C's strtod: blanks in front, nothing at all, too large a number, and
    // only what stands before a zero byte.
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let number = text.trim_ascii_start();
    let lenient = || -> Option<f64> { std::str::from_utf8(number).ok()?.parse().ok() };
    let score = if text.is_empty() { Some(0.0) } else { parse_f64(number).or_else(lenient) };
    match score {
        Some(score) if !score.is_nan() => {
            let is_plain =
                text.iter().all(|byte| b"0123456789+-.einfty".contains(&byte.to_ascii_lowercase()));
            Ok(ScoreEnd { score, is_open, is_plain })
        }
        _ => Err(CommandError::RANGE_NOT_FLOAT),
    }
}

fn lex_end(text: &[u8]) -> Result<LexEnd<'_>, CommandError> {
    match text {
        b"-" => Ok(LexEnd::Lowest),
        b"+" => Ok(LexEnd::Highest),
        [b'[', name @ ..] => Ok(LexEnd::Name { name, is_open: false }),
        [b'(', name @ ..] => Ok(LexEnd::Name { name, is_open: true }),
        _ => Err(CommandError::RANGE_NOT_LEX),
    }
}

impl<'a> Span<'a> {
    /// The range whose ends are arguments `at` and `at + 1`, the upper one first when `backwards`.
    pub(super) fn read(
        call: &Call<'a>,
        by: By,
        at: usize,
        backwards: bool,
    ) -> Result<Self, CommandError> {
        let (mut min, mut max) = (call.args.at(at), call.args.at(at + 1));
        if backwards {
            (min, max) = (max, min);
        }
        Ok(match by {
            By::Rank => {
                let mut reader = call.args.reader(at);
                let ends = (reader.int(), reader.int());
                reader.finish()?;
                Self::Ranks(ends.0, ends.1)
            }
            By::Score => Self::Scores(score_end(min)?, score_end(max)?),
            By::Lex => Self::Names(lex_end(min)?, lex_end(max)?),
        })
    }

    /// Whether servers may mean other members by it, or refuse it: names lie in an order of their own
    /// where scores differ.
    fn is_vague(&self, zset: ZsetRef<'_>) -> bool {
        let score = |rank| zset.at(rank).map(|(_, score)| score);
        match self {
            Self::Ranks(..) => false,
            Self::Scores(min, max) => !(min.is_plain && max.is_plain),
            Self::Names(..) => score(0) != score(zset.len().saturating_sub(1)),
        }
    }

    /// The ranks that it means but for the first `skipped`; positions are counted from the other end, and
    /// members skipped there, when `backwards`.
    pub(super) fn ranks(&self, zset: ZsetRef<'_>, backwards: bool, skipped: usize) -> Range<usize> {
        let len = zset.len();
        let (start, end) = match *self {
            Self::Ranks(start, end) => {
                let from_end = |at: i64| if at < 0 { at.saturating_add(len as i64) } else { at };
                let start = from_end(start).max(0) as usize;
                let end = from_end(end).saturating_add(1).clamp(0, len as i64) as usize;
                if backwards && start < end { (len - end, len - start) } else { (start, end) }
            }
            Self::Scores(min, max) => {
                (score_rank(zset, min, min.is_open), score_rank(zset, max, !max.is_open))
            }
            Self::Names(min, max) => match zset {
                ZsetRef::Packed(packed) => {
                    return packed_lex_ranks(packed, (min, max), backwards, skipped);
                }
                ZsetRef::Large(_) => (lex_rank(zset, min, false), lex_rank(zset, max, true)),
            },
        };
        let (start, end) = (start.min(len), end.max(start.min(len)));
        let skipped = skipped.min(end - start);
        if backwards { start..end - skipped } else { start + skipped..end }
    }
}

/// How many members have scores below one end of a range, or equal to it if these count.
fn score_rank(zset: ZsetRef<'_>, end: ScoreEnd, with_equal: bool) -> usize {
    match end.score {
        f64::INFINITY if with_equal => zset.len(),
        f64::NEG_INFINITY if !with_equal => 0,
        end => zset.partition(|score, _| score < end || (with_equal && score == end)),
    }
}

/// Where a lexicographical range of a small set begins and ends. It means something only where all
/// scores are equal; else it is what Redis takes, so that both ends of a link take the same: what is
/// skipped need not be in it, and of what follows only the far end is looked at.
fn packed_lex_ranks(
    packed: Packed<'_>,
    (min, max): (LexEnd<'_>, LexEnd<'_>),
    backwards: bool,
    skipped: usize,
) -> Range<usize> {
    let is_below = |member: Item<'_>| is_before(min, false, |name| member.cmp_bytes(name));
    let is_within = |member: Item<'_>| is_before(max, true, |name| member.cmp_bytes(name));
    let members = || pairs(packed).map(|(_, member, _)| member);
    let last = packed.last().and_then(|score| packed.previous(score));
    if last.is_none_or(|at| is_below(packed.get(at))) || !members().next().is_some_and(is_within) {
        return 0..0;
    }
    // How many members there are up to the last of some.
    let up_to_last = |found: &mut dyn Iterator<Item = bool>| {
        (1..).zip(found).filter(|(_, is_one)| *is_one).map(|(count, _)| count).last().unwrap_or(0)
    };
    if backwards {
        let end: usize = up_to_last(&mut members().map(is_within));
        if end > 0 && members().nth(end - 1).is_some_and(is_below) {
            return 0..0;
        }
        let end = end.saturating_sub(skipped);
        return up_to_last(&mut members().take(end).map(is_below))..end;
    }
    let start = members().take_while(|member| is_below(*member)).count();
    if !members().nth(start).is_some_and(is_within) {
        return 0..0;
    }
    let start = start.saturating_add(skipped);
    start..start + members().skip(start).take_while(|member| is_within(*member)).count()
}

/// How many members come before one end of a lexicographical range, or with an upper end are in it.
fn lex_rank(zset: ZsetRef<'_>, end: LexEnd<'_>, is_upper: bool) -> usize {
    match end {
        LexEnd::Lowest => 0,
        LexEnd::Highest => zset.len(),
        end => zset.partition(|_, compared_with| is_before(end, is_upper, compared_with)),
    }
}

/// Whether a member comes before one end of a lexicographical range, or with an upper end is in it.
fn is_before(
    end: LexEnd<'_>,
    is_upper: bool,
    compared_with: impl FnOnce(&[u8]) -> Ordering,
) -> bool {
    match end {
        LexEnd::Lowest => false,
        LexEnd::Highest => true,
        LexEnd::Name { name, is_open } => match compared_with(name) {
            Ordering::Less => true,
            Ordering::Equal => is_open != is_upper,
            Ordering::Greater => false,
        },
    }
}

/// ZRANGE and its kin, as their arguments say.
struct Query<'a> {
    span: Span<'a>,
    backwards: bool,
    with_scores: bool,
    offset: i64,
    limit: i64,
}

impl<'a> Query<'a> {
    /// Reads the ends and the options from argument `at` on; what a command's name already says
    /// cannot be an option.
    fn read(
        call: &Call<'a>,
        at: usize,
        by: Option<By>,
        direction: Option<bool>,
        stores: bool,
    ) -> Result<Self, CommandError> {
        let (mut wanted_by, mut wanted_direction, mut with_scores) = (by, direction, false);
        let (mut offset, mut limit) = (0, -1);
        let mut options = call.args.reader(at + 2);
        while options.has_next() {
            if !stores && options.keyword("withscores") {
                with_scores = true;
            } else if options.remaining() > 2 && options.keyword("limit") {
                offset = options.int();
                limit = options.int();
            } else if wanted_direction.is_none() && options.keyword("rev") {
                wanted_direction = Some(true);
            } else if wanted_by.is_none() && options.keyword("bylex") {
                wanted_by = Some(By::Lex);
            } else if wanted_by.is_none() && options.keyword("byscore") {
                wanted_by = Some(By::Score);
            } else {
                options.fail(CommandError::SYNTAX);
            }
        }
        options.finish()?;
        let (by, backwards) = (wanted_by.unwrap_or(By::Rank), wanted_direction.unwrap_or(false));
        if limit != -1 && by == By::Rank {
            return Err(CommandError::LIMIT_NEEDS_BY);
        }
        if with_scores && by == By::Lex {
            return Err(CommandError::WITHSCORES_WITH_BYLEX);
        }
        let span = Span::read(call, by, at, backwards)?;
        Ok(Self { span, backwards, with_scores, offset, limit })
    }

    fn ranks(&self, zset: ZsetRef<'_>) -> Range<usize> {
        // An offset below zero never comes to an end, a limit below zero is none.
        let skipped = match self.span {
            Span::Ranks(..) => 0,
            _ => usize::try_from(self.offset).unwrap_or(usize::MAX),
        };
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let Range { start, end } = self.span.ranks(zset, self.backwards, skipped);
        match self.backwards {
            true => start.max(end.saturating_sub(limit))..end,
            false => start..end.min(start.saturating_add(limit)),
        }
    }
}

fn range<'c>(call: &'c mut Call<'_>, by: Option<By>, direction: Option<bool>) -> CommandResult<'c> {
    let query = Query::read(call, 2, by, direction, false)?;
    let (key, version) = (call.key(1), call.session.version);
    let Some(entry) = call.db.find(key) else { return Ok(Reply::Array(Vec::new())) };
    let zset = ZsetRef::of(entry)?;
    let ranks = query.ranks(zset);
    if !query.with_scores {
        let mut members = Vec::with_capacity(ranks.len());
        zset.each(ranks, query.backwards, |member, _| members.push(member.reply()));
        return Ok(Reply::Array(members));
    }
    let mut members = Vec::with_capacity(ranks.len());
    zset.each(ranks, query.backwards, |member, score| members.push((member.reply(), score)));
    Ok(scored(version, members.into_iter()))
}

/// ZRANGE key start stop \[BYSCORE | BYLEX\] \[REV\] \[LIMIT offset count\] \[WITHSCORES\]
pub fn zrange<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    range(call, None, None)
}

/// ZREVRANGE key start stop \[WITHSCORES\]
pub fn zrevrange<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    range(call, Some(By::Rank), Some(true))
}

/// ZRANGEBYSCORE key min max \[WITHSCORES\] \[LIMIT offset count\]
pub fn zrangebyscore<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    range(call, Some(By::Score), Some(false))
}

/// ZREVRANGEBYSCORE key max min \[WITHSCORES\] \[LIMIT offset count\]
pub fn zrevrangebyscore<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    range(call, Some(By::Score), Some(true))
}

/// ZRANGEBYLEX key min max \[LIMIT offset count\]
pub fn zrangebylex<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    range(call, Some(By::Lex), Some(false))
}

/// ZREVRANGEBYLEX key max min \[LIMIT offset count\]
pub fn zrevrangebylex<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    range(call, Some(By::Lex), Some(true))
}

/// ZRANGESTORE destination source min max \[BYSCORE | BYLEX\] \[REV\] \[LIMIT offset count\]
pub fn zrangestore<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let query = Query::read(call, 3, None, None, true)?;
    let (destination, source) = (call.key(1), call.key(2));
    let (mut members, mut is_vague) = (Vec::new(), false);
    if let Some(entry) = call.db.find(source) {
        let zset = ZsetRef::of(entry)?;
        is_vague = query.span.is_vague(zset);
        members = named(zset, query.ranks(zset));
    }
    is_vague &= call.db.changes.logged;
    let (len, listed) = (members.len(), is_vague.then(|| members.clone()));
    let before = call.db.changes.dirty;
    store_result(call, destination, members, "zrangestore")?;
    // Once what was due is gone: that is told first.
    if call.db.changes.dirty > before {
        match listed {
            Some(members) => state_members(call, destination, &members),
            None if len == 0 => call.effect(&[b"DEL", destination.bytes]),
            None => call.effect_as_it_came(),
        }
    }
    Ok(Reply::from(len))
}

/// States as the effect that a key has these members and no others.
pub fn state_members(call: &mut Call<'_>, key: Key<'_>, members: &[(Vec<u8>, f64)]) {
    let scores: Vec<Vec<u8>> = members.iter().map(|(_, score)| text_of(*score)).collect();
    let pairs = scores.iter().zip(members).map(|(score, (name, _))| [&score[..], &name[..]]);
    let parts: Vec<&[u8]> = pairs.flatten().collect();
    call.effects_of_new(&[b"ZADD", key.bytes], &parts, 2 * EFFECT_MEMBERS);
}

/// The members of these ranks with their scores.
fn named(zset: ZsetRef<'_>, ranks: Range<usize>) -> Vec<(Vec<u8>, f64)> {
    let mut members = Vec::with_capacity(ranks.len());
    zset.each(ranks, false, |member: Item<'_>, score| {
        members.push((member.bytes().into_owned(), score));
    });
    members
}

/// Stores a result under a key, or removes the key when there is none; replies with its length.
pub(super) fn store_result<'c>(
    call: &'c mut Call<'_>,
    key: Key<'_>,
    members: Vec<(Vec<u8>, f64)>,
    event: &'static str,
) -> CommandResult<'c> {
    let len = members.len();
    if len > 0 {
        store(call, key, members);
        call.changed(Classes::SORTED_SET, event, key);
    } else if call.db.remove(key) {
        call.changed(Classes::GENERIC, "del", key);
    }
    Ok(Reply::from(len))
}

fn count<'c>(call: &'c mut Call<'_>, by: By) -> CommandResult<'c> {
    let span = Span::read(call, by, 2, false)?;
    let key = call.key(1);
    let Some(entry) = call.db.find(key) else { return Ok(Reply::Int(0)) };
    Ok(Reply::from(span.ranks(ZsetRef::of(entry)?, false, 0).len()))
}

/// ZCOUNT key min max
pub fn zcount<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    count(call, By::Score)
}

/// ZLEXCOUNT key min max
pub fn zlexcount<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    count(call, By::Lex)
}

fn remove_span<'c>(call: &'c mut Call<'_>, by: By, event: &'static str) -> CommandResult<'c> {
    let span = Span::read(call, by, 2, false)?;
    let (key, is_logged) = (call.key(1), call.db.changes.logged);
    let Some(mut entry) = call.db.find_for_write(key) else { return Ok(Reply::Int(0)) };
    let zset = ZsetRef::of(entry.view())?;
    let (len, ranks) = (zset.len(), span.ranks(zset, false, 0));
    let removed = ranks.len();
    if removed == 0 {
        return Ok(Reply::Int(0));
    }
    let is_gone = removed == len;
    let is_vague = span.is_vague(zset);
    let is_listed = is_vague && !is_gone && is_logged;
    let names = if is_listed { named(zset, ranks.clone()) } else { Vec::new() };
    if is_gone {
        entry.remove();
    } else {
        remove_range(&mut entry, ranks);
    }
    if !is_vague {
        call.effect_as_it_came();
    } else if is_gone {
        call.effect(&[b"DEL", key.bytes]);
    } else {
        let names: Vec<&[u8]> = names.iter().map(|(name, _)| &name[..]).collect();
        call.effects_of(&[b"ZREM", key.bytes], &names, EFFECT_MEMBERS);
    }
    super::commands::removed(call, key, event, removed, is_gone);
    Ok(Reply::from(removed))
}

/// ZREMRANGEBYRANK key start stop
pub fn zremrangebyrank<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    remove_span(call, By::Rank, "zremrangebyrank")
}

/// ZREMRANGEBYSCORE key min max
pub fn zremrangebyscore<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    remove_span(call, By::Score, "zremrangebyscore")
}

/// ZREMRANGEBYLEX key min max
pub fn zremrangebylex<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    remove_span(call, By::Lex, "zremrangebylex")
}
