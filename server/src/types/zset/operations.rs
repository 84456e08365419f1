//! Union, intersection and difference of sorted sets and sets, and where their result goes.

use super::ranges::store_result;
use super::{ZsetRef, scored};
use crate::dispatch::call::{Call, CommandResult};
use crate::keyspace::Key;
use crate::raw::EntryRef;
use crate::types::packed::Item;
use crate::types::set::SetRef;
use foldhash::fast::RandomState;
use larder_protocol::{CommandError, Reply};
use std::cmp::Ordering;
use std::collections::HashMap;

/// What is done with several sorted sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Union,
    Inter,
    Diff,
}

/// What becomes of a member's scores in several sorted sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn of(self, score: f64, other: f64) -> f64 {
        match self {
            Self::Sum => not_nan(score + other),
            Self::Min if other < score => other,
            Self::Max if other > score => other,
            Self::Min | Self::Max => score,
        }
    }
}

/// Infinities that cancel each other out, and infinity times zero, are 0.
fn not_nan(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// One of the sets that an operation works on.
#[derive(Clone, Copy)]
enum Source<'a> {
    Missing,
    Zset(ZsetRef<'a>),
    /// Its members have the score 1.
    Set(SetRef<'a>),
}

impl<'a> Source<'a> {
    fn of(entry: Option<EntryRef<'a>>) -> Result<Self, CommandError> {
        let Some(entry) = entry else { return Ok(Self::Missing) };
        ZsetRef::of(entry).map(Self::Zset).or_else(|_| SetRef::of(entry).map(Self::Set))
    }

    fn len(self) -> usize {
        match self {
            Self::Missing => 0,
            Self::Zset(zset) => zset.len(),
            Self::Set(set) => set.len(),
        }
    }

    fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            Self::Missing => None,
            Self::Zset(zset) => zset.score(member),
            Self::Set(set) => set.contains(member).then_some(1.0),
        }
    }

    fn each(self, mut visit: impl FnMut(Item<'a>, f64)) {
        match self {
            Self::Missing => {}
            Self::Zset(zset) => zset.each(0..zset.len(), false, visit),
            Self::Set(set) => set.each(|member| visit(member, 1.0)),
        }
    }
}

/// An operation as its arguments say.
struct Query<'a> {
    keys: Vec<Key<'a>>,
    weights: Vec<f64>,
    aggregate: Aggregate,
    with_scores: bool,
    limit: usize,
}

/// The options that a command takes.
#[derive(Clone, Copy, Debug)]
struct Options {
    weights: bool,
    with_scores: bool,
    limit: bool,
}

impl<'a> Query<'a> {
    /// Reads the count of keys at argument `at`, looks the keys up, and reads the options.
    fn read(call: &mut Call<'a>, at: usize, allowed: Options) -> Result<Self, CommandError> {
        let args = call.args;
        let mut reader = args.reader(at);
        let count = reader.int();
        reader.finish()?;
        if count < 1 {
            return Err(CommandError::no_input_key(call.row.name));
        }
        if count > (args.len() - at - 1) as i64 {
            return Err(CommandError::SYNTAX);
        }
        let count = count as usize;
        let keys: Vec<_> = (at + 1..=at + count).map(|at| call.key(at)).collect();
        for key in &keys {
            Source::of(call.db.find(*key))?;
        }
        let mut query = Self {
            keys,
            weights: vec![1.0; count],
            aggregate: Aggregate::Sum,
            with_scores: false,
            limit: usize::MAX,
        };
        let mut options = args.reader(at + 1 + count);
        while options.has_next() {
            if allowed.weights && options.remaining() > count && options.keyword("weights") {
                for weight in &mut query.weights {
                    *weight = options.double_or(CommandError::WEIGHT_NOT_FLOAT);
                }
            } else if allowed.weights && options.remaining() > 1 && options.keyword("aggregate") {
                query.aggregate = match () {
                    () if options.keyword("sum") => Aggregate::Sum,
                    () if options.keyword("min") => Aggregate::Min,
                    () if options.keyword("max") => Aggregate::Max,
                    () => return Err(CommandError::SYNTAX),
                };
            } else if allowed.with_scores && options.keyword("withscores") {
                query.with_scores = true;
            } else if allowed.limit && options.remaining() > 1 && options.keyword("limit") {
                let limit = options.int_in_or(0..=i64::MAX, CommandError::NEGATIVE_LIMIT) as usize;
                query.limit = if limit == 0 { usize::MAX } else { limit };
            } else {
                options.fail(CommandError::SYNTAX);
            }
        }
        options.finish()?;
        Ok(query)
    }

    /// The sets with their weights, in the order of the keys.
    fn sources<'c>(&self, call: &'c Call<'_>) -> Result<Vec<(Source<'c>, f64)>, CommandError> {
        let source = |key: &Key<'_>| Source::of(call.db.view(*key));
        let sources = self.keys.iter().map(source).zip(&self.weights);
        sources.map(|(source, weight)| Ok((source?, *weight))).collect()
    }

    /// The members of the result, in no particular order.
    fn result(&self, call: &Call<'_>, operation: Operation) -> Result<Members, CommandError> {
        let mut sources = self.sources(call)?;
        if operation == Operation::Diff {
            return Ok(difference(&sources));
        }
        sources.sort_by_key(|(source, _)| source.len());
        Ok(if operation == Operation::Union {
            union(&sources, self.aggregate)
        } else {
            let mut members = Vec::new();
            intersection(&sources, self.aggregate, |member, score| {
                members.push((member.bytes().into_owned(), score));
                true
            });
            members
        })
    }
}

