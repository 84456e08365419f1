//! The table of workloads: one row each, and nothing to edit elsewhere for another of the
//! same kind.
//!
//! The bars are the project's own demands: on a busy core Larder must need clearly less than
//! Redis 8.2, per key it must be smaller, and nowhere (pauses, eviction, limits) worse.

use larder_benches::Result;
use larder_benches::measure::{Bar, Limit, Measurement, Metric};
use larder_benches::peer::{BASELINE, Server};
use larder_benches::report::Sheet;

use crate::eviction::{Cap, Policy};
use crate::fanout::Fanout;
use crate::memory::Dataset;
use crate::options::Options;
use crate::throughput::{Beside, Traffic};
use crate::{eviction, expiry, fanout, memory, pause, replication, save, throughput};

/// One workload.
#[derive(Debug)]
pub(crate) struct Row {
    /// Its name on the command line and in the tables.
    pub(crate) name: &'static str,
    /// What it does, in a line.
    pub(crate) about: &'static str,
    kind: Kind,
    bars: &'static [Bar],
}

/// What sort of measurement a row is.
#[derive(Debug)]
enum Kind {
    /// A closed loop of one kind of request.
    Throughput(Traffic),
    /// Bytes a key, or an element of one key.
    Memory(Dataset),
    /// The longest wait of a paced reader beside a bulk load.
    Pause,
    /// Miss ratio of a cache under a skewed load.
    Eviction(Policy, Cap),
    /// How far writes push a server over its limit.
    Overshoot,
    /// How late due keys go.
    Expiry,
    /// What a message to many subscribers costs.
    Fanout(Fanout),
    /// How long a new replica takes until it has all keys.
    FullSync,
    /// What a save costs beside a full load of writes.
    Save,
}

const THROUGHPUT_SHOWS: &[Metric] = &[
    Metric::CpuPerOp,
    Metric::KernelCpuPerOp,
    Metric::Rps,
    Metric::P50,
    Metric::P99,
    Metric::P999,
    Metric::Max,
    Metric::ClientCpuPerOp,
    Metric::Errors,
];

impl Row {
    /// Runs the workload once against a fresh server.
    pub(crate) fn measure(
        &self,
        server: &Server,
        round: u32,
        options: &Options,
    ) -> Result<Measurement> {
        let (mut clients, mut pipeline, mut resp) = (1, 1, 2);
        let figures = match &self.kind {
            Kind::Throughput(traffic) => {
                (clients, pipeline, resp) = (traffic.clients, traffic.pipeline, traffic.resp);
                throughput::measure(server, traffic, round, options)?
            }
            Kind::Memory(dataset) => memory::measure(server, *dataset, options)?,
            Kind::Pause => pause::measure(server, options)?,
            Kind::Eviction(policy, cap) => {
                eviction::measure(server, *policy, *cap, round, options)?
            }
            Kind::Overshoot => eviction::overshoot(server, round, options)?,
            Kind::Expiry => expiry::measure(server, options)?,
            Kind::Fanout(fanout) => {
                (clients, pipeline) = (fanout.subscribers, fanout.pipeline);
                fanout::measure(server, *fanout, options)?
            }
            Kind::FullSync => replication::measure(server, options)?,
            Kind::Save => {
                (clients, pipeline) = (save::CLIENTS, save::PIPELINE);
                save::measure(server, round, options)?
            }
        };
        Ok(Measurement {
            round,
            server: server.name.clone(),
            version: server.version.clone(),
            workload: self.name.into(),
            clients,
            pipeline,
            resp,
            figures,
        })
    }

    /// What the summary shows of it.
    pub(crate) fn sheet(&self) -> Sheet<'static> {
        let shows = match self.kind {
            Kind::Throughput(_) => THROUGHPUT_SHOWS,
            Kind::Memory(_) => &[Metric::RssPerKey, Metric::UsedPerKey][..],
            Kind::Pause => {
                &[Metric::Max, Metric::P999, Metric::P99, Metric::P50, Metric::SendLag, Metric::Rps]
            }
            Kind::Eviction(..) => &[Metric::MissRatio, Metric::ResidentKeys, Metric::Maxmemory],
            Kind::Overshoot => &[Metric::Overshoot, Metric::RssOverLimit, Metric::Rps],
            Kind::Expiry => &[Metric::ExpiryLag, Metric::ExpiryTail],
            Kind::Fanout(_) => &[Metric::CpuPerOp, Metric::KernelCpuPerOp, Metric::Rps],
            Kind::FullSync => &[Metric::SyncSeconds],
            Kind::Save => &[
                Metric::ExtraMemory,
                Metric::SaveSeconds,
                Metric::P50,
                Metric::P99,
                Metric::P999,
                Metric::Max,
                Metric::Rps,
            ],
        };
        Sheet { name: self.name, about: self.about, shows, bars: self.bars }
    }
}

