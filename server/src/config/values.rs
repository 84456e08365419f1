//! The types of directives that are more than a number, a switch or a text.

use std::fmt;
use std::net::IpAddr;

use super::kinds::Choice;

/// An enum whose variants are the words of a directive, the shown word first.
macro_rules! choices {
    ($(
        $(#[doc = $doc:literal])+
        pub enum $name:ident {
            $($(#[doc = $variant_doc:literal])+ $variant:ident = $($word:literal)|+,)+
        }
    )+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[doc = $variant_doc])+ $variant,)+
        }

        impl Choice for $name {
            const WORDS: &'static [(&'static str, Self)] =
                &[$($(($word, Self::$variant),)+)+];
        }

        impl $name {
            /// The word for it in a configuration.
            #[must_use]
            pub fn word(self) -> &'static str {
                Self::WORDS.iter().find(|(_, known)| *known == self).map_or("unknown", |row| row.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }
    )+};
}

choices! {
    /// What is evicted when `maxmemory` is reached.
    pub enum MaxmemoryPolicy {
        /// Keys with a deadline, least recently used first.
        VolatileLru = "volatile-lru",
        /// Keys with a deadline, least frequently used first.
        VolatileLfu = "volatile-lfu",
        /// Keys with a deadline, at random.
        VolatileRandom = "volatile-random",
        /// Keys with a deadline, nearest deadline first.
        VolatileTtl = "volatile-ttl",
        /// Any key, least recently used first.
        AllkeysLru = "allkeys-lru",
        /// Any key, least frequently used first.
        AllkeysLfu = "allkeys-lfu",
        /// Any key, at random.
        AllkeysRandom = "allkeys-random",
        /// Nothing: writes that need memory are refused.
        Noeviction = "noeviction",
    }

    /// How much is logged.
    pub enum LogLevel {
        /// All that helps a developer.
        Debug = "debug",
        /// Rarely useful detail.
        Verbose = "verbose",
        /// What an operator wants to know.
        Notice = "notice",
        /// What an operator must know.
        Warning = "warning",
        /// Silence.
        Nothing = "nothing",
    }

    /// The shape of a log line. Ours: Redis has one shape only.
    pub enum LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line, for machines.
        Json = "json",
    }

    /// Facility of syslog messages.
    pub enum SyslogFacility {
        /// `user`.
        User = "user",
        /// `local0`.
        Local0 = "local0",
        /// `local1`.
        Local1 = "local1",
        /// `local2`.
        Local2 = "local2",
        /// `local3`.
        Local3 = "local3",
        /// `local4`.
        Local4 = "local4",
        /// `local5`.
        Local5 = "local5",
        /// `local6`.
        Local6 = "local6",
        /// `local7`.
        Local7 = "local7",
    }

    /// Who supervises the process.
    pub enum Supervised {
        /// Upstart.
        Upstart = "upstart",
        /// systemd.
        Systemd = "systemd",
        /// Whichever the environment names.
        Auto = "auto",
        /// Nobody.
        No = "no",
    }

    /// When the append-only file is flushed to the disk.
    pub enum AppendFsync {
        /// Once a second.
        Everysec = "everysec",
        /// Before each reply.
        Always = "always",
        /// When the operating system likes.
        No = "no",
    }

    /// Whether a replica loads a full sync from the socket without a file between.
    pub enum DisklessLoad {
        /// By a file on the disk.
        Disabled = "disabled",
        /// From the socket when the data set is empty.
        OnEmptyDb = "on-empty-db",
        /// From the socket into a second data set, then swapped.
        Swapdb = "swapdb",
    }

    /// Who must have a write before it is answered.
    pub enum WriteAcks {
        /// This node.
        Primary = "primary",
        /// With this node, more than half of it and its replicas.
        Quorum = "quorum",
        /// All replicas.
        All = "all",
    }

    /// Whether TLS clients must show a certificate.
    pub enum TlsAuthClients {
        /// Not asked for.
        No = "no",
        /// Required.
        Yes = "yes",
        /// Checked when shown.
        Optional = "optional",
    }

    /// How the process asks the kernel's out-of-memory killer for treatment.
    pub enum OomScoreAdj {
        /// Not at all.
        No = "no",
        /// `oom-score-adj-values` added to the score at start.
        Relative = "yes" | "relative",
        /// `oom-score-adj-values` as they are.
        Absolute = "absolute",
    }

    /// Channels a new ACL user may use.
    pub enum AclPubsubDefault {
        /// All.
        Allchannels = "allchannels",
        /// None.
        Resetchannels = "resetchannels",
    }

    /// When the payload of RESTORE and full syncs is checked in depth.
    pub enum SanitizeDumpPayload {
        /// Never.
        No = "no",
        /// Always.
        Yes = "yes",
        /// When it comes from a client.
        Clients = "clients",
    }

    /// Who may do something that is dangerous on a shared server.
    pub enum ProtectedAction {
        /// Nobody.
        No = "no",
        /// Everybody.
        Yes = "yes",
        /// Connections from this machine.
        Local = "local",
    }

    /// What a cluster node tells clients to connect to.
    pub enum ClusterEndpointType {
        /// Its address.
        Ip = "ip",
        /// Its announced host name.
        Hostname = "hostname",
        /// Nothing: the client uses the address it has.
        UnknownEndpoint = "unknown-endpoint",
    }

    /// What happens when a replicated command fails.
    pub enum PropagationErrorBehavior {
        /// It is logged.
        Ignore = "ignore",
        /// The process stops.
        Panic = "panic",
        /// The process stops where it is a replica.
        PanicOnReplicas = "panic-on-replicas",
    }
}

