//! Judges. They see what clients and nodes did, and know nothing of how a group works.

use super::client::{KEYS, Op};
use super::node::{Entry, Served};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::AtomicBool;

/// One call of a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) key: u8,
    /// What it writes; none for a read.
    pub(super) value: Option<u64>,
    pub(super) invoked: u64,
    pub(super) returned: u64,
    pub(super) served: Served,
}

/// A reply that left a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply {
    /// When its node looked whether it may leave.
    pub(super) at: u64,
    pub(super) place: usize,
    pub(super) epoch: u64,
    pub(super) value: Option<u64>,
}

/// What happened in one history.
#[derive(Default)]
pub(super) struct Record {
    pub(super) calls: Mutex<Vec<Call>>,
    pub(super) replies: Mutex<Vec<Reply>>,
    pub(super) full_syncs: Mutex<Vec<(u64, usize)>>,
    /// Nobody begins a call any more.
    pub(super) is_over: AtomicBool,
}

impl Record {
    pub(super) fn called(&self, call: Call) {
        self.calls.lock().push(call);
    }

    pub(super) fn acknowledged(&self, at: u64, place: usize, epoch: u64, value: Option<u64>) {
        self.replies.lock().push(Reply { at, place, epoch, value });
    }

    pub(super) fn full_sync(&self, at: u64, place: usize) {
        self.full_syncs.lock().push((at, place));
    }
}

/// One node replies in an epoch, and none in an earlier one once a later one has begun to.
pub(super) fn one_primary_at_a_time(record: &Record) -> Result<(), String> {
    let mut owners = BTreeMap::new();
    let mut latest = 0;
    let mut replies = record.replies.lock().clone();
    replies.sort_by_key(|reply| reply.at);
    for reply in &replies {
        let owner = *owners.entry(reply.epoch).or_insert(reply.place);
        if owner != reply.place || reply.epoch < latest {
            return Err(format!(
                "two primaries: {reply:?}, when epoch {latest} was on and {owner} led it"
            ));
        }
        latest = reply.epoch;
    }
    Ok(())
}

/// Every write that was acknowledged is in the log that is left.
pub(super) fn nothing_is_lost(record: &Record, log: &[Entry]) -> Result<(), String> {
    let kept: HashSet<u64> = log.iter().map(|entry| entry.op.value).collect();
    let replies = record.replies.lock();
    let lost: Vec<&Reply> = replies
        .iter()
        .filter(|one| one.value.is_some_and(|value| !kept.contains(&value)))
        .collect();
    match lost.first() {
        Some(first) => Err(format!("{} writes lost, the first one {first:?}", lost.len())),
        None => Ok(()),
    }
}

/// The logs of all nodes are the same.
pub(super) fn all_have_the_same(logs: &[(usize, Vec<Entry>)]) -> Result<(), String> {
    let Some((first, log)) = logs.first() else { return Err("no node is left".to_owned()) };
    match logs.iter().find(|(_, other)| other != log) {
        Some((other, theirs)) => Err(format!(
            "node {first} has {} writes and node {other} has {}, not the same",
            log.len(),
            theirs.len()
        )),
        None => Ok(()),
    }
}

/// Each key behaves as one register.
pub(super) fn linearizable(record: &Record) -> Result<(), String> {
    let calls = record.calls.lock();
    for key in 0..KEYS {
        let read: HashSet<u64> = calls
            .iter()
            .filter(|call| call.key == key && call.value.is_none())
            .filter_map(|call| match call.served {
                Served::Done(seen) => seen,
                _ => None,
            })
            .collect();
        let relevant = |call: &&Call| match (call.value, call.served) {
            (_, Served::Refused) | (None, Served::Unknown) => false,
            // What may or may not have happened and nobody saw may as well not have.
            (Some(value), Served::Unknown) => read.contains(&value),
            (_, Served::Done(_)) => true,
        };
        let mut of_key: Vec<Call> =
            calls.iter().filter(|call| call.key == key).filter(relevant).copied().collect();
        of_key.sort_by_key(|call| call.invoked);
        register(&of_key).map_err(|error| format!("key {key} is not linearizable: {error}"))?;
    }
    Ok(())
}

