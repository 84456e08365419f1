//! Replies that wait for replicas, and replies to writes of a group's primary: those leave only under
//! its lease.
//!
//! The question is asked where replies are written to the socket, not where the command runs: the
//! lease may end in between. Without it they are dropped and the connection with them, so that nothing
//! is acknowledged that another primary may not have.

use super::{Connection, Unsynced};
use crate::commands::row::Flags;
use crate::config::{Settings, WriteAcks};
use crate::dispatch::Executor;
use crate::held::{HeldReplies, HeldReply, Next, TOO_FEW};
use crate::node::member::{Fence, Verdict};
use crate::output::OutputBuffer;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncRead, AsyncWrite};

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Notes the reply that begins at a place, of a command that wrote, or could have and did not:
    /// what it found there may be another's write that is not confirmed.
    #[cold]
    pub(super) fn fence_reply(&mut self, begin: i64, wrote: bool, executor: &Executor) {
        let end = self.output.end();
        if !wrote {
            let writes = |last: &crate::commands::Command| last.row.flags.has(Flags::WRITE);
            let could = executor.last_command().is_some_and(writes);
            if end == begin || !could || self.output.has_error_at(begin) {
                return;
            }
        }
        if end > begin {
            self.holds_replies = true;
            self.fence.add(begin, end, self.output.begin());
        }
        self.session.client.has_written.store(true, Ordering::Relaxed);
        if executor.settings().write_acks != WriteAcks::Primary {
            let offset = if wrote { self.session.written_to } else { self.node.log.offset() };
            self.hold(begin, offset, executor.settings());
        }
    }

    /// Where the first reply to a write begins that has to wait for the group; drops all of them when
    /// they may not leave at all.
    pub(super) fn held_by_fence(&mut self) -> Option<i64> {
        if !self.fence.is_ahead_of(self.output.begin()) {
            return None;
        }
        match self.node.member().map(|member| member.verdict(&self.node)) {
            None | Some(Verdict::Leave) => None,
            Some(Verdict::Wait) => Some(self.fence.begin()),
            Some(Verdict::Drop) => {
                self.output = OutputBuffer::default();
                self.held = HeldReplies::default();
                self.unsynced = Unsynced::default();
                self.fence = Fence::default();
                self.session.client.kill();
                None
            }
        }
    }

    /// Holds the reply of a command back if it wrote; `before` is where the reply begins, and up to
    /// where the session had written before.
    pub(super) fn hold_back(&mut self, before: (i64, u64), executor: &Executor) {
        let wrote = self.session.written_to > before.1;
        if self.node.member().is_some() {
            self.fence_reply(before.0, wrote, executor);
        } else if wrote {
            self.hold(before.0, self.session.written_to, executor.settings());
        }
    }

    /// Holds the reply that begins here back until replicas have what was written.
    #[cold]
    pub(super) fn hold(&mut self, begin: i64, offset: u64, settings: &Settings) {
        let timeout_ms = match settings.write_acks_timeout_ms {
            0 => i64::MAX,
            timeout_ms => timeout_ms as i64,
        };
        let until_ms = self.node.clock.unix_ms().saturating_add(timeout_ms);
        self.holds_replies = true;
        // Of a replica it is what was written just before.
        let is_over = self.node.member().is_none() && self.node.role.is_replica();
        let role = if is_over { u64::MAX } else { self.role() };
        self.held.add(HeldReply { begin, end: self.output.end(), offset, until_ms, role });
    }

    /// The role in which replicas confirm what is written. That of a group's member is the group's
    /// matter, which drops what the next primary may not have.
    fn role(&self) -> u64 {
        match self.node.member() {
            Some(_) => 0,
            None => self.node.role.epoch(),
        }
    }

    /// Lets replies go that need not wait any more.
    #[cold]
    pub(super) fn let_go(&mut self) {
        let places = [self.held_for_replicas(), self.held_for_disk(), self.held_by_fence()];
        self.output.hold_from(places.into_iter().flatten().min());
        self.holds_replies = !self.held.is_empty()
            || !self.unsynced.is_empty()
            || self.fence.is_ahead_of(self.output.begin());
    }

    /// Where the first reply begins that replicas do not have.
    fn held_for_replicas(&mut self) -> Option<i64> {
        loop {
            let (confirmed, now_ms) = (self.node.replicas.confirmed(), self.node.clock.unix_ms());
            match self.held.next(confirmed, now_ms, self.role()) {
                Next::Nothing => return None,
                Next::Late(reply) if self.output.begin() == reply.begin => {
                    let len = (reply.end - reply.begin) as usize;
                    self.output.replace_front(len, TOO_FEW);
                    self.held.drop_first();
                }
                Next::Waits(reply) | Next::Late(reply) => {
                    self.node.replicas.hold(&self.node, &self.session.client, reply.offset);
                    // What was confirmed before the client was known woke nobody.
                    if self.node.replicas.confirmed() == confirmed {
                        return Some(reply.begin);
                    }
                }
            }
        }
    }
}
