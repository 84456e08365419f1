//! The metrics of ElastiCache's nodes under their names in CloudWatch, so that alarms written for one
//! can be tried on the other.
//!
//! CloudWatch shows a count for each minute. So does this: of the last minute that is complete, or,
//! before there is one, of what there was so far. The control thread ends the minutes
//! ([`Minutes::tick`]). Metrics of the host, of data tiering and of other engines are left out.

use super::{Kind, Text, field};
use crate::commands;
use crate::commands::row::{Flags, Group, Row};
use crate::node::role::Stage;
use crate::node::shared::Shared;
use crate::observe::footprint::{DatabaseFootprint, Footprint, LastSeen};
use crate::observe::info;
use parking_lot::Mutex;

/// A family of commands and the rows that belong to it.
type Family = (&'static str, fn(&Row) -> bool);

/// Which commands count as what. A row may be of several families: by its type, and by what it does.
const FAMILIES: &[Family] = &[
    ("ClusterBasedCmds", |row| row.group == Group::Cluster),
    ("EvalBasedCmds", |row| row.group == Group::Scripting),
    ("GeoSpatialBasedCmds", |row| row.group == Group::Geo),
    ("GetTypeCmds", |row| is_typed(row) && row.flags.has(Flags::READONLY)),
    ("HashBasedCmds", |row| row.group == Group::Hash),
    ("HyperLogLogBasedCmds", |row| row.group == Group::Hyperloglog),
    ("KeyBasedCmds", |row| row.group == Group::Generic),
    ("ListBasedCmds", |row| row.group == Group::List),
    ("NonKeyTypeCmds", |row| {
        matches!(
            row.group,
            Group::Connection | Group::Server | Group::Transactions | Group::Sentinel
        )
    }),
    ("PubSubBasedCmds", |row| row.group == Group::Pubsub),
    ("SetBasedCmds", |row| row.group == Group::Set),
    ("SetTypeCmds", |row| is_typed(row) && row.flags.has(Flags::WRITE)),
    ("SortedSetBasedCmds", |row| row.group == Group::SortedSet),
    ("StreamBasedCmds", |row| row.group == Group::Stream),
    ("StringBasedCmds", |row| matches!(row.group, Group::String | Group::Bitmap)),
];

/// Requests whose mean time is shown: the name of the metric, and the rows that belong to it.
const REQUESTS: &[Family] = &[
    ("SuccessfulReadRequestLatency", |row| row.flags.has(Flags::READONLY)),
    ("SuccessfulWriteRequestLatency", |row| row.flags.has(Flags::WRITE)),
];

/// Whether a command works on values of one type.
fn is_typed(row: &Row) -> bool {
    matches!(
        row.group,
        Group::String
            | Group::Bitmap
            | Group::Hyperloglog
            | Group::List
            | Group::Hash
            | Group::Set
            | Group::SortedSet
            | Group::Geo
            | Group::Stream
    )
}

/// Counts of a minute: the name of the metric, and the field of INFO that counts it.
const COUNTS: &[(&str, &str)] = &[
    ("CacheHits", "keyspace_hits"),
    ("CacheMisses", "keyspace_misses"),
    ("NewConnections", "total_connections_received"),
    ("RejectedConnections", "rejected_connections"),
    ("Evictions", "evicted_keys"),
    ("Reclaimed", "expired_keys"),
    ("ReclaimedFields", "expired_subkeys"),
    ("ErrorCount", "total_error_replies"),
    ("ProcessedCommands", "total_commands_processed"),
    ("AuthenticationFailures", "acl_access_denied_auth"),
    ("CommandAuthorizationFailures", "acl_access_denied_cmd"),
    ("KeyAuthorizationFailures", "acl_access_denied_key"),
    ("ChannelAuthorizationFailures", "acl_access_denied_channel"),
    ("ReplicationBytes", "master_repl_offset"),
    ("NetworkBytesIn", "total_net_input_bytes"),
    ("NetworkBytesOut", "total_net_output_bytes"),
];
const HITS: usize = 0;
const MISSES: usize = 1;

/// What is so now: the name of the metric, and the field of INFO that tells it.
const GAUGES: &[(&str, &str)] = &[
    ("BytesUsedForCache", "used_memory"),
    ("UsedMemoryDataset", "used_memory_dataset"),
    ("CurrConnections", "connected_clients"),
    ("BlockedConnections", "blocked_clients"),
    ("SaveInProgress", "rdb_bgsave_in_progress"),
    ("MemoryFragmentationRatio", "mem_fragmentation_ratio"),
    ("AllocatorFragmentationRatio", "allocator_frag_ratio"),
    ("AllocatorFragmentationBytes", "allocator_frag_bytes"),
    ("ActiveDefragHits", "active_defrag_hits"),
    ("KeysTracked", "tracking_total_keys"),
    ("PubSubChannels", "pubsub_channels"),
    ("PubSubShardChannels", "pubsubshard_channels"),
];

/// Calls of a family and the nanoseconds they took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Calls {
    count: u64,
    nanos: u64,
}