impl MaxmemoryPolicy {
    /// Chooses by time of last use.
    #[must_use]
    pub fn is_lru(self) -> bool {
        matches!(self, Self::VolatileLru | Self::AllkeysLru)
    }

    /// Chooses by frequency of use.
    #[must_use]
    pub fn is_lfu(self) -> bool {
        matches!(self, Self::VolatileLfu | Self::AllkeysLfu)
    }

    /// Takes only keys with a deadline.
    #[must_use]
    pub fn is_volatile(self) -> bool {
        matches!(
            self,
            Self::VolatileLru | Self::VolatileLfu | Self::VolatileRandom | Self::VolatileTtl
        )
    }
}

impl ProtectedAction {
    /// Whether a client may do it; `from_here` says that it connects from this machine.
    #[must_use]
    pub fn allowed(self, from_here: bool) -> bool {
        match self {
            Self::No => false,
            Self::Yes => true,
            Self::Local => from_here,
        }
    }
}

/// A limit in bytes, or in percent of `maxmemory`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryOrPercent {
    /// Bytes; 0 is no limit.
    Bytes(u64),
    /// 1 to 100 percent of `maxmemory`.
    Percent(u8),
}

impl MemoryOrPercent {
    /// As a limit of what all clients together may take.
    #[must_use]
    pub fn clients_bytes(self, maxmemory_bytes: u64) -> Option<u64> {
        self.bytes(maxmemory_bytes).map(|bytes| bytes.max(CLIENTS_LIMIT_MIN_BYTES))
    }

    /// The limit in bytes under a `maxmemory`; `None` when there is no limit.
    #[must_use]
    pub fn bytes(self, maxmemory_bytes: u64) -> Option<u64> {
        let bytes = match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => {
                let bytes = u128::from(maxmemory_bytes) * u128::from(percent) / 100;
                u64::try_from(bytes).unwrap_or(u64::MAX)
            }
        };
        (bytes != 0).then_some(bytes)
    }
}

/// A lower `maxmemory-clients` counts as this one (as in Redis): with less, nobody could talk to the
/// server any more, not even to raise it.
const CLIENTS_LIMIT_MIN_BYTES: u64 = 128 * 1024;

/// After so many seconds with so many changes, the data set is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavePoint {
    /// Seconds since the last save, from 1.
    pub seconds: u64,
    /// Changes since the last save.
    pub changes: u64,
}

/// How much output may wait for a client before it is disconnected. 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputBufferLimit {
    /// Reached: disconnected at once.
    pub hard_bytes: u64,
    /// Exceeded for `soft_s` seconds: disconnected.
    pub soft_bytes: u64,
    /// Seconds above `soft_bytes`.
    pub soft_s: u64,
}

impl OutputBufferLimit {
    /// A limit from its three numbers.
    #[must_use]
    pub const fn new(hard_bytes: u64, soft_bytes: u64, soft_s: u64) -> Self {
        Self { hard_bytes, soft_bytes, soft_s }
    }
}

/// The output limits of each class of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputBufferLimits {
    /// Ordinary clients, MONITOR included.
    pub normal: OutputBufferLimit,
    /// Replicas.
    pub replica: OutputBufferLimit,
    /// Clients with a subscription.
    pub pubsub: OutputBufferLimit,
}

/// `oom_score_adj` of the process by its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OomScoreAdjValues {
    /// As a primary.
    pub primary: i32,
    /// As a replica.
    pub replica: i32,
    /// Of background children.
    pub background: i32,
}

/// What a signal asks of SHUTDOWN. None of them: as SHUTDOWN without options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShutdownOptions {
    /// Save even without save points.
    pub save: bool,
    /// Do not save.
    pub nosave: bool,
    /// Do not wait for replicas.
    pub now: bool,
    /// Leave even when saving fails.
    pub force: bool,
}

