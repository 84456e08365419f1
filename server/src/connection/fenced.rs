//! Replies to writes of a group's primary: they leave only under its lease.
//!
//! The question is asked where replies are written to the socket, not where the command runs: the
//! lease may end in between. Without it they are dropped and the connection with them, so that nothing
//! is acknowledged that another primary may not have.

use super::{Connection, Unsynced};
use crate::commands::row::Flags;
use crate::config::WriteAcks;
use crate::dispatch::Executor;
use crate::held::HeldReplies;
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
}