/// What was counted, up to a moment or in a span.
#[derive(Clone, Debug, Default, PartialEq)]
struct Sums {
    /// In the order of `COUNTS`.
    counts: Vec<f64>,
    /// In the order of `FAMILIES`, then of `REQUESTS`.
    calls: Vec<Calls>,
    cpu_s: f64,
    time_s: f64,
}

impl Sums {
    fn new(node: &Shared, report: &str) -> Self {
        let value = |name| number(report, name).unwrap_or(0.0);
        let of = |(_, belongs): &Family| {
            let ids = commands::all().iter().filter(|command| belongs(command.row));
            ids.fold(Calls::default(), |sum, command| {
                let totals = node.stats.command(command.id);
                Calls { count: sum.count + totals.calls, nanos: sum.nanos + totals.nanos }
            })
        };
        Self {
            counts: COUNTS.iter().map(|(_, name)| value(name)).collect(),
            calls: FAMILIES.iter().chain(REQUESTS).map(of).collect(),
            cpu_s: value("used_cpu_sys") + value("used_cpu_user"),
            time_s: (node.clock.unix_us() - node.started_us) as f64 / 1e6,
        }
    }

    /// What came since an earlier moment. A count that went down was reset meanwhile.
    fn since(&self, earlier: &Self) -> Self {
        let calls = self.calls.iter().enumerate().map(|(at, now)| {
            let then = earlier.calls.get(at).copied().unwrap_or_default();
            Calls {
                count: now.count.saturating_sub(then.count),
                nanos: now.nanos.saturating_sub(then.nanos),
            }
        });
        let then = |at| earlier.counts.get(at).copied().unwrap_or(0.0);
        let counts = self.counts.iter().enumerate().map(|(at, now)| (now - then(at)).max(0.0));
        Self {
            counts: counts.collect(),
            calls: calls.collect(),
            cpu_s: (self.cpu_s - earlier.cpu_s).max(0.0),
            time_s: (self.time_s - earlier.time_s).max(0.0),
        }
    }
}

/// The minute that runs, and the one before it.
#[derive(Debug, Default)]
pub struct Minutes {
    inner: Mutex<Marks>,
    last_seen: LastSeen,
}

#[derive(Debug, Default)]
struct Marks {
    /// What was counted when the running minute began; nothing yet in the first one.
    begun: Sums,
    /// The last complete minute.
    complete: Option<Sums>,
}

impl Minutes {
    /// Ends a minute.
    pub fn tick(&self, node: &Shared) {
        let report = info::everything(node, &self.footprint(node));
        let now = Sums::new(node, &report);
        let mut marks = self.inner.lock();
        marks.complete = Some(now.since(&marks.begun));
        marks.begun = now;
    }