/// Host and port of the primary that a replica follows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrimaryAddress {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// A command that answers to another name, or to none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenamedCommand {
    /// Its own name.
    pub from: String,
    /// The name it answers to; empty when it is switched off.
    pub to: String,
}

/// An address of `bind`, as [`bind_address`] reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindAddress<'a> {
    /// The address or host name; `*` and `::*` are given as `0.0.0.0` and `::`.
    pub host: &'a str,
    /// Written with a leading `-`: when the address does not exist here, go on without it.
    pub optional: bool,
}

/// Reads one word of `bind`.
#[must_use]
pub fn bind_address(word: &str) -> BindAddress<'_> {
    let (optional, host) = match word.strip_prefix('-') {
        Some(host) => (true, host),
        None => (false, word),
    };
    let host = match host {
        "*" => "0.0.0.0",
        "::*" => "::",
        other => other,
    };
    BindAddress { host, optional }
}

impl BindAddress<'_> {
    /// Whether only this machine can reach it.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

/// The events that `notify-keyspace-events` switches on.
///
/// The letters are Redis's. A key event is published when its class is on and so is at least one
/// of [`Self::KEYSPACE`] and [`Self::KEYEVENT`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NotifyFlags(u16);

impl NotifyFlags {
    /// `K`: publish on `__keyspace@<db>__:<key>`.
    pub const KEYSPACE: Self = Self(1);
    /// `E`: publish on `__keyevent@<db>__:<event>`.
    pub const KEYEVENT: Self = Self(1 << 1);
    /// `g`: DEL, EXPIRE, RENAME and the like.
    pub const GENERIC: Self = Self(1 << 2);
    /// `$`: strings.
    pub const STRING: Self = Self(1 << 3);
    /// `l`: lists.
    pub const LIST: Self = Self(1 << 4);
    /// `s`: sets.
    pub const SET: Self = Self(1 << 5);
    /// `h`: hashes.
    pub const HASH: Self = Self(1 << 6);
    /// `z`: sorted sets.
    pub const ZSET: Self = Self(1 << 7);
    /// `x`: expiry.
    pub const EXPIRED: Self = Self(1 << 8);
    /// `e`: eviction.
    pub const EVICTED: Self = Self(1 << 9);
    /// `t`: streams.
    pub const STREAM: Self = Self(1 << 10);
    /// `m`: reads of keys that are not there. Not part of `A`.
    pub const KEY_MISS: Self = Self(1 << 11);
    /// `d`: module types.
    pub const MODULE: Self = Self(1 << 13);
    /// `n`: new keys. Not part of `A`.
    pub const NEW: Self = Self(1 << 14);
    /// `A`: what stands for `g$lshzxetd`.
    pub const ALL: Self = Self(
        Self::GENERIC.0
            | Self::STRING.0
            | Self::LIST.0
            | Self::SET.0
            | Self::HASH.0
            | Self::ZSET.0
            | Self::EXPIRED.0
            | Self::EVICTED.0
            | Self::STREAM.0
            | Self::MODULE.0,
    );

    /// Letters in the order in which they are shown.
    const LETTERS: [(char, Self); 14] = [
        ('g', Self::GENERIC),
        ('$', Self::STRING),
        ('l', Self::LIST),
        ('s', Self::SET),
        ('h', Self::HASH),
        ('z', Self::ZSET),
        ('x', Self::EXPIRED),
        ('e', Self::EVICTED),
        ('t', Self::STREAM),
        ('d', Self::MODULE),
        ('n', Self::NEW),
        ('K', Self::KEYSPACE),
        ('E', Self::KEYEVENT),
        ('m', Self::KEY_MISS),
    ];

    /// No event.
    #[must_use]
    pub const fn none() -> Self {
        Self(0)
    }

    /// The set as bits, one for each constant.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// No letter is set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// All letters of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// At least one letter of `other` is set.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The letters of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Reads letters in any order; `None` when one is unknown.
    #[must_use]
    pub fn from_letters(letters: &str) -> Option<Self> {
        letters.chars().try_fold(Self::none(), |flags, letter| {
            if letter == 'A' {
                return Some(flags.union(Self::ALL));
            }
            let (_, flag) = Self::LETTERS.iter().find(|(known, _)| *known == letter)?;
            Some(flags.union(*flag))
        })
    }

    /// The letters as Redis shows them: `A` for a full set, `n` only beside an incomplete one.
    #[must_use]
    pub fn letters(self) -> String {
        let all = self.contains(Self::ALL);
        let mut letters = String::new();
        if all {
            letters.push('A');
        }
        let hidden = |flag: Self| all && Self::ALL.union(Self::NEW).contains(flag);
        let shown = Self::LETTERS.iter().filter(|(_, flag)| self.contains(*flag) && !hidden(*flag));
        letters.extend(shown.map(|(letter, _)| *letter));
        letters
    }
}
