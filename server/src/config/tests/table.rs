//! The table itself: no row contradicts itself or another.

use std::collections::HashSet;

use crate::config::{ConfigError, DIRECTIVES, DirectiveOptions, MaxmemoryPolicy, Settings, lookup};

#[test]
fn names_and_aliases_are_legal_and_unique() {
    let mut known = HashSet::new();
    for name in DIRECTIVES.iter().flat_map(|row| [Some(row.name), row.alias]).flatten() {
        let legal =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        assert!(name.bytes().all(legal), "{name}: lower case, digits, - and _ only");
        assert!(known.insert(name), "{name}: two rows have this name");
    }
}

#[test]
fn flags_do_not_contradict_each_other() {
    for row in DIRECTIVES {
        let flags = row.flags;
        assert!(
            flags.mutable || !(flags.protected || flags.deny_loading),
            "{}: protected and deny_loading are about CONFIG SET",
            row.name
        );
        assert!(
            !(flags.file_only && (flags.mutable || flags.hidden)),
            "{}: CONFIG does not know what is file_only",
            row.name
        );
    }
}

#[test]
fn every_row_is_documented() {
    for row in DIRECTIVES {
        let doc = row.doc.concat();
        assert!(doc.trim().ends_with('.'), "{}: {doc:?} is no sentence", row.name);
        assert!(!(row.syntax)().is_empty(), "{}", row.name);
    }
}

#[test]
fn every_default_round_trips_through_its_text() {
    let defaults = Settings::default();
    for row in DIRECTIVES.iter().filter(|row| !row.flags.file_only) {
        let text = (row.text)(&defaults);
        let mut settings = Settings::default();
        let assigned = row.assign_value(&mut settings, text.as_bytes());
        assert!(assigned.is_ok(), "{} refuses its default {text:?}: {assigned:?}", row.name);
        assert_eq!((row.text)(&settings), text, "{}", row.name);
    }
}

#[test]
fn every_default_round_trips_through_a_rewritten_file() {
    let defaults = Settings::default();
    for row in DIRECTIVES.iter().filter(|row| !row.flags.file_only) {
        let mut loader = crate::config::Loader::default();
        let lines = (row.lines)(&defaults, &defaults);
        assert!(lines.iter().all(|line| line.text.starts_with(row.name)), "{}", row.name);
        for line in lines {
            let read = loader.command_line(&[line.text.into_bytes()]);
            assert!(read.is_ok(), "{}: {read:?}", row.name);
        }
        let read = loader.finish().settings;
        assert_eq!((row.text)(&read), (row.text)(&defaults), "{}", row.name);
    }
}

#[test]
fn rows_assign_their_own_field_only() {
    for row in DIRECTIVES.iter().filter(|row| !row.flags.file_only) {
        let mut settings = Settings::default();
        let values: [&[u8]; 8] =
            [b"yes", b"no", b"7", b"2097152", b"x", b"1 2", b"1 2 3", b"replica 1 2 3"];
        let changed = values.iter().any(|value| {
            row.assign_value(&mut settings, value).is_ok()
                && (row.text)(&settings) != (row.text)(&Settings::default())
        });
        // What takes none of these has words of its own.
        assert!(changed || settings == Settings::default(), "{}", row.name);
        for other in DIRECTIVES.iter().filter(|other| other.name != row.name) {
            let (now, before) = ((other.text)(&settings), (other.text)(&Settings::default()));
            assert_eq!(now, before, "{} changed {}", row.name, other.name);
        }
    }
}