const fn at_most(metric: Metric, limit: f64) -> Bar {
    Bar { metric, against: Some(BASELINE), limit: Limit::AtMost(limit) }
}

/// Pipelined reads and writes: where the server's own work shows most.
const PIPELINED: &[Bar] = &[
    at_most(Metric::CpuPerOp, 0.70),
    Bar { metric: Metric::Rps, against: Some(BASELINE), limit: Limit::AtLeast(1.3) },
];

/// Without pipelining the kernel's socket work dominates, which no server can save.
const UNPIPELINED: &[Bar] = &[at_most(Metric::CpuPerOp, 0.95)];

/// A message to each subscriber is a write to its socket, on every server.
const FAN_OUT: &[Bar] = &[at_most(Metric::CpuPerOp, 0.90)];

const TRANSACTIONS: &[Bar] = &[at_most(Metric::CpuPerOp, 0.90)];

const NOT_WORSE_MISSES: &[Bar] = &[at_most(Metric::MissRatio, 1.0)];

/// A key of 16 bytes, the only one or one of many.
const KEY: &str = "key:############";

/// 64 bytes of value.
const VALUE: &str = "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv";

const PING: &[&str] = &["PING"];
const GET: &[&str] = &["GET", KEY];
const SET: &[&str] = &["SET", KEY, VALUE];
const INCR: &[&str] = &["INCR", "counter"];
/// Ten pairs, as redis-benchmark has them.
const MSET: &[&str] = &[
    "MSET", KEY, VALUE, KEY, VALUE, KEY, VALUE, KEY, VALUE, KEY, VALUE, KEY, VALUE, KEY, VALUE,
    KEY, VALUE, KEY, VALUE, KEY, VALUE,
];

/// 50 clients, RESP2, one key: redis-benchmark's ground.
const fn plain(command: &'static [&'static str], pipeline: usize) -> Traffic {
    Traffic {
        command,
        clients: 50,
        pipeline,
        transaction: false,
        resp: 2,
        keyspace: 0,
        fill: SET,
        beside: Beside::Nobody,
    }
}

const fn resp3(command: &'static [&'static str], pipeline: usize) -> Traffic {
    Traffic { resp: 3, ..plain(command, pipeline) }
}

/// A transaction of ten, sent at once; figures are for each of its twelve replies.
const fn ten(command: &'static [&'static str], keyspace: u64) -> Traffic {
    Traffic { transaction: true, keyspace, ..plain(command, 10) }
}

const fn crowd(command: &'static [&'static str]) -> Traffic {
    Traffic { clients: 500, ..plain(command, 1) }
}

/// A million keys: beyond the caches of most cores.
const fn random(command: &'static [&'static str]) -> Traffic {
    Traffic { keyspace: 1_000_000, ..plain(command, 16) }
}

/// SET beside a reader of all that is written.
const fn beside(beside: Beside) -> Traffic {
    Traffic { beside, ..plain(SET, 16) }
}

/// One collection of a million elements, drawn from at random.
const fn big(fill: &'static [&'static str], command: &'static [&'static str]) -> Traffic {
    Traffic { keyspace: 1_000_000, fill, ..plain(command, 16) }
}

/// Loads a script of three calls, and runs it by its digest.
const SCRIPT: &[&str] = &[
    "SCRIPT",
    "LOAD",
    "redis.call('SET', KEYS[1], ARGV[1]) redis.call('INCR', KEYS[2]) return redis.call('GET', KEYS[1])",
];
const EVALSHA: &[&str] =
    &["EVALSHA", "ac729a2682b7f1c293d1864c531c23ab58beb52d", "2", KEY, "counter", VALUE];