type Members = Vec<(Vec<u8>, f64)>;

fn union(sources: &[(Source<'_>, f64)], aggregate: Aggregate) -> Members {
    let mut scores = HashMap::<Vec<u8>, f64, RandomState>::default();
    for (source, weight) in sources {
        source.each(|member, score| {
            let score = not_nan(score * weight);
            let member = member.bytes();
            match scores.get_mut(&*member) {
                Some(known) => *known = aggregate.of(*known, score),
                None => {
                    scores.insert(member.into_owned(), score);
                }
            }
        });
    }
    scores.into_iter().collect()
}

/// Shows `visit` the members that all sets have; the smallest set comes first.
fn intersection<'a>(
    sources: &[(Source<'a>, f64)],
    aggregate: Aggregate,
    mut visit: impl FnMut(Item<'a>, f64) -> bool,
) {
    let Some(((smallest, weight), others)) = sources.split_first() else { return };
    let mut goes_on = true;
    smallest.each(|member, score| {
        if !goes_on {
            return;
        }
        let bytes = member.bytes();
        let scores = others.iter().map(|(other, weight)| Some(other.score(&bytes)? * weight));
        let all = scores
            .into_iter()
            .try_fold(not_nan(score * weight), |score, other| Some(aggregate.of(score, other?)));
        if let Some(score) = all {
            goes_on = visit(member, score);
        }
    });
}

fn difference(sources: &[(Source<'_>, f64)]) -> Members {
    let mut members = Vec::new();
    let Some(((first, _), others)) = sources.split_first() else { return members };
    first.each(|member, score| {
        let bytes = member.bytes();
        if !others.iter().any(|(other, _)| other.score(&bytes).is_some()) {
            members.push((bytes.into_owned(), score));
        }
    });
    members
}

fn reply<'c>(call: &'c mut Call<'_>, operation: Operation) -> CommandResult<'c> {
    let weights = operation != Operation::Diff;
    let query = Query::read(call, 1, Options { weights, with_scores: true, limit: false })?;
    let mut members = query.result(call, operation)?;
    members.sort_by(|(name, score), (other, other_score)| {
        score.partial_cmp(other_score).unwrap_or(Ordering::Equal).then_with(|| name.cmp(other))
    });
    let members = members.into_iter().map(|(name, score)| (Reply::Owned(name), score));
    Ok(if query.with_scores {
        scored(call.session.version, members)
    } else {
        Reply::Array(members.map(|(name, _)| name).collect())
    })
}

fn store<'c>(
    call: &'c mut Call<'_>,
    operation: Operation,
    event: &'static str,
) -> CommandResult<'c> {
    let weights = operation != Operation::Diff;
    let query = Query::read(call, 2, Options { weights, with_scores: false, limit: false })?;
    let members = query.result(call, operation)?;
    let destination = call.key(1);
    store_result(call, destination, members, event)
}

/// ZUNION numkeys key \[key ...\] \[WEIGHTS weight ...\] \[AGGREGATE SUM | MIN | MAX\] \[WITHSCORES\]
pub fn zunion<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    reply(call, Operation::Union)
}

/// ZINTER numkeys key \[key ...\] \[WEIGHTS weight ...\] \[AGGREGATE SUM | MIN | MAX\] \[WITHSCORES\]
pub fn zinter<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    reply(call, Operation::Inter)
}

/// ZDIFF numkeys key \[key ...\] \[WITHSCORES\]
pub fn zdiff<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    reply(call, Operation::Diff)
}

/// ZUNIONSTORE destination numkeys key \[key ...\] \[WEIGHTS weight ...\] \[AGGREGATE SUM | MIN | MAX\]
pub fn zunionstore<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    store(call, Operation::Union, "zunionstore")
}

/// ZINTERSTORE destination numkeys key \[key ...\] \[WEIGHTS weight ...\] \[AGGREGATE SUM | MIN | MAX\]
pub fn zinterstore<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    store(call, Operation::Inter, "zinterstore")
}

/// ZDIFFSTORE destination numkeys key \[key ...\]
pub fn zdiffstore<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    store(call, Operation::Diff, "zdiffstore")
}

/// ZINTERCARD numkeys key \[key ...\] \[LIMIT limit\]
pub fn zintercard<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let options = Options { weights: false, with_scores: false, limit: true };
    let query = Query::read(call, 1, options)?;
    let mut sources = query.sources(call)?;
    sources.sort_by_key(|(source, _)| source.len());
    let mut count = 0;
    intersection(&sources, query.aggregate, |_, _| {
        count += 1;
        count < query.limit
    });
    Ok(Reply::from(count))
}