/// The algorithm of Wing and Gong with the memory of Lowe, for one register: is there an order of the
/// calls in which each takes effect between its beginning and its end, and each read sees the latest
/// write?
fn register(calls: &[Call]) -> Result<(), String> {
    let end = |call: &Call| match call.served {
        Served::Done(_) => call.returned,
        _ => u64::MAX,
    };
    let mut done = vec![false; calls.len()];
    let mut value = None;
    let mut path: Vec<(usize, Option<u64>)> = Vec::new();
    let mut seen: HashSet<(Vec<u64>, Option<u64>)> = HashSet::new();
    let mut from = 0;
    let mut first = 0;
    loop {
        while done.get(first) == Some(&true) {
            first += 1;
        }
        if calls[first..]
            .iter()
            .zip(&done[first..])
            .all(|(call, done)| *done || end(call) == u64::MAX)
        {
            return Ok(());
        }
        // Who ends first among those that are not placed yet bounds who may be next.
        let open = (first..calls.len()).filter(|&at| !done[at]);
        let bound = open.map(|at| end(&calls[at])).min().unwrap_or(u64::MAX);
        let fits = |at: &usize| {
            let call = &calls[*at];
            !done[*at]
                && match (call.value, call.served) {
                    (None, Served::Done(read)) => read == value,
                    _ => true,
                }
        };
        let mut next = from.max(first);
        let found = loop {
            if next >= calls.len() || calls[next].invoked > bound {
                break None;
            }
            if fits(&next) {
                let mut set = bits(&done);
                set[next / 64] |= 1 << (next % 64);
                let after = calls[next].value.or(value);
                if seen.insert((set, after)) {
                    break Some((next, after));
                }
            }
            next += 1;
        };
        if let Some((at, after)) = found {
            path.push((at, value));
            done[at] = true;
            value = after;
            from = 0;
        } else if let Some((at, before)) = path.pop() {
            done[at] = false;
            value = before;
            from = at + 1;
            first = 0;
        } else {
            return Err(format!("no order of its {} calls", calls.len()));
        }
        if seen.len() > 2_000_000 {
            return Err("undecided: too many orders".to_owned());
        }
    }
}

fn bits(done: &[bool]) -> Vec<u64> {
    done.chunks(64)
        .map(|chunk| {
            chunk.iter().enumerate().fold(0, |word, (at, done)| word | u64::from(*done) << at)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(value: Option<u64>, invoked: u64, returned: u64, served: Served) -> Call {
        Call { key: 0, value, invoked, returned, served }
    }

    fn verdict(calls: Vec<Call>) -> bool {
        let record = Record::default();
        *record.calls.lock() = calls;
        linearizable(&record).is_ok()
    }

    fn write(value: u64, invoked: u64, returned: u64) -> Call {
        call(Some(value), invoked, returned, Served::Done(Some(value)))
    }

    fn read(value: Option<u64>, invoked: u64, returned: u64) -> Call {
        call(None, invoked, returned, Served::Done(value))
    }

    #[test]
    fn a_register_is_one() {
        assert!(verdict(vec![read(None, 0, 1), write(1, 2, 3), read(Some(1), 4, 5)]));
        assert!(verdict(vec![write(1, 0, 9), read(None, 1, 2), read(Some(1), 3, 4)]));
        assert!(verdict(vec![write(1, 0, 9), write(2, 0, 9), read(Some(1), 10, 11)]));
        let unknown = call(Some(7), 0, 1, Served::Unknown);
        assert!(verdict(vec![unknown, read(None, 2, 3), read(Some(7), 4, 5)]));
    }

    #[test]
    fn what_is_not_one_is_found() {
        assert!(!verdict(vec![write(1, 0, 1), read(None, 2, 3)]), "a stale read");
        let back = vec![write(1, 0, 9), read(Some(1), 1, 2), read(None, 3, 4)];
        assert!(!verdict(back), "a value that went again");
        let two = vec![write(1, 0, 1), write(2, 2, 3), read(Some(1), 4, 5)];
        assert!(!verdict(two), "an overwritten value");
        assert!(!verdict(vec![read(Some(5), 0, 1)]), "a value that nobody wrote");
        let unknown = call(Some(7), 0, 1, Served::Unknown);
        assert!(!verdict(vec![unknown, read(Some(7), 2, 3), read(None, 4, 5)]));
    }

    #[test]
    fn a_later_epoch_ends_the_earlier_one() {
        let record = Record::default();
        record.acknowledged(1, 0, 1, None);
        record.acknowledged(2, 1, 2, Some(1));
        assert!(one_primary_at_a_time(&record).is_ok());
        record.acknowledged(3, 0, 1, None);
        assert!(one_primary_at_a_time(&record).is_err());
        let op = Op { key: 0, value: 1 };
        assert!(nothing_is_lost(&record, &[Entry { end: 20, op }]).is_ok());
        assert!(nothing_is_lost(&record, &[]).is_err());
    }
}
