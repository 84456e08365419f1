//! The memory limit, eviction, and freeing.

macro_rules! memory_rows {
    ($next:ident $($more:ident)*; $($rows:tt)*) => { $next! { $($more)*; $($rows)*
        /// Bytes that the data set may use; 0: no limit.
        maxmemory_bytes: u64 = 0, "maxmemory", Memory(0..=ULONG_MAX), [mutable];
        /// What is evicted when maxmemory is reached.
        maxmemory_policy: MaxmemoryPolicy = MaxmemoryPolicy::Noeviction, "maxmemory-policy",
            OneOf, [mutable];
        /// Keys among which eviction chooses the best.
        maxmemory_samples: u32 = 5, "maxmemory-samples", Int(1..=INT_MAX), [mutable];
        /// How long eviction may work at a time, from 0 to 100 (without end).
        maxmemory_eviction_tenacity: u32 = 10, "maxmemory-eviction-tenacity", Int(0..=100),
            [mutable];
        /// How many uses saturate a key's counter; more: slower.
        lfu_log_factor: u32 = 10, "lfu-log-factor", Int(0..=INT_MAX), [mutable];
        /// Minutes after which a key's counter goes down by one; 0: at each look.
        lfu_decay_time_min: u32 = 1, "lfu-decay-time", Int(0..=INT_MAX), [mutable];
        /// Evicted values are freed in the background.
        lazyfree_lazy_eviction: bool = false, "lazyfree-lazy-eviction", YesNo, [mutable];
        /// Expired values are freed in the background.
        lazyfree_lazy_expire: bool = false, "lazyfree-lazy-expire", YesNo, [mutable];
        /// Values that a command replaces are freed in the background.
        lazyfree_lazy_server_del: bool = false, "lazyfree-lazy-server-del", YesNo, [mutable];
        /// DEL works as UNLINK.
        lazyfree_lazy_user_del: bool = false, "lazyfree-lazy-user-del", YesNo, [mutable];
        /// FLUSHALL, FLUSHDB and SCRIPT FLUSH are ASYNC unless they say SYNC.
        lazyfree_lazy_user_flush: bool = false, "lazyfree-lazy-user-flush", YesNo, [mutable];
        /// Effort to find expired keys that nobody reads, from 1 to 10.
        active_expire_effort: u32 = 1, "active-expire-effort", Int(1..=10), [mutable];
        /// Rehash tables in the background.
        activerehashing: bool = true, "activerehashing", YesNo, [mutable no_effect];
        /// Defragment memory in the background. The allocator here needs none.
        activedefrag: bool = false, "activedefrag", NoDefrag, [mutable no_effect];
        /// Percent of a core that defragmentation takes at least.
        active_defrag_cycle_min: u32 = 1, "active-defrag-cycle-min", Int(1..=99),
            [mutable no_effect];
        /// Percent of a core that defragmentation takes at most.
        active_defrag_cycle_max: u32 = 25, "active-defrag-cycle-max", Int(1..=99),
            [mutable no_effect];
        /// Percent of fragmentation from which it is worked on.
        active_defrag_threshold_lower: u32 = 10, "active-defrag-threshold-lower", Int(0..=1000),
            [mutable no_effect];
        /// Percent of fragmentation from which it is worked on with full effort.
        active_defrag_threshold_upper: u32 = 100, "active-defrag-threshold-upper", Int(0..=1000),
            [mutable no_effect];
        /// Bytes of fragmentation that are left alone.
        active_defrag_ignore_bytes: u64 = 100 << 20, "active-defrag-ignore-bytes",
            Memory(1..=LONG_MAX), [mutable no_effect];
        /// Elements from which a collection is defragmented by itself.
        active_defrag_max_scan_fields: u64 = 1000, "active-defrag-max-scan-fields",
            Int(1..=LONG_MAX), [mutable no_effect];
        /// jemalloc's background thread.
        jemalloc_bg_thread: bool = true, "jemalloc-bg-thread", YesNo, [mutable no_effect];
        /// Do without the kernel's transparent huge pages, for which the heap of the server binary
        /// waits milliseconds each; an embedded node leaves its process as it is.
        disable_thp: bool = true, "disable-thp", YesNo, [immutable];
        /// Whether and how the kernel's out-of-memory score of the process is set.
        oom_score_adj: OomScoreAdj = OomScoreAdj::No, "oom-score-adj", OneOf,
            [mutable no_effect];
        /// Out-of-memory scores as a primary, as a replica, and of background children.
        oom_score_adj_values: OomScoreAdjValues =
            OomScoreAdjValues { primary: 0, replica: 200, background: 800 },
            "oom-score-adj-values", OomValues, [mutable multi no_effect];
    } };
}
