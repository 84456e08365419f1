//! Who may go on where it was.
//!
//! A replica names the history it has and the byte it wants next. It may go on when it has our
//! history, or the one we had before up to the point where ours began, and when the backlog still
//! has that byte. Everything else is another history and means a full sync: also an offset that is
//! ahead of ours.

use crate::ReplicationId;
use crate::log::History;
use std::ops::Range;

/// What a replica asks for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The id it has, `?` for none.
    pub replid: &'a [u8],
    /// The offset of the next byte it wants, counted from 1 as in the protocol.
    pub offset: i64,
}

/// How it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// With the bytes from here on, counted from 0.
    Continue(u64),
    /// From the beginning.
    Full(Reason),
}

/// Why it must begin anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It asked for that.
    Wanted,
    /// It has another history.
    OtherHistory,
    /// It went on in the former history when we did not.
    BeyondFork,
    /// The backlog does not have the byte.
    OutOfBacklog,
}

/// Decides on a request; `backlog` has the offsets of the bytes that are kept, if any are.
pub fn answer(history: &History, backlog: Option<Range<u64>>, request: Request<'_>) -> Answer {
    let Request { replid, offset } = request;
    if replid == b"?" {
        return Answer::Full(Reason::Wanted);
    }
    if !history.replid.is(replid) {
        let Some((former, second_offset)) = history.former else {
            return Answer::Full(Reason::OtherHistory);
        };
        if !former.is(replid) {
            return Answer::Full(Reason::OtherHistory);
        }
        if offset > second_offset as i64 {
            return Answer::Full(Reason::BeyondFork);
        }
    }
    let next = u64::try_from(offset).ok().and_then(|offset| offset.checked_sub(1));
    match (backlog, next) {
        (Some(kept), Some(next)) if next >= kept.start && next <= kept.end => {
            Answer::Continue(next)
        }
        _ => Answer::Full(Reason::OutOfBacklog),
    }
}

/// Up to which offset two lineages are the same; nothing when they have no history in common.
pub fn fork(one: &[(ReplicationId, u64)], other: &[(ReplicationId, u64)]) -> Option<u64> {
    let common = |(id, end): &(ReplicationId, u64)| {
        let same = other.iter().rev().find(|(other, _)| other == id)?;
        Some(same.1.min(*end))
    };
    one.iter().rev().find_map(common)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lineages_part_where_the_first_of_them_turned() {
        let ids: Vec<_> = (0..4).map(|_| ReplicationId::random()).collect();
        let old = [(ids[0], 100), (ids[1], 180)];
        assert_eq!(fork(&old, &[(ids[0], 100), (ids[1], 150), (ids[2], 400)]), Some(150));
        assert_eq!(fork(&old, &[(ids[0], 90), (ids[2], 120), (ids[3], 400)]), Some(90));
        assert_eq!(fork(&old, &[(ids[1], 500)]), Some(180), "nothing is lost");
        assert_eq!(fork(&old, &[(ids[2], 50), (ids[3], 60)]), None);
        assert_eq!(fork(&[], &old), None);
    }

    #[test]
    fn only_a_common_history_goes_on() {
        let (replid, former) = (ReplicationId::random(), ReplicationId::random());
        let history = History { replid, former: Some((former, 501)) };
        let other = ReplicationId::random();
        let asked = |id: &ReplicationId, offset| {
            let request = Request { replid: id.as_str().as_bytes(), offset };
            answer(&history, Some(100..1000), request)
        };
        assert_eq!(asked(&replid, 101), Answer::Continue(100));
        assert_eq!(asked(&replid, 1001), Answer::Continue(1000), "it has all we have");
        assert_eq!(asked(&replid, 100), Answer::Full(Reason::OutOfBacklog));
        assert_eq!(asked(&replid, 1002), Answer::Full(Reason::OutOfBacklog), "it is ahead");
        assert_eq!(asked(&former, 501), Answer::Continue(500));
        assert_eq!(asked(&former, 502), Answer::Full(Reason::BeyondFork));
        assert_eq!(asked(&other, 200), Answer::Full(Reason::OtherHistory));
        for offset in [i64::MIN, -1, 0, i64::MAX] {
            assert_eq!(asked(&replid, offset), Answer::Full(Reason::OutOfBacklog));
        }
    }

    #[test]
    fn without_a_backlog_or_a_former_history_there_is_nothing_to_go_on_with() {
        let history = History { replid: ReplicationId::random(), former: None };
        let id = history.replid;
        let own = Request { replid: id.as_str().as_bytes(), offset: 1 };
        assert_eq!(answer(&history, None, own), Answer::Full(Reason::OutOfBacklog));
        let unknown = Request { replid: ReplicationId::NONE.as_str().as_bytes(), offset: 1 };
        assert_eq!(answer(&history, Some(0..10), unknown), Answer::Full(Reason::OtherHistory));
        let new = Request { replid: b"?", offset: -1 };
        assert_eq!(answer(&history, Some(0..10), new), Answer::Full(Reason::Wanted));
    }
}
