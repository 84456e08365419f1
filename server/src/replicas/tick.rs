//! What happens now and then for replicas: PING, timeouts, limits of output, the end of a backlog that
//! nobody needs.

use super::{Replica, Stage};
use crate::config::{OutputBufferLimit, Settings, WriteAcks};
use crate::node::member::PING_MS;
use crate::node::shared::Shared;
use crate::persistence::leaving;
use std::sync::atomic::Ordering;

/// How long a member that follows may be silent, in milliseconds.
const SILENCE_MS: i64 = 3000;

/// When things were last done, in milliseconds since the Unix epoch.
#[derive(Debug, Default)]
pub(super) struct Times {
    ping_ms: i64,
    second_ms: i64,
    /// Since when there is no replica; 0 while there is one.
    alone_ms: i64,
    /// What the node's memory counts for the backlog.
    counted_bytes: i64,
}

impl Shared {
    /// Looks after the replicas; to be called every 100 ms or so.
    pub(crate) fn look_after_replicas(&self) {
        let settings = self.config.load();
        let now_ms = self.clock.unix_ms();
        self.begin_sync();
        self.keep_log(&settings);
        self.replicas.timeline.note(self.log.offset(), now_ms);
        self.log.wake_readers();
        self.replicas.wake_holders();
        let mut times = self.replicas.times.lock();
        let backlog = self.log.backlog();
        let bytes = backlog.map_or(0, |backlog| backlog.memory_bytes.min(backlog.size) as i64);
        self.keyspace.memory().add_buffers(bytes - times.counted_bytes);
        times.counted_bytes = bytes;
        // The first PING comes a period after the first replica.
        if backlog.is_none() || times.ping_ms == 0 {
            times.ping_ms = now_ms;
        }
        if backlog.is_none() {
            return;
        }
        for replica in self.replicas.all() {
            self.look_after(&replica, &settings, now_ms);
        }
        if (now_ms - times.second_ms).abs() >= 1000 {
            times.second_ms = now_ms;
            self.count_replicas();
            for replica in self.replicas.all() {
                if replica.stage() != Stage::Online {
                    replica.is_due_for_newline.store(true, Ordering::Relaxed);
                    replica.client.wake();
                }
            }
        }
        if self.role.is_replica() {
            (times.alone_ms, times.ping_ms) = (0, now_ms);
        } else if !self.replicas.is_empty() {
            times.alone_ms = 0;
            let period_ms = i64::from(settings.repl_ping_replica_period_s) * 1000;
            let period_ms = self.member().map_or(period_ms, |_| period_ms.min(PING_MS));
            if (now_ms - times.ping_ms).abs() >= period_ms {
                // The instant of the last snapshot, for which all shards are held, lies before or after
                // this. While one holds all of them, there is no PING.
                if let Some(_held) = self.keyspace.lock_any() {
                    times.ping_ms = now_ms;
                    if !leaving::is_ending(self) {
                        self.log.append_control(&[b"PING"]);
                    }
                }
                self.log.wake_readers();
            }
        } else if times.alone_ms == 0 {
            (times.alone_ms, times.ping_ms) = (now_ms, now_ms);
        } else {
            let ttl_ms = (settings.repl_backlog_ttl_s as i64).saturating_mul(1000);
            // A member's history is counted from its beginning.
            let is_needed = settings.write_acks != WriteAcks::Primary || self.member().is_some();
            if ttl_ms > 0 && now_ms - times.alone_ms > ttl_ms && !is_needed {
                self.log.drop_backlog();
                let seconds = settings.repl_backlog_ttl_s;
                tracing::info!(
                    "Replication backlog freed after {seconds} seconds without connected replicas."
                );
            }
        }
    }