    /// Where the node's memory goes, as far as that can be seen without waiting for a script.
    pub(super) fn footprint(&self, node: &Shared) -> Footprint {
        Footprint::new(node, &self.last_seen)
    }

    fn shown(&self, now: &Sums) -> Sums {
        self.inner.lock().complete.clone().unwrap_or_else(|| now.clone())
    }
}

fn number(report: &str, name: &str) -> Option<f64> {
    field(report, name)?.parse().ok()
}

/// Writes all metrics; what INFO tells, and where the memory goes, are known.
pub(super) fn write(
    text: &mut Text,
    node: &Shared,
    minutes: &Minutes,
    (report, footprint): (&str, &Footprint),
) {
    for (name, from) in GAUGES {
        if let Some(value) = number(report, from) {
            text.single(name, Kind::Gauge, &format!("Field {from} of INFO."), value);
        }
    }
    shares_of_memory(text, report);
    items(text, node, footprint);
    let is_primary = f64::from(field(report, "role") == Some("master"));
    for name in ["IsMaster", "IsPrimary"] {
        text.single(name, Kind::Gauge, "Whether the node is a primary.", is_primary);
    }
    replica(text, node);
    let sums = minutes.shown(&Sums::new(node, report));
    for ((name, from), value) in COUNTS.iter().zip(&sums.counts) {
        text.single(name, Kind::Gauge, &format!("Growth of {from} in a minute."), value);
    }
    let (hits, misses) = (sums.counts[HITS], sums.counts[MISSES]);
    text.family("CacheHitRate", Kind::Gauge, "Hits in percent of hits and misses of a minute.");
    if hits + misses > 0.0 {
        text.sample("CacheHitRate", &[], hits * 100.0 / (hits + misses));
    }
    let threads = node.workers.count().max(1) as f64;
    let busy = if sums.time_s > 0.0 { sums.cpu_s / sums.time_s / threads } else { 0.0 };
    let help = "CPU time in percent of what the threads that serve clients could take.";
    text.single("EngineCPUUtilization", Kind::Gauge, help, busy * 100.0);
    let (families, requests) = sums.calls.split_at(FAMILIES.len());
    for ((name, _), calls) in FAMILIES.iter().zip(families) {
        text.single(name, Kind::Gauge, "Calls of these commands in a minute.", calls.count);
        mean(text, &format!("{name}Latency"), *calls);
    }
    for ((name, _), calls) in REQUESTS.iter().zip(requests) {
        mean(text, name, *calls);
    }
}

/// How a replica does; a primary has none of this.
fn replica(text: &mut Text, node: &Shared) {
    let link = node.role.link(node.clock.unix_ms(), node.log.offset());
    let (lag, health) = ("ReplicationLag", "MasterLinkHealthStatus");
    text.family(lag, Kind::Gauge, "Seconds by which a replica is behind its primary.");
    if let Some(link) = &link {
        // Without a link it is as old as its last news.
        let lag_ms = link.down_ms.map_or(link.lag_ms, |ms| link.lag_ms.max(ms.unsigned_abs()));
        text.sample(lag, &[], lag_ms as f64 / 1000.0);
    }
    text.family(health, Kind::Gauge, "Whether a replica's link to its primary is up.");
    if let Some(link) = &link {
        text.sample(health, &[], u8::from(link.stage == Stage::Connected));
    }
}

/// The mean time of some calls; there is none without a call.
fn mean(text: &mut Text, name: &str, calls: Calls) {
    text.family(name, Kind::Gauge, "Mean time of such a call in a minute, in microseconds.");
    if calls.count > 0 {
        text.sample(name, &[], calls.nanos as f64 / 1000.0 / calls.count as f64);
    }
}