/// Small collections: nowhere more than Redis needs.
const NOT_LARGER: &[Bar] = &[at_most(Metric::RssPerKey, 1.0), at_most(Metric::UsedPerKey, 1.0)];

/// One large collection: about what Redis needs.
const ABOUT_AS_LARGE: &[Bar] = &[at_most(Metric::RssPerKey, 1.1), at_most(Metric::UsedPerKey, 1.1)];

/// Operations on one element of a large collection.
const ABOUT_AS_FAST: &[Bar] = &[at_most(Metric::CpuPerOp, 1.1)];

const ZADD_BIG: &[&str] = &["ZADD", "big", "############", "member:############"];
const HSET_BIG: &[&str] = &["HSET", "big", "field:############", "value:############"];
const RPUSH_BIG: &[&str] = &["RPUSH", "big", "element:############"];
const XADD_BIG: &[&str] = &["XADD", "big", "*", "field", "value:############"];

/// 8 fields with values of 12 bytes.
const SMALL_HASH: &[&str] = &[
    "HSET",
    "key:############",
    "field1",
    "############",
    "field2",
    "############",
    "field3",
    "############",
    "field4",
    "############",
    "field5",
    "abcdefghijkl",
    "field6",
    "abcdefghijkl",
    "field7",
    "abcdefghijkl",
    "field8",
    "abcdefghijkl",
];
const SMALL_INTSET: &[&str] = &[
    "SADD",
    "key:############",
    "1",
    "2",
    "3",
    "5",
    "8",
    "13",
    "21",
    "34",
    "55",
    "89",
    "144",
    "233",
    "377",
    "610",
    "987",
    "1597",
];
const SMALL_ZSET: &[&str] = &[
    "ZADD",
    "key:############",
    "1",
    "member01",
    "2",
    "member02",
    "3.5",
    "member03",
    "4",
    "member04",
    "50",
    "member05",
    "60",
    "member06",
    "70",
    "member07",
    "8.25",
    "member08",
    "900",
    "member09",
    "1000",
    "member10",
    "1100",
    "member11",
    "120000",
    "member12",
    "13",
    "member13",
    "14",
    "member14",
    "15",
    "member15",
    "16",
    "member16",
];

const fn row(name: &'static str, about: &'static str, kind: Kind, bars: &'static [Bar]) -> Row {
    Row { name, about, kind, bars }
}

const fn traffic(
    name: &'static str,
    about: &'static str,
    traffic: Traffic,
    bars: &'static [Bar],
) -> Row {
    row(name, about, Kind::Throughput(traffic), bars)
}

