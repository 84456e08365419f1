//! The replication group that a node belongs to.

macro_rules! group_rows {
    ($next:ident $($more:ident)*; $($rows:tt)*) => { $next! { $($more)*; $($rows)*
        /// The replication group that this node belongs to; empty: none.
        group: String = String::new(), "group", GroupName, [immutable ours];
        /// The node's name among the members of its group.
        node_id: String = String::new(), "node-id", CheckedOptionalText(node_name),
            [immutable ours];
        /// The members of the group when it starts for the first time; without the part before
        /// the slash a member is a witness.
        group_peers: Vec<GroupPeer> = Vec::new(), "group-peers", Peers, [immutable multi ours];
        /// File with the members, in the words of `group-peers`; empty: none.
        group_file: String = String::new(), "group-file", OptionalText, [immutable ours];
        /// Whether this member votes without holding data.
        group_witness: bool = false, "group-witness", YesNo, [immutable ours];
        /// Port for the other members; 0: the one that `group-peers` names.
        group_port: u16 = 0, "group-port", Int(0..=65_535), [immutable ours];
        /// What the members prove to each other that they know. Only on a loopback interface
        /// can it be left out.
        group_secret: String = String::new(), "group-secret", OptionalText,
            [immutable sensitive ours];
        /// File with the secret; empty: none.
        group_secret_file: String = String::new(), "group-secret-file", OptionalText,
            [immutable ours];
        /// Folder for what a member has to remember; empty: `group` within `dir`.
        group_dir: String = String::new(), "group-dir", OptionalText, [immutable ours];
        /// Port that always leads to the primary of the group; 0: none.
        primary_endpoint_port: u16 = 0, "primary-endpoint-port", Int(0..=65_535),
            [immutable ours];
        /// Port that leads to the replicas of the group in turn; 0: none.
        reader_endpoint_port: u16 = 0, "reader-endpoint-port", Int(0..=65_535),
            [immutable ours];
        /// Port on which the member says that it is a Sentinel, for clients that ask for its role
        /// before they believe it; 0: none. All others may ask it on the node's own port.
        group_sentinel_port: u16 = 0, "group-sentinel-port", Int(0..=65_535), [immutable ours];
        /// Milliseconds for which the endpoints hold a new connection while there is nobody to
        /// lead it to; 0: it is closed at once.
        endpoint_hold_time_ms: u64 = 2000, "endpoint-hold-time", Int(0..=600_000),
            [immutable ours];
        /// Milliseconds by which a replica may lag and still get new connections of the reader
        /// endpoint.
        reader_endpoint_max_lag_ms: u64 = 1000, "reader-endpoint-max-lag", Int(0..=LONG_MAX),
            [immutable ours];
        /// Milliseconds for which a primary may acknowledge writes after a majority of the
        /// members last heard of it.
        group_lease_time_ms: u64 = 1000, "group-lease-time", Int(50..=60_000), [immutable ours];
        /// Milliseconds between two renewals of this lease.
        group_heartbeat_period_ms: u64 = 250, "group-heartbeat-period", Int(5..=20_000),
            [immutable ours];
    } };
}
