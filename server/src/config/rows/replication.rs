//! Primary and replicas.

macro_rules! replication_rows {
    ($next:ident $($more:ident)*; $($rows:tt)*) => { $next! { $($more)*; $($rows)*
        /// The primary that this node follows, as host and port; `no one` for none.
        replicaof: Option<PrimaryAddress> = None, "replicaof" | "slaveof", Primary,
            [immutable multi];
        /// Password for the primary.
        masterauth: String = String::new(), "masterauth", OptionalText,
            [mutable sensitive];
        /// User for the primary.
        masteruser: String = String::new(), "masteruser", OptionalText,
            [mutable sensitive];
        /// A replica without its primary answers from what it has.
        replica_serve_stale_data: bool = true,
            "replica-serve-stale-data" | "slave-serve-stale-data", YesNo, [mutable];
        /// A replica refuses writes of clients.
        replica_read_only: bool = true, "replica-read-only" | "slave-read-only", YesNo,
            [mutable];
        /// A replica leaves eviction to its primary.
        replica_ignore_maxmemory: bool = true,
            "replica-ignore-maxmemory" | "slave-ignore-maxmemory", YesNo, [mutable];
        /// A replica frees its old data in the background before a full sync.
        replica_lazy_flush: bool = false, "replica-lazy-flush" | "slave-lazy-flush", YesNo,
            [mutable no_effect];
        /// Rank of a replica for failover, lowest first; 0: never.
        replica_priority: u32 = 100, "replica-priority" | "slave-priority", Int(0..=INT_MAX),
            [mutable no_effect];
        /// Sentinel is told of this replica.
        replica_announced: bool = true, "replica-announced", YesNo, [mutable no_effect];
        /// Address that a replica gives its primary; empty: the one it has.
        replica_announce_ip: String = String::new(), "replica-announce-ip" | "slave-announce-ip",
            OptionalText, [mutable];
        /// Port that a replica gives its primary; 0: the one it has.
        replica_announce_port: u16 = 0, "replica-announce-port" | "slave-announce-port",
            Int(0..=65_535), [mutable];
        /// A replica goes on when it cannot write to its disk.
        replica_ignore_disk_write_errors: bool = false, "replica-ignore-disk-write-errors",
            YesNo, [mutable no_effect];
        /// What happens when a replicated command fails.
        propagation_error_behavior: PropagationErrorBehavior = PropagationErrorBehavior::Ignore,
            "propagation-error-behavior", OneOf, [mutable no_effect];
        /// Send full syncs without a file between.
        repl_diskless_sync: bool = true, "repl-diskless-sync", YesNo, [mutable no_effect];
        /// Seconds that a full sync waits for more replicas.
        repl_diskless_sync_delay_s: u32 = 5, "repl-diskless-sync-delay", Int(0..=INT_MAX),
            [mutable no_effect];
        /// Replicas that end this wait; 0: none.
        repl_diskless_sync_max_replicas: u32 = 0, "repl-diskless-sync-max-replicas",
            Int(0..=INT_MAX), [mutable no_effect];
        /// Load full syncs without a file between.
        repl_diskless_load: DisklessLoad = DisklessLoad::Disabled, "repl-diskless-load", OneOf,
            [mutable deny_loading no_effect];
        /// Gather small packets to replicas.
        repl_disable_tcp_nodelay: bool = false, "repl-disable-tcp-nodelay", YesNo,
            [mutable no_effect];
        /// Seconds of silence after which the other side of a link is lost.
        repl_timeout_s: u32 = 60, "repl-timeout", Int(1..=INT_MAX), [mutable];
        /// Seconds between pings to replicas.
        repl_ping_replica_period_s: u32 = 10,
            "repl-ping-replica-period" | "repl-ping-slave-period", Int(1..=INT_MAX),
            [mutable];
        /// Bytes of the stream kept for replicas that come back.
        repl_backlog_size_bytes: u64 = 1 << 20, "repl-backlog-size", Memory(1..=LONG_MAX),
            [mutable];
        /// Seconds without replicas after which the backlog is freed; 0: never.
        repl_backlog_ttl_s: u64 = 3600, "repl-backlog-ttl", Int(0..=LONG_MAX),
            [mutable];
        /// Replicas that must keep up for writes to be accepted; 0: none.
        min_replicas_to_write: u32 = 0, "min-replicas-to-write" | "min-slaves-to-write",
            Int(0..=INT_MAX), [mutable];
        /// Seconds by which a replica that keeps up may lag.
        min_replicas_max_lag_s: u32 = 10, "min-replicas-max-lag" | "min-slaves-max-lag",
            Int(0..=INT_MAX), [mutable];
        /// The zone that the node stands in, for clients that prefer near ones; Valkey's.
        availability_zone: String = String::new(), "availability-zone", OptionalText,
            [mutable ours];
        /// Who must have a write before it is answered.
        write_acks: WriteAcks = WriteAcks::Primary, "write-acks", OneOf, [mutable ours];
        /// Milliseconds that an answer waits for them; 0: as long as it takes.
        write_acks_timeout_ms: u64 = 1000, "write-acks-timeout", Int(0..=LONG_MAX),
            [mutable ours];
    } };
}
