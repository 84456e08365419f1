//! Redis Cluster.

macro_rules! cluster_rows {
    ($next:ident $($more:ident)*; $($rows:tt)*) => { $next! { $($more)*; $($rows)*
        /// Take part in a cluster.
        cluster_enabled: bool = false, "cluster-enabled", YesNo, [immutable no_effect];
        /// File in which the cluster's state is kept.
        cluster_config_file: String = "nodes.conf".to_owned(), "cluster-config-file", Text,
            [immutable no_effect];
        /// Port of the cluster's bus; 0: the TCP port plus 10000.
        cluster_port: u16 = 0, "cluster-port", Int(0..=65_535), [immutable no_effect];
        /// Milliseconds of silence after which a node is suspected.
        cluster_node_timeout_ms: u64 = 15_000, "cluster-node-timeout", Int(0..=LONG_MAX),
            [mutable no_effect];
        /// Milliseconds between pings; 0: the cluster's own pace.
        cluster_ping_interval_ms: u64 = 0, "cluster-ping-interval", Int(0..=LONG_MAX),
            [mutable hidden no_effect];
        /// Serve nothing while a slot is not served.
        cluster_require_full_coverage: bool = true, "cluster-require-full-coverage", YesNo,
            [mutable no_effect];
        /// Serve reads while the cluster is down.
        cluster_allow_reads_when_down: bool = false, "cluster-allow-reads-when-down", YesNo,
            [mutable no_effect];
        /// Serve sharded channels while the cluster is down.
        cluster_allow_pubsubshard_when_down: bool = true, "cluster-allow-pubsubshard-when-down",
            YesNo, [mutable no_effect];
        /// A replica never takes over by itself.
        cluster_replica_no_failover: bool = false,
            "cluster-replica-no-failover" | "cluster-slave-no-failover", YesNo,
            [mutable no_effect];
        /// How old a replica's data may be for it to take over, in node timeouts.
        cluster_replica_validity_factor: u32 = 10,
            "cluster-replica-validity-factor" | "cluster-slave-validity-factor",
            Int(0..=INT_MAX), [mutable no_effect];
        /// Replicas move to primaries that have none.
        cluster_allow_replica_migration: bool = true, "cluster-allow-replica-migration", YesNo,
            [mutable no_effect];
        /// Replicas that a primary keeps when one moves.
        cluster_migration_barrier: u32 = 1, "cluster-migration-barrier", Int(0..=INT_MAX),
            [mutable no_effect];
        /// Address that the node gives others; empty: the one it has.
        cluster_announce_ip: String = String::new(), "cluster-announce-ip", OptionalText,
            [mutable no_effect];
        /// TCP port that the node gives others; 0: the one it has.
        cluster_announce_port: u16 = 0, "cluster-announce-port", Int(0..=65_535),
            [mutable no_effect];
        /// TLS port that the node gives others; 0: the one it has.
        cluster_announce_tls_port: u16 = 0, "cluster-announce-tls-port", Int(0..=65_535),
            [mutable no_effect];
        /// Bus port that the node gives others; 0: the one it has.
        cluster_announce_bus_port: u16 = 0, "cluster-announce-bus-port", Int(0..=65_535),
            [mutable no_effect];
        /// Host name that the node gives others.
        cluster_announce_hostname: String = String::new(), "cluster-announce-hostname",
            CheckedOptionalText(announced_hostname), [mutable no_effect];
        /// Name of the node for people.
        cluster_announce_human_nodename: String = String::new(),
            "cluster-announce-human-nodename", CheckedOptionalText(announced_node_name),
            [mutable no_effect];
        /// What clients are told to connect to.
        cluster_preferred_endpoint_type: ClusterEndpointType = ClusterEndpointType::Ip,
            "cluster-preferred-endpoint-type", OneOf, [mutable no_effect];
        /// Bytes that may wait for another node; 0: no limit.
        cluster_link_sendbuf_limit_bytes: u64 = 0, "cluster-link-sendbuf-limit",
            Memory(0..=ULONG_MAX), [mutable no_effect];
    } };
}
