//! What a thread counts and times of the commands it runs.
//!
//! A command begins when the last one ended, so a pipeline costs one look at the clock a command. One
//! that runs others within itself began before them: it is told when. Clock and settings are read at the
//! beginning of a turn, which is all that one read of a connection brought.

use super::{CLOCK_READ_NANOS, Executor};
use crate::clock::Tick;
use crate::commands::Command;
use crate::commands::row::Flags;
use crate::config::Settings;
use crate::node::shared::Shared;
use crate::observe::stats::ThreadStats;
use crate::session::Session;
use larder_protocol::{Args, CommandError};
use std::sync::Arc;

/// One thread's counters, and its time.
pub(super) struct Meter {
    pub(super) stats: Arc<ThreadStats>,
    /// The wall clock at the end of the last command, in microseconds since the Unix epoch.
    pub(super) now_us: i64,
    /// Nanoseconds that the commands of this turn took so far.
    pub(super) turn_nanos: u64,
    /// When the last command ended, which is when the next one begins.
    pub(super) tick: Tick,
    /// Whether there was no room for the last command, as long as `maxmemory` is set.
    pub(super) is_short_of_memory: bool,
}

/// A command that ran, as its counters see it.
pub(super) struct Ran<'r> {
    pub(super) command: &'static Command,
    pub(super) args: Args<'r>,
    pub(super) session: &'r Session,
    pub(super) began: Tick,
    pub(super) failure: Option<&'r CommandError>,
    /// Whether the statistics know that error already.
    pub(super) is_counted: bool,
}

impl Meter {
    /// That of a thread which begins now.
    pub(super) fn new(stats: Arc<ThreadStats>, now_us: i64, tick: Tick) -> Self {
        Self { stats, now_us, turn_nanos: 0, tick, is_short_of_memory: false }
    }

    /// Counts a command that ran, shows it to those who look on, and keeps it if it was slow.
    #[inline]
    pub(super) fn count(&mut self, node: &Shared, settings: &Settings, ran: &Ran<'_>) {
        node.push.monitor(node, ran.session, ran.command, ran.args);
        let tick = node.clock.tick();
        let passed = node.clock.nanos_between(self.tick, tick);
        // One that ran no other began when the last one ended.
        let nanos =
            if ran.began == self.tick { passed } else { node.clock.nanos_between(ran.began, tick) };
        self.tick = tick;
        self.now_us += ((self.turn_nanos % 1000 + passed) / 1000) as i64;
        self.turn_nanos += passed;
        self.add(node, settings, ran, nanos);
    }

    /// Counts a command that ran for so long, and keeps it if it was slow.
    #[inline]
    pub(super) fn add(&self, node: &Shared, settings: &Settings, ran: &Ran<'_>, nanos: u64) {
        let counters = self.stats.command(ran.command.id);
        counters.calls.add(1);
        counters.nanos.add(nanos);
        self.stats.commands_processed.add(1);
        if ran.failure.is_some() {
            counters.failed.add(1);
        }
        if let Some(error) = ran.failure
            && !ran.is_counted
        {
            self.count_error(node, error);
        }
        if settings.latency_tracking {
            counters.latencies.get_or_init(Box::default).record(nanos);
        }
        let slower_than_us = settings.slowlog_log_slower_than_us;
        let slow = slower_than_us >= 0 && nanos / 1000 >= slower_than_us as u64;
        let latent_ms = settings.latency_monitor_threshold_ms;
        if slow || (latent_ms > 0 && nanos / 1_000_000 >= latent_ms) {
            self.keep_slow(node, settings, ran, nanos);
        }
    }

    /// Keeps a slow command in the slow log and in the latency monitor.
    #[cold]
    fn keep_slow(&self, node: &Shared, settings: &Settings, ran: &Ran<'_>, nanos: u64) {
        let now_ms = self.now_us.div_euclid(1000);
        let flags = ran.command.row.flags;
        let event = if flags.has(Flags::FAST) { "fast-command" } else { "command" };
        let threshold_ms = settings.latency_monitor_threshold_ms;
        node.latency.record(event, nanos / 1_000_000, threshold_ms, now_ms);
        let slower_than_us = settings.slowlog_log_slower_than_us;
        if slower_than_us >= 0
            && nanos / 1000 >= slower_than_us as u64
            && !flags.has(Flags::SKIP_SLOWLOG)
        {
            let client = &ran.session.client;
            let (address, name) = (client.address(), client.texts.lock().name.clone());
            let max_len = settings.slowlog_max_len;
            let (command, args) = (ran.command, ran.args);
            node.slowlog.push(command, args, nanos / 1000, address, name, now_ms, max_len);
        }
    }

    /// Counts an error reply.
    #[cold]
    pub(super) fn count_error(&self, node: &Shared, error: &CommandError) {
        self.stats.error_replies.add(1);
        node.errors.add(error.code());
    }
}

impl Executor {
    /// The wall clock in milliseconds as of the last command.
    pub fn now_ms(&self) -> i64 {
        self.meter.now_us.div_euclid(1000)
    }

    /// Reads the clock and the settings for the commands that follow.
    #[inline]
    pub fn begin_turn(&mut self) {
        self.read_settings();
        let clock = &self.node.clock;
        self.meter.tick = clock.tick();
        self.meter.turn_nanos = 0;
        let nanos = clock.nanos_between(self.read_tick, self.meter.tick);
        if nanos < CLOCK_READ_NANOS && !clock.is_manual() {
            self.meter.now_us = self.read_us + (nanos / 1000) as i64;
        } else {
            (self.read_tick, self.read_us) = (self.meter.tick, clock.unix_us());
            self.meter.now_us = self.read_us;
        }
    }

    /// Nanoseconds since `begin_turn`, as of the last command.
    #[inline]
    pub fn turn_nanos(&self) -> u64 {
        self.meter.turn_nanos
    }

    /// Reads the settings if they were changed.
    #[inline]
    pub(super) fn read_settings(&mut self) {
        let generation = self.node.config.generation();
        if generation != self.generation {
            self.generation = generation;
            self.settings = self.node.config.load();
        }
    }
}