    /// Ends the link of a replica that is silent or too far behind.
    fn look_after(&self, replica: &Replica, settings: &Settings, now_ms: i64) {
        let client = &replica.client;
        if client.is_killed() {
            return;
        }
        let behind = replica.behind_bytes(self);
        client.output_bytes.store(behind as usize, Ordering::Relaxed);
        if let Some(reader) = &*replica.reader.lock() {
            reader.set_limit(self.reader_limit());
        }
        let limit = limit(settings);
        if client.is_over(limit, behind as usize, now_ms) {
            tracing::warn!(
                behind,
                "closing the link of replica {} over its output limit",
                replica.name()
            );
            client.cut();
            return;
        }
        let timeout_ms = i64::from(settings.repl_timeout_s) * 1000;
        let is_member = replica.announced.card.is_some();
        let heard_ms = if is_member { timeout_ms.min(SILENCE_MS) } else { timeout_ms };
        let since = |then: &std::sync::atomic::AtomicI64| now_ms - then.load(Ordering::Relaxed);
        let phase = match replica.stage() {
            Stage::Online if replica.acknowledges && since(&replica.heard_ms) > heard_ms => {
                "streaming sync"
            }
            Stage::Takes | Stage::Waits
                if replica.feed.bytes() > 0 && since(&replica.took_ms) > timeout_ms =>
            {
                "full sync"
            }
            _ => return,
        };
        tracing::warn!("Disconnecting timedout replica ({phase}): {}", replica.name());
        client.kill();
    }

    /// Counts what is written where somebody wants to know who has it, and keeps as much of it as the
    /// settings say.
    pub(crate) fn keep_log(&self, settings: &Settings) {
        let is_free = self.member().is_none() && !self.role.is_replica();
        if settings.write_acks != WriteAcks::Primary && is_free {
            self.log.start_backlog(settings.repl_backlog_size_bytes);
        }
        let size_bytes = settings.repl_backlog_size_bytes;
        if self.log.backlog().is_some_and(|backlog| backlog.size != size_bytes) {
            self.log.resize_backlog(size_bytes);
        }
    }

    /// Finds out how many replicas keep up, and how far enough of them are.
    pub(crate) fn count_replicas(&self) {
        let settings = self.config.load();
        let (now_ms, max_lag_s) =
            (self.clock.unix_ms(), i64::from(settings.min_replicas_max_lag_s));
        let is_good = |replica: &&std::sync::Arc<Replica>| {
            replica.is_online() && replica.lag_s(now_ms) <= max_lag_s
        };
        let good = self.replicas.all.lock().iter().filter(is_good).count();
        self.replicas.good.store(good, Ordering::Relaxed);
        match self.member() {
            Some(member) => self.replicas.set_confirmed(self.confirmed_as(member)),
            None => self.replicas.count_confirmed(&settings),
        }
    }

    /// By how many bytes a replica may be behind before it is cut off; 0 for any number.
    pub(super) fn reader_limit(&self) -> u64 {
        limit(&self.config.load()).hard_bytes
    }
}

/// The limit on what waits for a replica. One below the backlog's size would end every replica that
/// just went on where it was.
fn limit(settings: &Settings) -> OutputBufferLimit {
    let OutputBufferLimit { hard_bytes, soft_bytes, soft_s } =
        settings.client_output_buffer_limit.replica;
    let at_least = |bytes: u64| match bytes {
        0 => 0,
        bytes => bytes.max(settings.repl_backlog_size_bytes),
    };
    OutputBufferLimit { hard_bytes: at_least(hard_bytes), soft_bytes: at_least(soft_bytes), soft_s }
}

impl Shared {
    /// Bytes of the backlog up to its size, and of all that is kept of the log for replicas.
    pub(crate) fn replication_bytes(&self) -> (u64, u64) {
        let backlog = self.log.backlog();
        backlog.map_or((0, 0), |kept| (kept.memory_bytes.min(kept.size), kept.memory_bytes))
    }

    /// Whether enough replicas keep up for writes to be accepted; on a replica that is for the
    /// primary to say.
    pub(crate) fn has_enough_replicas(&self, settings: &Settings) -> bool {
        let (wanted, max_lag_s) =
            (settings.min_replicas_to_write as usize, settings.min_replicas_max_lag_s);
        max_lag_s == 0 || self.replicas.good() >= wanted || self.role.is_replica()
    }
}
