//! The process, logging, and what is measured.

macro_rules! operation_rows {
    ($next:ident $($more:ident)*; $($rows:tt)*) => { $next! { $($more)*; $($rows)*
        /// Another file to read here; a glob pattern reads all that match.
        include: Vec<Vec<String>> = Vec::new(), "include", EachLine,
            [immutable multi file_only];
        /// A module to load. There are none here.
        loadmodule: Vec<Vec<String>> = Vec::new(), "loadmodule", EachLine,
            [immutable multi file_only no_effect];
        /// Run in the background. A service manager does that better.
        daemonize: bool = false, "daemonize", YesNo, [immutable];
        /// Who supervises the process.
        supervised: Supervised = Supervised::No, "supervised", OneOf, [immutable no_effect];
        /// File for the process id; empty for none.
        pidfile: String = String::new(), "pidfile", OptionalText, [immutable];
        /// Directory for all files named without one.
        dir: PathBuf = PathBuf::from("."), "dir", Directory,
            [mutable protected deny_loading];
        /// How much is logged.
        loglevel: LogLevel = LogLevel::Notice, "loglevel", OneOf, [mutable];
        /// The shape of log lines: text or json.
        log_format: LogFormat = LogFormat::Text, "log-format", OneOf, [immutable ours];
        /// File for the log; empty: standard output.
        logfile: String = String::new(), "logfile", Text, [immutable];
        /// Log to syslog.
        syslog_enabled: bool = false, "syslog-enabled", YesNo, [immutable no_effect];
        /// Name in syslog.
        syslog_ident: String = "redis".to_owned(), "syslog-ident", Text, [immutable no_effect];
        /// Facility in syslog.
        syslog_facility: SyslogFacility = SyslogFacility::Local0, "syslog-facility", OneOf,
            [immutable no_effect];
        /// Log a report on a crash.
        crash_log_enabled: bool = true, "crash-log-enabled", YesNo, [mutable no_effect];
        /// Check the memory on a crash.
        crash_memcheck_enabled: bool = true, "crash-memcheck-enabled", YesNo,
            [mutable no_effect];
        /// Leave by exit instead of abort on a panic.
        use_exit_on_panic: bool = false, "use-exit-on-panic", YesNo,
            [mutable hidden no_effect];
        /// Milliseconds between the watchdog's looks; 0: no watchdog.
        watchdog_period_ms: u32 = 0, "watchdog-period", Int(0..=INT_MAX),
            [mutable hidden no_effect];
        /// Show a logo at the start.
        always_show_logo: bool = false, "always-show-logo", YesNo, [immutable no_effect];
        /// Show the state in the process list.
        set_proc_title: bool = true, "set-proc-title", YesNo, [immutable no_effect];
        /// What the process list shows.
        proc_title_template: String = "{title} {listen-addr} {server-mode}".to_owned(),
            "proc-title-template", CheckedText(title_template), [mutable no_effect];
        /// Warnings not to stop for.
        ignore_warnings: String = String::new(), "ignore-warnings", Text, [mutable no_effect];
        /// Locale by which SORT ALPHA compares.
        locale_collate: String = String::new(), "locale-collate", Text, [mutable no_effect];
        /// Housekeeping rounds a second, from 1 to 500.
        hz: u32 = 10, "hz", Hertz, [mutable];
        /// More housekeeping with more clients.
        dynamic_hz: bool = true, "dynamic-hz", YesNo, [mutable];
        /// Seconds that SHUTDOWN waits for replicas.
        shutdown_timeout_s: u64 = 10, "shutdown-timeout", Int(0..=INT_MAX), [mutable];
        /// SHUTDOWN options for SIGINT.
        shutdown_on_sigint: ShutdownOptions = ShutdownOptions::default(), "shutdown-on-sigint",
            ShutdownWords, [mutable multi];
        /// SHUTDOWN options for SIGTERM.
        shutdown_on_sigterm: ShutdownOptions = ShutdownOptions::default(),
            "shutdown-on-sigterm", ShutdownWords, [mutable multi];
        /// Microseconds from which a command is in the slow log; 0: all, -1: none.
        slowlog_log_slower_than_us: i64 = 10_000, "slowlog-log-slower-than", Int(-1..=LONG_MAX),
            [mutable];
        /// Entries that the slow log keeps.
        slowlog_max_len: u64 = 128, "slowlog-max-len", Int(0..=LONG_MAX), [mutable];
        /// Milliseconds from which LATENCY remembers an event; 0: none.
        latency_monitor_threshold_ms: u64 = 0, "latency-monitor-threshold", Int(0..=LONG_MAX),
            [mutable];
        /// Keep a histogram of the times of each command.
        latency_tracking: bool = true, "latency-tracking", YesNo, [mutable];
        /// Percentiles that INFO latencystats shows.
        latency_tracking_info_percentiles: Vec<f64> = vec![50.0, 99.0, 99.9],
            "latency-tracking-info-percentiles", Percentiles, [mutable multi];
        /// Milliseconds after which a script no longer keeps others waiting in silence.
        busy_reply_threshold_ms: u64 = 5000, "busy-reply-threshold" | "lua-time-limit",
            Int(0..=LONG_MAX), [mutable];
        /// Bytes that a script's variables may take.
        script_memory_limit_bytes: u64 = 256 << 20, "script-memory-limit", Memory(1 << 20..=LONG_MAX),
            [mutable ours];
    } };
}