/// All workloads, in the order they run.
pub(crate) const WORKLOADS: &[Row] = &[
    traffic("ping-p1", "PING, 50 clients.", plain(PING, 1), &[]),
    traffic("ping-p16", "PING, 50 clients, 16 pipelined.", plain(PING, 16), &[]),
    traffic("get-p1", "GET of 64 bytes, 50 clients.", plain(GET, 1), UNPIPELINED),
    traffic("get-p16", "GET of 64 bytes, 50 clients, 16 pipelined.", plain(GET, 16), PIPELINED),
    traffic("set-p1", "SET of 64 bytes, 50 clients.", plain(SET, 1), UNPIPELINED),
    traffic("set-p16", "SET of 64 bytes, 50 clients, 16 pipelined.", plain(SET, 16), PIPELINED),
    traffic("incr-p1", "INCR, 50 clients.", plain(INCR, 1), &[]),
    traffic("incr-p16", "INCR, 50 clients, 16 pipelined.", plain(INCR, 16), &[]),
    traffic("mset-p1", "MSET of ten 64-byte values, 50 clients.", plain(MSET, 1), &[]),
    traffic("mset-p16", "MSET of ten, 50 clients, 16 pipelined.", plain(MSET, 16), &[]),
    traffic("get-p1-500", "GET of 64 bytes, 500 clients.", crowd(GET), UNPIPELINED),
    traffic("set-p1-500", "SET of 64 bytes, 500 clients.", crowd(SET), UNPIPELINED),
    traffic("get-p1-resp3", "GET over RESP3, 50 clients.", resp3(GET, 1), &[]),
    traffic("get-p16-resp3", "GET over RESP3, 16 pipelined.", resp3(GET, 16), &[]),
    traffic("set-p1-resp3", "SET over RESP3, 50 clients.", resp3(SET, 1), &[]),
    traffic("set-p16-resp3", "SET over RESP3, 16 pipelined.", resp3(SET, 16), &[]),
    traffic("get-p16-random", "GET among a million keys, 16 pipelined.", random(GET), &[]),
    traffic("set-p16-random", "SET among a million keys, 16 pipelined.", random(SET), &[]),
    traffic("multi", "MULTI, 10 SETs of one key, EXEC, 50 clients.", ten(SET, 0), TRANSACTIONS),
    traffic(
        "multi-random",
        "MULTI, SETs of 10 keys among 100,000, EXEC, 50 clients.",
        ten(SET, 100_000),
        TRANSACTIONS,
    ),
    traffic(
        "evalsha",
        "EVALSHA of a script with SET, INCR and GET, 50 clients.",
        Traffic { fill: SCRIPT, ..plain(EVALSHA, 1) },
        TRANSACTIONS,
    ),
    traffic(
        "evalsha-p16",
        "The same, 16 pipelined.",
        Traffic { fill: SCRIPT, ..plain(EVALSHA, 16) },
        TRANSACTIONS,
    ),
    row(
        "memory",
        "2 million keys of 16 bytes, values of 32.",
        Kind::Memory(Dataset::Strings { deadlines: false }),
        &[at_most(Metric::RssPerKey, 0.92), at_most(Metric::UsedPerKey, 0.92)],
    ),
    row(
        "memory-ttl",
        "The same, with a deadline on every key.",
        Kind::Memory(Dataset::Strings { deadlines: true }),
        &[at_most(Metric::RssPerKey, 0.85), at_most(Metric::UsedPerKey, 0.85)],
    ),
    row(
        "memory-small-hashes",
        "A million hashes of 8 fields, values of 12 bytes.",
        Kind::Memory(Dataset::Collections(SMALL_HASH)),
        NOT_LARGER,
    ),
    row(
        "memory-small-intsets",
        "A million sets of 16 integers.",
        Kind::Memory(Dataset::Collections(SMALL_INTSET)),
        NOT_LARGER,
    ),
    row(
        "memory-small-zsets",
        "A million sorted sets of 16 members.",
        Kind::Memory(Dataset::Collections(SMALL_ZSET)),
        NOT_LARGER,
    ),
    row(
        "memory-big-zset",
        "One sorted set of a million members, bytes a member.",
        Kind::Memory(Dataset::One(ZADD_BIG)),
        ABOUT_AS_LARGE,
    ),
    row(
        "memory-big-hash",
        "One hash of a million fields, bytes a field.",
        Kind::Memory(Dataset::One(HSET_BIG)),
        ABOUT_AS_LARGE,
    ),
    row(
        "memory-big-list",
        "One list of a million elements, bytes an element.",
        Kind::Memory(Dataset::One(RPUSH_BIG)),
        ABOUT_AS_LARGE,
    ),
    row(
        "memory-big-stream",
        "One stream of a million entries, bytes an entry.",
        Kind::Memory(Dataset::One(XADD_BIG)),
        ABOUT_AS_LARGE,
    ),
    traffic(
        "zadd-big",
        "ZADD with a new score among a million members, 16 pipelined.",
        big(ZADD_BIG, &["ZADD", "big", "############", "member:000000500000"]),
        ABOUT_AS_FAST,
    ),
    traffic(
        "zscore-big",
        "ZSCORE among a million members, 16 pipelined.",
        big(ZADD_BIG, &["ZSCORE", "big", "member:############"]),
        ABOUT_AS_FAST,
    ),
    traffic(
        "zrank-big",
        "ZRANK among a million members, 16 pipelined.",
        big(ZADD_BIG, &["ZRANK", "big", "member:############"]),
        ABOUT_AS_FAST,
    ),
    traffic(
        "zrangebyscore-big",
        "ZRANGEBYSCORE of one member among a million, 16 pipelined.",
        big(ZADD_BIG, &["ZRANGEBYSCORE", "big", "############", "+inf", "LIMIT", "0", "1"]),
        ABOUT_AS_FAST,
    ),
    traffic(
        "hset-big",
        "HSET among a million fields, 16 pipelined.",
        big(HSET_BIG, HSET_BIG),
        ABOUT_AS_FAST,
    ),
    traffic(
        "hget-big",
        "HGET among a million fields, 16 pipelined.",
        big(HSET_BIG, &["HGET", "big", "field:############"]),
        ABOUT_AS_FAST,
    ),
    traffic(
        "lindex-big",
        "LINDEX of the middle of a million elements, 16 pipelined.",
        big(RPUSH_BIG, &["LINDEX", "big", "500000"]),
        ABOUT_AS_FAST,
    ),
    traffic(
        "rotate-big",
        "LMOVE from the tail to the head of a million elements, 16 pipelined.",
        big(RPUSH_BIG, &["LMOVE", "big", "big", "RIGHT", "LEFT"]),
        ABOUT_AS_FAST,
    ),
    traffic(
        "xadd-big",
        "XADD to a stream of a million entries, 16 pipelined.",
        big(XADD_BIG, XADD_BIG),
        ABOUT_AS_FAST,
    ),
    traffic(
        "xrange-big",
        "XRANGE of the newest entry among a million, 16 pipelined.",
        big(XADD_BIG, &["XREVRANGE", "big", "+", "-", "COUNT", "1"]),
        ABOUT_AS_FAST,
    ),
    row(
        "pause",
        "A GET each millisecond while another connection loads 5 million keys.",
        Kind::Pause,
        &[at_most(Metric::Max, 1.0)],
    ),
    row(
        "evict-lru",
        "get-else-set, Zipf 0.99 over a million keys of 100 bytes, maxmemory 32 MB, allkeys-lru.",
        Kind::Eviction(Policy::Lru, Cap::Memory),
        NOT_WORSE_MISSES,
    ),
    row(
        "evict-lfu",
        "The same under allkeys-lfu.",
        Kind::Eviction(Policy::Lfu, Cap::Memory),
        NOT_WORSE_MISSES,
    ),
    row(
        "evict-lru-equal",
        "As evict-lru, each server's maxmemory tuned until 150,000 keys stay.",
        Kind::Eviction(Policy::Lru, Cap::Keys),
        NOT_WORSE_MISSES,
    ),
    row(
        "evict-lfu-equal",
        "As evict-lfu, each server's maxmemory tuned until 150,000 keys stay.",
        Kind::Eviction(Policy::Lfu, Cap::Keys),
        NOT_WORSE_MISSES,
    ),
    row(
        "overshoot",
        "A flood of writes of 16 to 4096 bytes at maxmemory 100 MB.",
        Kind::Overshoot,
        &[Bar { metric: Metric::Overshoot, against: None, limit: Limit::AtMost(1.02) }],
    ),
    row(
        "publish",
        "PUBLISH of 64 bytes to 1,000 subscribers, one message at a time.",
        Kind::Fanout(Fanout { subscribers: 1000, pipeline: 1 }),
        FAN_OUT,
    ),
    row(
        "publish-p8",
        "The same, eight messages at a time.",
        Kind::Fanout(Fanout { subscribers: 1000, pipeline: 8 }),
        FAN_OUT,
    ),
    traffic(
        "set-p16-replica",
        "SET of 64 bytes, 50 clients, 16 pipelined, one replica attached.",
        beside(Beside::Replica),
        &[at_most(Metric::CpuPerOp, 0.75)],
    ),
    traffic(
        "set-p16-aof",
        "The same with an append-only file, flushed every second.",
        beside(Beside::AppendOnlyFile),
        &[at_most(Metric::CpuPerOp, 0.8)],
    ),
    row(
        "full-sync",
        "A replica of a primary with 5 million keys of 16 bytes, values of 32.",
        Kind::FullSync,
        &[at_most(Metric::SyncSeconds, 0.6)],
    ),
    row(
        "bgsave",
        "BGSAVE of 5 million keys beside SETs of random keys and a GET each millisecond.",
        Kind::Save,
        &[
            Bar { metric: Metric::ExtraMemory, against: None, limit: Limit::AtMost(0.10) },
            at_most(Metric::P999, 1.0),
        ],
    ),
    row("expiry", "A million keys due over ten seconds, watched by DBSIZE.", Kind::Expiry, &[]),
];