/// Every directive of Redis 7.2, as its own `CONFIG GET *` and configuration file name them.
const REDIS_7_2: &str = "
    acl-pubsub-default aclfile acllog-max-len active-defrag-cycle-max active-defrag-cycle-min
    active-defrag-ignore-bytes active-defrag-max-scan-fields active-defrag-threshold-lower
    active-defrag-threshold-upper active-expire-effort activedefrag activerehashing
    always-show-logo aof-disable-auto-gc aof-load-truncated aof-rewrite-incremental-fsync
    aof-timestamp-enabled aof-use-rdb-preamble aof_rewrite_cpulist appenddirname appendfilename
    appendfsync appendonly auto-aof-rewrite-min-size auto-aof-rewrite-percentage bgsave_cpulist
    bind bind-source-addr bio_cpulist busy-reply-threshold client-output-buffer-limit
    client-query-buffer-limit cluster-allow-pubsubshard-when-down cluster-allow-reads-when-down
    cluster-allow-replica-migration cluster-announce-bus-port cluster-announce-hostname
    cluster-announce-human-nodename cluster-announce-ip cluster-announce-port
    cluster-announce-tls-port cluster-config-file cluster-enabled cluster-link-sendbuf-limit
    cluster-migration-barrier cluster-node-timeout cluster-ping-interval cluster-port
    cluster-preferred-endpoint-type cluster-replica-no-failover cluster-replica-validity-factor
    cluster-require-full-coverage cluster-slave-no-failover cluster-slave-validity-factor
    crash-log-enabled crash-memcheck-enabled daemonize databases dbfilename dir disable-thp
    dynamic-hz enable-debug-command enable-module-command enable-protected-configs
    hash-max-listpack-entries hash-max-listpack-value hash-max-ziplist-entries
    hash-max-ziplist-value hll-sparse-max-bytes hz ignore-warnings include io-threads
    io-threads-do-reads jemalloc-bg-thread key-load-delay latency-monitor-threshold
    latency-tracking latency-tracking-info-percentiles lazyfree-lazy-eviction
    lazyfree-lazy-expire lazyfree-lazy-server-del lazyfree-lazy-user-del
    lazyfree-lazy-user-flush lfu-decay-time lfu-log-factor list-compress-depth
    list-max-listpack-size list-max-ziplist-size loading-process-events-interval-bytes loadmodule
    locale-collate logfile loglevel lua-time-limit masterauth masteruser maxclients maxmemory
    maxmemory-clients maxmemory-eviction-tenacity maxmemory-policy maxmemory-samples
    min-replicas-max-lag min-replicas-to-write min-slaves-max-lag min-slaves-to-write
    no-appendfsync-on-rewrite notify-keyspace-events oom-score-adj oom-score-adj-values pidfile
    port proc-title-template propagation-error-behavior protected-mode proto-max-bulk-len
    rdb-del-sync-files rdb-key-save-delay rdb-save-incremental-fsync rdbchecksum rdbcompression
    rename-command repl-backlog-size repl-backlog-ttl repl-disable-tcp-nodelay repl-diskless-load
    repl-diskless-sync repl-diskless-sync-delay repl-diskless-sync-max-replicas
    repl-ping-replica-period repl-ping-slave-period repl-timeout replica-announce-ip
    replica-announce-port replica-announced replica-ignore-disk-write-errors
    replica-ignore-maxmemory replica-lazy-flush replica-priority replica-read-only
    replica-serve-stale-data replicaof requirepass sanitize-dump-payload save server_cpulist
    set-max-intset-entries set-max-listpack-entries set-max-listpack-value set-proc-title
    shutdown-on-sigint shutdown-on-sigterm shutdown-timeout slave-announce-ip
    slave-announce-port slave-ignore-maxmemory slave-lazy-flush slave-priority slave-read-only
    slave-serve-stale-data slaveof slowlog-log-slower-than slowlog-max-len socket-mark-id
    stop-writes-on-bgsave-error stream-node-max-bytes stream-node-max-entries supervised
    syslog-enabled syslog-facility syslog-ident tcp-backlog tcp-keepalive timeout
    tls-auth-clients tls-ca-cert-dir tls-ca-cert-file tls-cert-file tls-ciphers tls-ciphersuites
    tls-client-cert-file tls-client-key-file tls-client-key-file-pass tls-cluster
    tls-dh-params-file tls-key-file tls-key-file-pass tls-port tls-prefer-server-ciphers
    tls-protocols tls-replication tls-session-cache-size tls-session-cache-timeout
    tls-session-caching tracking-table-max-keys unixsocket unixsocketperm use-exit-on-panic user
    watchdog-period zset-max-listpack-entries zset-max-listpack-value zset-max-ziplist-entries
    zset-max-ziplist-value
";

/// Directives that only this server has.
const OURS: &str = "threads log-format metrics-port metrics-bind script-memory-limit \
    write-acks write-acks-timeout \
    availability-zone group node-id group-peers group-file group-witness group-port group-secret group-secret-file \
    group-dir primary-endpoint-port reader-endpoint-port group-sentinel-port endpoint-hold-time \
    reader-endpoint-max-lag group-lease-time group-heartbeat-period";

#[test]
fn the_table_is_that_of_redis_and_ours() {
    let here: HashSet<&str> =
        DIRECTIVES.iter().flat_map(|row| [Some(row.name), row.alias]).flatten().collect();
    let there: HashSet<&str> =
        REDIS_7_2.split_whitespace().chain(OURS.split_whitespace()).collect();
    let missing: Vec<_> = there.difference(&here).collect();
    let extra: Vec<_> = here.difference(&there).collect();
    assert!(missing.is_empty(), "directives without a row: {missing:?}");
    assert!(extra.is_empty(), "rows that Redis 7.2 does not know: {extra:?}");
}

#[test]
fn lookup_takes_aliases_and_either_case() {
    let row = lookup("HASH-max-ZIPLIST-entries").expect("an alias");
    assert_eq!(row.name, "hash-max-listpack-entries");
    assert!(lookup("max-new-connections-per-cycle").is_none(), "Redis 8 has it, 7.2 does not");
}

#[test]
fn typed_and_untyped_options_say_the_same() {
    let typed = Settings::default()
        .maxmemory_bytes(1 << 30)
        .maxmemory_policy(MaxmemoryPolicy::AllkeysLru)
        .bind(vec!["127.0.0.1".to_owned(), "::1".to_owned()])
        .save(vec![]);
    let untyped = Settings::default()
        .directive("maxmemory", "1gb")
        .and_then(|settings| settings.directive("maxmemory-policy", "allkeys-lru"))
        .and_then(|settings| settings.directive("bind", "127.0.0.1 ::1"))
        .and_then(|settings| settings.directive("save", ""))
        .expect("legal values");
    assert_eq!(typed, untyped);
    assert_eq!(typed.validate(), Ok(()));
}

#[test]
fn options_are_checked() {
    assert!(matches!(
        Settings::default().directive("maxmemori", "1"),
        Err(ConfigError::UnknownOption { nearest: Some("maxmemory"), .. })
    ));
    assert!(Settings::default().directive("port", "70000").is_err());
    let refused = Settings::default().hz(0).databases(0).validate();
    let expected = "ERR CONFIG SET failed (possibly related to argument 'databases') - argument \
                    must be between 1 and 2147483647 inclusive";
    assert_eq!(refused.expect_err("databases is out of range").to_string(), expected);
}

#[test]
fn debug_output_keeps_secrets() {
    let settings = Settings::default().requirepass("opensesame".to_owned()).port(7000);
    let shown = format!("{settings:?}");
    assert!(!shown.contains("opensesame"), "{shown}");
    assert!(shown.contains("7000"), "{shown}");
}
