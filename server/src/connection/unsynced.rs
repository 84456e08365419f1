//! Replies that wait until what they tell of is on the disk.
//!
//! Where `appendfsync always` holds, what a turn's commands answered may not leave before the effects
//! that were logged by then are on the disk: its own, and those that it may have read. The replies
//! stay in the output, and the connection reads and runs on; each turn's leave when its position in
//! the append-only file is reached.

use super::Connection;
use std::collections::VecDeque;

/// Turns that are told apart; what comes beyond waits with the last of them.
const TURNS: usize = 64;

/// The turns of one connection whose replies wait.
#[derive(Default)]
pub(super) struct Unsynced {
    turns: VecDeque<Turn>,
    /// The position at which the client is woken.
    asked: Option<u64>,
}

/// The replies of one turn.
struct Turn {
    /// Where they begin in the output.
    begin: i64,
    /// The position that they wait for.
    position: u64,
}

impl Unsynced {
    /// Whether none waits.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    fn add(&mut self, begin: i64, position: u64) {
        let is_full = self.turns.len() >= TURNS;
        match self.turns.back_mut() {
            Some(last) if is_full || last.position == position => last.position = position,
            _ => self.turns.push_back(Turn { begin, position }),
        }
    }
}

impl<S> Connection<S> {
    /// Holds back what was answered from here on, where replies wait for the disk.
    #[inline]
    pub(super) fn hold_for_disk(&mut self, begin: i64) {
        if self.node.aof.is_strict()
            && self.output.end() > begin
            && let Some(position) = self.node.aof.awaits()
        {
            self.holds_replies = true;
            self.unsynced.add(begin, position);
        }
    }

    /// Where the first reply begins that has to wait for the disk; the client is woken when it need
    /// not any more.
    pub(super) fn held_for_disk(&mut self) -> Option<i64> {
        while let Some(Turn { begin, position }) = self.unsynced.turns.front() {
            let (aof, position) = (&self.node.aof, *position);
            let is_safe = if self.unsynced.asked == Some(position) {
                aof.has_reached(position)
            } else {
                aof.is_safe(position, &self.session.client)
            };
            if !is_safe {
                self.unsynced.asked = Some(position);
                return Some(*begin);
            }
            self.unsynced.turns.pop_front();
        }
        None
    }
}
