//! Replies that wait until what they tell of is safe elsewhere.
//!
//! With `write-acks quorum` or `all` a write's reply stays in its connection's output until enough
//! replicas have the write. The connection goes on meanwhile: it reads, runs what comes, and keeps the
//! replies behind the first one that waits in their order. One that waits for too long is replaced
//! by an error: the write may be lost, or may not.

use larder_protocol::CommandError;
use std::collections::VecDeque;

/// What is answered to a write that too few replicas have in time.
pub const TOO_FEW: &[u8] =
    b"-NOREPLICAS The write is applied here, but too few replicas have it in \
    time (write-acks)\r\n";

/// The same without what makes it a line.
pub fn too_few() -> CommandError {
    let text = TOO_FEW.strip_prefix(b"-").and_then(|text| text.strip_suffix(b"\r\n"));
    CommandError::custom(text.unwrap_or(TOO_FEW))
}

/// A reply that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldReply {
    /// Where it begins in the output.
    pub begin: i64,
    /// Where it ends.
    pub end: i64,
    /// The offset of the effect log that replicas must have.
    pub offset: u64,
    /// When it waits no more, in milliseconds since the Unix epoch.
    pub until_ms: i64,
    /// The role in which it was written: in another one offsets may count in another history.
    pub role: u64,
}

/// The replies of one connection that wait, in their order.
#[derive(Debug, Default)]
pub struct HeldReplies(VecDeque<HeldReply>);

/// What becomes of the first reply that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// There is none.
    Nothing,
    /// It waits on.
    Waits(HeldReply),
    /// Its time is over.
    Late(HeldReply),
}

impl HeldReplies {
    /// Whether none waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one behind the others.
    pub fn add(&mut self, reply: HeldReply) {
        self.0.push_back(reply);
    }

    /// Lets those go that replicas have up to `confirmed`, as is known in a role, and tells of the first
    /// of the rest. What was written in another role will not be confirmed any more.
    pub fn next(&mut self, confirmed: u64, now_ms: i64, role: u64) -> Next {
        while let Some(first) = self.0.front() {
            if first.role != role {
                return Next::Late(*first);
            }
            if first.offset > confirmed {
                let is_late = now_ms >= first.until_ms;
                return if is_late { Next::Late(*first) } else { Next::Waits(*first) };
            }
            self.0.pop_front();
        }
        // A queue that a burst made long is not kept.
        self.0 = VecDeque::new();
        Next::Nothing
    }

    /// Drops the first one.
    pub fn drop_first(&mut self) {
        self.0.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(offset: u64) -> HeldReply {
        HeldReply { begin: 0, end: 5, offset, until_ms: 100, role: 1 }
    }

    #[test]
    fn replies_go_in_order_as_replicas_get_on() {
        let mut held = HeldReplies::default();
        assert_eq!(held.next(0, 0, 1), Next::Nothing);
        held.add(reply(10));
        held.add(reply(20));
        assert_eq!(held.next(9, 99, 1), Next::Waits(reply(10)));
        assert_eq!(held.next(10, 99, 1), Next::Waits(reply(20)));
        assert_eq!(held.next(10, 100, 1), Next::Late(reply(20)));
        held.drop_first();
        assert_eq!(held.next(10, 100, 1), Next::Nothing);
        held.add(reply(30));
        assert_eq!(held.next(u64::MAX, 100, 1), Next::Nothing);
        assert!(held.is_empty());
    }

    #[test]
    fn what_another_role_has_confirmed_confirms_nothing() {
        let mut held = HeldReplies::default();
        held.add(reply(10));
        assert_eq!(held.next(10, 0, 2), Next::Late(reply(10)));
    }
}
