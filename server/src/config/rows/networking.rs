//! Listeners, clients, access, threads.

macro_rules! networking_rows {
    ($next:ident $($more:ident)*; $($rows:tt)*) => { $next! { $($more)*; $($rows)*
        /// TCP port to listen on; 0 for none.
        port: u16 = 6379, "port", Int(0..=65_535), [mutable];
        /// Addresses to listen on. A leading `-` lets one be missing; none: no TCP listener.
        bind: Vec<String> = vec!["*".to_owned(), "-::*".to_owned()], "bind", Addresses,
            [mutable multi];
        /// Local address for connections that this server opens.
        bind_source_addr: String = String::new(), "bind-source-addr", OptionalText,
            [mutable no_effect];
        /// Path of the Unix domain socket to listen on; empty for none.
        unixsocket: String = String::new(), "unixsocket", OptionalText, [immutable];
        /// Permissions of the Unix domain socket; 0 leaves them to the umask.
        unixsocketperm: u32 = 0, "unixsocketperm", Octal(0..=0o777), [immutable];
        /// Length of the queue of connections that are not accepted yet.
        tcp_backlog: u32 = 511, "tcp-backlog", Int(0..=INT_MAX), [immutable];
        /// Seconds of silence after which TCP asks whether a client is still there; 0: never.
        tcp_keepalive_s: u32 = 300, "tcp-keepalive", Int(0..=INT_MAX), [mutable];
        /// Seconds after which an idle client is disconnected; 0: never.
        timeout_s: u64 = 0, "timeout", Int(0..=INT_MAX), [mutable];
        /// Mark that listening sockets and their connections carry; 0 for none.
        socket_mark_id: u32 = 0, "socket-mark-id", Int(0..=UINT_MAX), [immutable no_effect];
        /// Without a password, refuse clients that do not come from this machine.
        protected_mode: bool = true, "protected-mode", YesNo, [mutable];
        /// Password of the default user; empty for none.
        requirepass: String = String::new(), "requirepass", OptionalText, [mutable sensitive];
        /// File with ACL users; empty for none.
        aclfile: String = String::new(), "aclfile", Text, [immutable];
        /// Entries that ACL LOG keeps.
        acllog_max_len: u64 = 128, "acllog-max-len", Int(0..=LONG_MAX), [mutable];
        /// Channels that a new ACL user may use.
        acl_pubsub_default: AclPubsubDefault = AclPubsubDefault::Resetchannels,
            "acl-pubsub-default", OneOf, [mutable];
        /// An ACL user: name and rules.
        user: Vec<Vec<String>> = Vec::new(), "user", UserLines,
            [immutable multi file_only sensitive];
        /// A command that answers to another name, or to none when it is empty.
        rename_command: Vec<RenamedCommand> = Vec::new(), "rename-command", Renames,
            [immutable multi file_only];
        /// Whether DEBUG works: no, yes, or local for connections from this machine.
        enable_debug_command: ProtectedAction = ProtectedAction::No, "enable-debug-command",
            OneOf, [immutable];
        /// Whether CONFIG SET may change protected directives.
        enable_protected_configs: ProtectedAction = ProtectedAction::No,
            "enable-protected-configs", OneOf, [immutable];
        /// Whether MODULE works.
        enable_module_command: ProtectedAction = ProtectedAction::No, "enable-module-command",
            OneOf, [immutable no_effect];
        /// Most clients connected at a time.
        maxclients: u32 = 10_000, "maxclients", Int(1..=UINT_MAX), [mutable];
        /// Memory that all clients may use, in bytes or percent of maxmemory; 0: no limit.
        maxmemory_clients: MemoryOrPercent = MemoryOrPercent::Bytes(0), "maxmemory-clients",
            MemoryOrShare, [mutable];
        // The finite limit for normal clients is ours: Redis has none.
        /// Output that may wait for a client, for each class: hard limit, soft limit, its seconds.
        client_output_buffer_limit: OutputBufferLimits = OutputBufferLimits {
            normal: OutputBufferLimit::new(1 << 30, 0, 0),
            replica: OutputBufferLimit::new(256 << 20, 64 << 20, 60),
            pubsub: OutputBufferLimit::new(32 << 20, 8 << 20, 60),
        }, "client-output-buffer-limit", ClassLimits, [mutable multi];
        /// Most bytes of requests that may wait for one client.
        client_query_buffer_limit_bytes: u64 = 1 << 30, "client-query-buffer-limit",
            Memory((1 << 20)..=LONG_MAX), [mutable];
        /// Most bytes of one argument.
        proto_max_bulk_len_bytes: u64 = 512 << 20, "proto-max-bulk-len",
            Memory((1 << 20)..=LONG_MAX), [mutable];
        /// Entries of the table of keys that clients cache; 0: no limit.
        tracking_table_max_keys: u64 = 1_000_000, "tracking-table-max-keys", Int(0..=LONG_MAX),
            [mutable];
        /// Port on which metrics are told over HTTP, for Prometheus; 0 for none.
        metrics_port: u16 = 0, "metrics-port", Int(0..=65_535), [mutable ours];
        /// Addresses to tell metrics on. Nobody is asked for a password there.
        metrics_bind: Vec<String> = vec!["127.0.0.1".to_owned(), "-::1".to_owned()],
            "metrics-bind", Addresses, [mutable multi ours];
        /// Threads that serve clients; 0: one for each core.
        threads: u32 = 0, "threads", Int(0..=1024), [immutable ours];
        /// Redis's I/O threads. Here `threads` decides.
        io_threads: u32 = 1, "io-threads", Int(1..=128), [immutable no_effect];
        /// Whether Redis's I/O threads also read.
        io_threads_do_reads: bool = false, "io-threads-do-reads", YesNo, [immutable no_effect];
        /// Cores that serve clients.
        server_cpulist: String = String::new(), "server_cpulist", OptionalText,
            [immutable no_effect];
        /// Cores of background threads.
        bio_cpulist: String = String::new(), "bio_cpulist", OptionalText, [immutable no_effect];
        /// Cores of the rewrite of the append-only file.
        aof_rewrite_cpulist: String = String::new(), "aof_rewrite_cpulist", OptionalText,
            [immutable no_effect];
        /// Cores of background saves.
        bgsave_cpulist: String = String::new(), "bgsave_cpulist", OptionalText,
            [immutable no_effect];
    } };
}
