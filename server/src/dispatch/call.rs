//! What a command handler sees.

use super::blocking::Wish;
use super::meter::Meter;
use super::unasked;
use crate::commands::Command;
use crate::commands::row::Row;
use crate::config::Settings;
use crate::keyspace::access::Access;
use crate::keyspace::notify::Classes;
use crate::keyspace::{Key, KeyHash};
use crate::node::shared::Shared;
use crate::session::Session;
use larder_protocol::{Args, CommandError, Reply};

/// A handler's answer.
pub type CommandResult<'c> = Result<Reply<'c>, CommandError>;

/// One command on its way through a handler.
pub struct Call<'a> {
    /// The command's row.
    pub row: &'static Row,
    /// Its arguments; argument 0 is the name as the client wrote it.
    pub args: Args<'a>,
    /// Hashes of the keys that the row's key specs found, by argument index.
    pub(super) keys: &'a [(usize, KeyHash)],
    /// The keys whose shards the command holds.
    pub db: Access<'a>,
    /// The connection's state.
    pub session: &'a mut Session,
    /// The node.
    pub node: &'a Shared,
    /// Its settings as of the beginning of the turn.
    pub settings: &'a Settings,
    /// When the command began, in microseconds since the Unix epoch.
    pub now_us: i64,
    pub(super) random: &'a mut fastrand::Rng,
    pub(super) meter: &'a mut Meter,
    /// What the command waits for, if it does.
    pub(super) wish: Option<Wish>,
    /// Whether a command that ran within this one changed something.
    pub(super) has_written: bool,
    /// Whether the error that it answers is in the statistics already.
    pub error_is_counted: bool,
}

impl<'a> Call<'a> {
    /// The key at argument `index`, which the row's key specs name.
    #[inline]
    pub fn key(&self, index: usize) -> Key<'a> {
        let bytes = self.args.at(index);
        // Mostly the keys stand side by side, so their places tell where one is.
        let first = self.keys.first().map_or(0, |(at, _)| *at);
        let guess = self.keys.get(index.wrapping_sub(first)).filter(|(at, _)| *at == index);
        match guess.or_else(|| self.keys.iter().find(|(at, _)| *at == index)) {
            Some((_, hash)) => Key { bytes, hash: *hash },
            None => panic!("argument {index} of {} is no key in its row", self.row.name),
        }
    }

    /// All keys that the row's key specs name, in their order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = Key<'a>> + use<'a> {
        let args = self.args;
        self.keys.iter().map(move |(at, hash)| Key { bytes: args.at(*at), hash: *hash })
    }

    /// A random number.
    pub fn random(&mut self) -> u64 {
        self.random.u64(..)
    }

    /// A random number below `end`, which must be above 0.
    pub fn random_below(&mut self, end: usize) -> usize {
        self.random.usize(..end)
    }

    /// The generator of random numbers.
    pub fn rng(&mut self) -> &mut fastrand::Rng {
        self.random
    }

    /// Milliseconds since the Unix epoch at which the command runs.
    #[inline]
    pub fn now_ms(&self) -> i64 {
        self.now_us.div_euclid(1000)
    }

    /// Whether what gets this deadline goes at once. What was decided elsewhere goes when it is told.
    #[inline]
    pub fn is_past(&self, deadline_ms: i64) -> bool {
        deadline_ms <= self.now_ms() && !self.session.applies && !self.node.role.is_replica()
    }

    /// Notes that the command changed something: the count that INFO shows, an event of the key,
    /// those who watch it.
    #[inline]
    pub fn changed(&mut self, class: Classes, event: &'static str, key: Key<'_>) {
        self.noted(class, event, key);
        self.db.touched(key);
    }

    /// The same for what is no change of the value to those who watch the key: a stream's groups.
    #[inline]
    pub fn noted(&mut self, class: Classes, event: &'static str, key: Key<'_>) {
        self.db.changes.dirty += 1;
        let db = self.db.db();
        self.db.changes.event(class, event, db, key.bytes);
    }

    /// Whether the effects of the commands that run within this one are logged.
    pub fn set_logged(&mut self, logged: bool) {
        self.db.changes.is_muted = !logged;
        self.listen();
    }

    /// Learns who reads the log and hears of events; for whoever has just taken its first shard.
    #[inline]
    pub(super) fn listen(&mut self) {
        unasked::listen(self.node, self.settings, self.session, &mut self.db.changes);
    }

    /// Whether there was no room for the command that came, which may be a transaction around this one.
    pub fn is_short_of_memory(&self) -> bool {
        let has_limit = self.settings.maxmemory_bytes > 0;
        has_limit && !self.session.applies && self.meter.is_short_of_memory
    }

    /// Counts an error that a command within this one answered without running.
    pub fn count_error(&self, error: &CommandError) {
        self.meter.count_error(self.node, error);
    }

    /// Counts a command that was refused within this one.
    pub fn count_rejected(&self, command: &Command) {
        self.meter.stats.command(command.id).rejected.add(1);
    }

    /// States effects of a command whose row says `Rewritten`: `head` with at most `most` of `parts`
    /// behind it, as often as it takes. They come as one transaction.
    pub fn effects_of(&mut self, head: &[&[u8]], parts: &[&[u8]], most: usize) {
        if !self.db.changes.logged {
            return;
        }
        parts.chunks(most).for_each(|parts| self.effect(&[head, parts].concat()));
        self.db.changes.nested |= parts.len() > most;
    }

    /// The same for what a key has from now on instead of what it had.
    pub fn effects_of_new(&mut self, head: &[&[u8]; 2], parts: &[&[u8]], most: usize) {
        self.effect(&[b"DEL", head[1]]);
        self.effects_of(head, parts, most);
        self.db.changes.nested |= self.db.changes.logged;
    }

    /// States the command itself as the effect of a command whose row says `Rewritten`.
    pub fn effect_as_it_came(&mut self) {
        if self.db.changes.logged {
            let command: Vec<&[u8]> = self.args.iter().collect();
            self.effect(&command);
        }
    }

    /// States an effect of a command whose row says `Rewritten`.
    pub fn effect(&mut self, command: &[&[u8]]) {
        let db = self.db.db();
        self.db.changes.effect(db, command);
    }

    /// States that a key is gone as the effect of a command that deletes it among other things.
    pub fn effect_gone(&mut self, key: Key<'_>) {
        let db = self.db.db();
        self.db.changes.gone(db, key.bytes, self.settings.lazyfree_lazy_server_del);
    }

    /// The same for a command that found the key's new deadline past.
    pub fn effect_expired(&mut self, key: Key<'_>) {
        let db = self.db.db();
        self.db.changes.gone(db, key.bytes, self.settings.lazyfree_lazy_expire);
    }
}