fn shares_of_memory(text: &mut Text, report: &str) {
    let value = |name| number(report, name).unwrap_or(0.0);
    let (used, limit) = (value("used_memory"), value("maxmemory"));
    let evictable = used - value("mem_not_counted_for_evict");
    for (name, bytes) in [
        ("DatabaseMemoryUsagePercentage", used),
        ("DatabaseMemoryUsageCountedForEvictPercentage", evictable),
        ("DatabaseCapacityUsagePercentage", used),
        ("DatabaseCapacityUsageCountedForEvictPercentage", evictable),
    ] {
        text.family(
            name,
            Kind::Gauge,
            "Memory in use in percent of maxmemory, where there is one.",
        );
        if limit > 0.0 {
            text.sample(name, &[], bytes * 100.0 / limit);
        }
    }
}

fn items(text: &mut Text, node: &Shared, footprint: &Footprint) {
    let sum =
        |share: fn(&DatabaseFootprint) -> u64| footprint.databases.iter().map(share).sum::<u64>();
    text.single("CurrItems", Kind::Gauge, "Keys.", footprint.keys());
    let help = "Keys with a deadline.";
    text.single("CurrVolatileItems", Kind::Gauge, help, sum(|db| db.volatile));
    let help = "Hashes whose fields have deadlines.";
    text.single(
        "CurrItemsWithVolatileFields",
        Kind::Gauge,
        help,
        sum(|db| db.with_field_deadlines),
    );
    let now_ms = node.clock.unix_ms();
    let mean_ms = footprint.databases.first().map_or(0, |db| db.mean_ttl_ms(now_ms));
    let help = "Milliseconds that a key of database 0 with a deadline has left on average.";
    text.single("DB0AverageTTL", Kind::Gauge, help, mean_ms);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Node;
    use std::collections::HashSet;

    #[test]
    fn each_command_has_a_family_and_each_typed_one_reads_or_writes() {
        let typed = ["GetTypeCmds", "SetTypeCmds"];
        for command in commands::all() {
            let families = FAMILIES.iter().filter(|(_, belongs)| belongs(command.row));
            let families: HashSet<&str> = families.map(|(name, _)| *name).collect();
            let by_type = families.iter().filter(|name| !typed.contains(name)).count();
            assert_eq!(by_type, 1, "{} belongs to {families:?}", command.full_name);
            let is_call = command.row.subcommands.is_empty();
            let does = families.len() - by_type;
            if is_typed(command.row) && is_call && command.row.handler.is_some() {
                let idle = ["help", "pfselftest", "pfdebug"].contains(&command.row.name);
                assert!(does == 1 || idle, "{} reads or writes", command.full_name);
            }
        }
    }

    #[test]
    fn minutes_show_what_came_in_the_last_one() -> Result<(), crate::StartError> {
        let node = Node::builder().start()?;
        let shared = node.shared();
        let minutes = Minutes::default();
        let mut local = node.local();
        local.set(b"key", b"value");
        assert!(local.get(b"key").is_some() && local.get(b"none").is_none());
        let shown = |name: &str| {
            let text = super::super::render(shared, &minutes);
            let value = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
            value.map(|value| value.parse::<f64>().expect("a number"))
        };
        assert_eq!((shown("GetTypeCmds"), shown("StringBasedCmds")), (Some(2.0), Some(3.0)));
        minutes.tick(shared);
        local.set(b"key", b"other");
        assert_eq!((shown("CacheHits"), shown("CacheHitRate")), (Some(1.0), Some(50.0)));
        assert!(shown("GetTypeCmdsLatency").is_some_and(|micros| micros > 0.0));
        assert_eq!(shown("SetTypeCmds"), Some(1.0), "the running minute is not shown");
        minutes.tick(shared);
        assert_eq!((shown("SetTypeCmds"), shown("GetTypeCmds")), (Some(1.0), Some(0.0)));
        assert_eq!((shown("CacheHitRate"), shown("GetTypeCmdsLatency")), (None, None));
        assert_eq!(shown("CurrItems"), Some(1.0));
        Ok(())
    }
}
