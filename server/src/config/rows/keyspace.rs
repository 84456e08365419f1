//! Databases, events, and how values are encoded.

macro_rules! keyspace_rows {
    ($next:ident $($more:ident)*; $($rows:tt)*) => { $next! { $($more)*; $($rows)*
        /// Number of databases.
        databases: usize = 16, "databases", Int(1..=INT_MAX), [immutable];
        /// Events of keys that are published, as letters.
        notify_keyspace_events: NotifyFlags = NotifyFlags::none(), "notify-keyspace-events",
            EventLetters, [mutable];
        /// Fields up to which a hash stays compact.
        hash_max_listpack_entries: u64 = 512,
            "hash-max-listpack-entries" | "hash-max-ziplist-entries", Int(0..=LONG_MAX),
            [mutable];
        /// Bytes of a field or value up to which a hash stays compact.
        hash_max_listpack_value_bytes: u64 = 64,
            "hash-max-listpack-value" | "hash-max-ziplist-value", Memory(0..=LONG_MAX),
            [mutable];
        /// Size of a list's nodes: entries, or from -1 (4 kb) to -5 (64 kb).
        list_max_listpack_size: i32 = -2, "list-max-listpack-size" | "list-max-ziplist-size",
            Int(INT_MIN..=INT_MAX), [mutable];
        /// Nodes at each end of a list that are not compressed; 0: none is.
        list_compress_depth: u32 = 0, "list-compress-depth", Int(0..=INT_MAX),
            [mutable no_effect];
        /// Integers up to which a set stays an array of them.
        set_max_intset_entries: u64 = 512, "set-max-intset-entries", Int(0..=LONG_MAX),
            [mutable];
        /// Members up to which a set stays compact.
        set_max_listpack_entries: u64 = 128, "set-max-listpack-entries", Int(0..=LONG_MAX),
            [mutable];
        /// Bytes of a member up to which a set stays compact.
        set_max_listpack_value_bytes: u64 = 64, "set-max-listpack-value", Int(0..=LONG_MAX),
            [mutable];
        /// Members up to which a sorted set stays compact.
        zset_max_listpack_entries: u64 = 128,
            "zset-max-listpack-entries" | "zset-max-ziplist-entries", Int(0..=LONG_MAX),
            [mutable];
        /// Bytes of a member up to which a sorted set stays compact.
        zset_max_listpack_value_bytes: u64 = 64,
            "zset-max-listpack-value" | "zset-max-ziplist-value", Memory(0..=LONG_MAX),
            [mutable];
        /// Bytes up to which a HyperLogLog stays sparse.
        hll_sparse_max_bytes: u64 = 3000, "hll-sparse-max-bytes", Memory(0..=LONG_MAX),
            [mutable];
        /// Bytes of a stream's node; 0: no limit.
        stream_node_max_bytes: u64 = 4096, "stream-node-max-bytes", Memory(0..=LONG_MAX),
            [mutable];
        /// Entries of a stream's node; 0: no limit.
        stream_node_max_entries: u64 = 100, "stream-node-max-entries", Int(0..=LONG_MAX),
            [mutable];
        /// When payloads of RESTORE and full syncs are checked in depth.
        sanitize_dump_payload: SanitizeDumpPayload = SanitizeDumpPayload::No,
            "sanitize-dump-payload", OneOf, [mutable no_effect];
    } };
}
