//! What members say to each other.
//!
//! Messages come over links that both ends made sure of, but a member may run another version or be
//! broken: what cannot be read as a whole is refused, and lengths are believed only as far as there are
//! bytes for them.

use super::change::{Change, Refusal};
use super::config::{Incarnation, Member, NodeId};
use super::consensus::{RaftAnswer, RaftRequest};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The longest message.
pub(super) const MAX_MESSAGE_BYTES: usize = 1 << 20;

/// A question.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// The primary of an epoch asks for its lease.
    Renew { epoch: u64, membership: u64 },
    /// Would you help to elect another primary?
    IsWilling,
    /// Promise this epoch.
    Promise { epoch: u64 },
    /// Consensus.
    Raft(RaftRequest),
    /// Let this change be agreed on, if you lead consensus.
    Propose(Change),
    /// Let another member in, or one out, if you lead consensus.
    Admit(Member),
    /// Let one go.
    Dismiss(NodeId),
    /// Hand over, if you are the primary.
    HandOver { to: Option<NodeId> },
    /// Lose your power for so long.
    PowerOff { duration_ms: u64 },
}

/// An answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// To `Renew`: whether, and the greatest epochs that were promised and agreed on.
    Renewed { granted: bool, promised: u64, known: u64 },
    /// To `IsWilling`.
    Willing { willing: bool, promised: u64, known: u64 },
    /// To `Promise`.
    Promised(Promised),
    /// Consensus.
    Raft(RaftAnswer),
    /// To what has to be done or is refused.
    Done(Result<(), AskError>),
    /// To `HandOver`: who is the primary now.
    HandedOver(Result<NodeId, AskError>),
}

/// What comes of a `Promise`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Promised {
    /// It is given, and what the node holds stands; none for a witness.
    Yes(Option<Held>),
    /// It is not.
    No { promised: u64, known: u64 },
}

/// What a node holds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) incarnation: Incarnation,
    pub(super) epoch: u64,
    pub(super) offset: u64,
}

/// Why something that was asked for was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum AskError {
    /// The group refused it.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// Nobody leads the group, or too few members can be reached. It may happen yet.
    #[error("the group cannot agree now: too few of its members can be reached")]
    NoQuorum,
    /// The group has no primary now.
    #[error("the group has no primary now")]
    NoPrimary,
    /// The member that was asked is not the one that decides.
    #[error("another member decides that")]
    NotMine,
    /// It was tried and given up; everything is as it was.
    #[error("{0}")]
    GivenUp(String),
}

/// Encodes a message.
pub(super) fn encode(message: &impl Serialize) -> Bytes {
    // Fails only where a value has no length beforehand, which none of these is.
    postcard::to_stdvec(message).unwrap_or_default().into()
}

/// Decodes a message; none if it is not exactly one.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    if bytes.len() > MAX_MESSAGE_BYTES {
        return None;
    }
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Some(message),
        _ => None,
    }
}

/// Whether a request has consensus change anything.
#[cfg(test)]
pub(super) fn changes(request: &[u8]) -> bool {
    match decode(request) {
        Some(Request::Raft(RaftRequest::Append(append))) => !append.entries.is_empty(),
        Some(Request::Raft(_) | Request::Propose(_)) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_come_back_as_they_were() {
        let message = Request::Promise { epoch: 1 << 40 };
        let bytes = encode(&message);
        assert!(matches!(decode(&bytes), Some(Request::Promise { epoch }) if epoch == 1 << 40));
        let longer = [&bytes[..], b"x"].concat();
        assert!(decode::<Request>(&longer).is_none());
        assert!(decode::<Request>(&bytes[..bytes.len() - 1]).is_none());
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_message_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode::<Request>(&bytes);
            let _ = decode::<Answer>(&bytes);
        }

        #[test]
        fn a_changed_message_is_a_message_or_none(at in 0usize..400, to in any::<u8>()) {
            let change = Change::test_failover("sessions", 77);
            let mut bytes = encode(&Request::Propose(change)).to_vec();
            let at = at % bytes.len();
            bytes[at] = to;
            let _ = decode::<Request>(&bytes);
        }
    }
}
