//! Dump file and append-only file.

macro_rules! persistence_rows {
    ($next:ident $($more:ident)*; $($rows:tt)*) => { $next! { $($more)*; $($rows)*
        /// Save after so many seconds with so many changes; "" for never.
        save: Vec<SavePoint> = vec![
            SavePoint { seconds: 3600, changes: 1 },
            SavePoint { seconds: 300, changes: 100 },
            SavePoint { seconds: 60, changes: 10_000 },
        ], "save", SavePoints, [mutable multi no_effect];
        /// Name of the dump file.
        dbfilename: String = "dump.rdb".to_owned(), "dbfilename", CheckedText(dump_file_name),
            [mutable protected no_effect];
        /// Compress texts in dumps.
        rdbcompression: bool = true, "rdbcompression", YesNo, [mutable];
        /// Write and check the checksum of dumps.
        rdbchecksum: bool = true, "rdbchecksum", YesNo, [immutable];
        /// Remove dumps that only served a full sync.
        rdb_del_sync_files: bool = false, "rdb-del-sync-files", YesNo, [mutable no_effect];
        /// Refuse writes after a failed save.
        stop_writes_on_bgsave_error: bool = true, "stop-writes-on-bgsave-error", YesNo,
            [mutable no_effect];
        /// Flush dumps to the disk while they are written.
        rdb_save_incremental_fsync: bool = true, "rdb-save-incremental-fsync", YesNo,
            [mutable no_effect];
        /// Microseconds to sleep at each key saved, for tests.
        rdb_key_save_delay_us: i32 = 0, "rdb-key-save-delay", Int(INT_MIN..=INT_MAX),
            [mutable hidden no_effect];
        /// Microseconds to sleep at each key loaded, for tests.
        key_load_delay_us: i32 = 0, "key-load-delay", Int(INT_MIN..=INT_MAX),
            [mutable hidden no_effect];
        /// Bytes of a load after which clients are looked at.
        loading_process_events_interval_bytes: u64 = 2 << 20,
            "loading-process-events-interval-bytes", Int(1024..=INT_MAX),
            [mutable hidden no_effect];
        /// Keep an append-only file.
        appendonly: bool = false, "appendonly", YesNo, [mutable deny_loading no_effect];
        /// Name of the append-only file.
        appendfilename: String = "appendonly.aof".to_owned(), "appendfilename",
            CheckedText(append_file_name), [immutable no_effect];
        /// Directory of the append-only files, within `dir`.
        appenddirname: String = "appendonlydir".to_owned(), "appenddirname",
            CheckedText(append_directory_name), [immutable no_effect];
        /// When the append-only file is flushed to the disk.
        appendfsync: AppendFsync = AppendFsync::Everysec, "appendfsync", OneOf,
            [mutable no_effect];
        /// Do not flush while a save or rewrite runs.
        no_appendfsync_on_rewrite: bool = false, "no-appendfsync-on-rewrite", YesNo,
            [mutable no_effect];
        /// Percent of growth after which the append-only file is rewritten; 0: never.
        auto_aof_rewrite_percentage: u32 = 100, "auto-aof-rewrite-percentage", Int(0..=INT_MAX),
            [mutable no_effect];
        /// Bytes from which the append-only file is rewritten.
        auto_aof_rewrite_min_size_bytes: u64 = 64 << 20, "auto-aof-rewrite-min-size",
            Memory(0..=LONG_MAX), [mutable no_effect];
        /// Flush the file to the disk while it is rewritten.
        aof_rewrite_incremental_fsync: bool = true, "aof-rewrite-incremental-fsync", YesNo,
            [mutable no_effect];
        /// Load an append-only file that ends in the middle of a command.
        aof_load_truncated: bool = true, "aof-load-truncated", YesNo, [mutable no_effect];
        /// Begin a rewritten append-only file with a dump.
        aof_use_rdb_preamble: bool = true, "aof-use-rdb-preamble", YesNo, [mutable no_effect];
        /// Write times into the append-only file.
        aof_timestamp_enabled: bool = false, "aof-timestamp-enabled", YesNo,
            [mutable no_effect];
        /// Keep append-only files that are no longer needed, for tests.
        aof_disable_auto_gc: bool = false, "aof-disable-auto-gc", YesNo,
            [mutable hidden no_effect];
    } };
}
