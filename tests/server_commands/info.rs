//! INFO: sections, fields that tools read, and numbers that move when they should.

use std::collections::BTreeSet;

use larder_tests::{Conn, Redis, Server, eventually};

fn sections(conn: &mut Conn, line: &str) -> Vec<String> {
    let text = conn.run(line).text();
    text.lines().filter_map(|line| line.strip_prefix("# ")).map(str::to_owned).collect()
}

fn fields(conn: &mut Conn, line: &str) -> BTreeSet<String> {
    let text = conn.run(line).text();
    text.lines().filter_map(|l| l.split_once(':')).map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn sections_are_redis_sections_in_its_order() {
    let (server, redis) = (Server::start(), Redis::start());
    let (mut ours, mut theirs) = (server.connect(), redis.connect());
    for conn in [&mut ours, &mut theirs] {
        conn.prepare("SET a 1");
    }
    for line in [
        "INFO",
        "INFO default",
        "INFO everything",
        "INFO all",
        "INFO server",
        "INFO SERVER clients",
        "INFO clients server",
        "INFO keyspace",
        "INFO memory",
        "INFO persistence",
        "INFO stats",
        "INFO replication",
        "INFO cpu",
        "INFO commandstats",
        "INFO errorstats",
        "INFO latencystats",
        "INFO cluster",
        "INFO bogus",
        "INFO server bogus",
        "INFO server server",
        "INFO all server",
        "INFO default commandstats",
    ] {
        let mut wanted = sections(&mut theirs, line);
        // Of Redis 8 alone.
        wanted.retain(|name| name != "Threads" && name != "Keysizes");
        assert_eq!(sections(&mut ours, line), wanted, "{line}");
    }
}

#[test]
fn the_form_is_redis_form() {
    let server = Server::start();
    let mut conn = server.connect();
    let text = conn.run("INFO").text();
    assert!(text.starts_with("# Server\r\nredis_version:"), "{text}");
    assert!(text.contains("\r\n\r\n# Clients\r\n"), "{text}");
    assert!(text.ends_with("\r\n") && !text.ends_with("\r\n\r\n"), "{text}");
    assert!(text.split("\r\n").all(|line| !line.contains('\n')));
    assert_eq!(conn.run("INFO bogus").to_string(), "\"\"");
    assert_eq!(server.connect3().run("INFO").kind(), '=');
}

#[test]
fn fields_that_tools_read_are_there() {
    let server = Server::start();
    let mut conn = server.connect();
    conn.prepare("SET a 1");
    conn.run("BOGUS");
    let have = fields(&mut conn, "INFO everything");
    let wanted = "redis_version redis_git_sha1 redis_git_dirty redis_build_id redis_mode os arch_bits \
        multiplexing_api process_id process_supervised run_id tcp_port server_time_usec \
        uptime_in_seconds uptime_in_days hz configured_hz lru_clock executable config_file \
        io_threads_active connected_clients cluster_connections maxclients \
        client_recent_max_input_buffer client_recent_max_output_buffer blocked_clients \
        tracking_clients clients_in_timeout_table used_memory used_memory_human used_memory_rss \
        used_memory_rss_human used_memory_peak used_memory_peak_human used_memory_peak_perc \
        used_memory_overhead used_memory_startup used_memory_dataset used_memory_dataset_perc \
        total_system_memory total_system_memory_human maxmemory maxmemory_human maxmemory_policy \
        mem_fragmentation_ratio mem_fragmentation_bytes mem_allocator lazyfree_pending_objects \
        lazyfreed_objects loading rdb_changes_since_last_save rdb_bgsave_in_progress \
        rdb_last_save_time rdb_last_bgsave_status aof_enabled aof_rewrite_in_progress \
        aof_last_bgrewrite_status total_connections_received total_commands_processed \
        instantaneous_ops_per_sec total_net_input_bytes total_net_output_bytes \
        instantaneous_input_kbps instantaneous_output_kbps rejected_connections sync_full \
        sync_partial_ok sync_partial_err expired_keys expired_stale_perc \
        expired_time_cap_reached_count evicted_keys evicted_clients keyspace_hits keyspace_misses \
        pubsub_channels pubsub_patterns latest_fork_usec total_forks total_error_replies \
        total_reads_processed total_writes_processed role connected_slaves master_failover_state \
        master_replid master_replid2 master_repl_offset second_repl_offset repl_backlog_active \
        repl_backlog_size repl_backlog_first_byte_offset repl_backlog_histlen used_cpu_sys \
        used_cpu_user used_cpu_sys_children used_cpu_user_children cluster_enabled db0 \
        cmdstat_set errorstat_ERR latency_percentiles_usec_set";
    let missing: Vec<&str> = wanted.split_whitespace().filter(|f| !have.contains(*f)).collect();
    assert!(missing.is_empty(), "INFO lacks {missing:?}");
}

#[test]
fn no_field_carries_a_name_redis_does_not_know_by_accident() {
    // Larder's own fields are prefixed; everything else has to be a Redis field of some version.
    let (server, redis) = (Server::start(), Redis::start());
    let (mut ours, mut theirs) = (server.connect(), redis.connect());
    for conn in [&mut ours, &mut theirs] {
        conn.prepare("SET a 1");
    }
    let newer_than_the_peer = [
        "allocator_muzzy",
        "current_client_thread",
        "evicted_scripts",
        "io_threads_active",
        "monotonic_clock",
        "number_of_cached_scripts",
        "number_of_functions",
        "number_of_libraries",
        "pubsubshard_channels",
        "reply_buffer_expands",
        "reply_buffer_shrinks",
        "total_active_defrag_time",
        "acl_access_denied_auth",
        "acl_access_denied_channel",
        "acl_access_denied_cmd",
        "acl_access_denied_key",
        "current_active_defrag_time",
        "total_eviction_exceeded_time",
        "current_eviction_exceeded_time",
        "listener0",
        "listener1",
        "listener2",
        "aof_current_size",
        "tracking_total_keys",
        "tracking_total_items",
        "tracking_total_prefixes",
        "unexpected_error_replies",
        "instantaneous_input_repl_kbps",
        "instantaneous_output_repl_kbps",
        "total_net_repl_input_bytes",
        "total_net_repl_output_bytes",
        "mem_cluster_links",
        "mem_total_replication_buffers",
        "mem_clients_slaves",
        "mem_clients_normal",
        "db0",
        "expired_subkeys",
        "errorstat_ERR",
        "errorstat_LOADING",
        "mem_overhead_db_hashtable_rehashing",
        "watching_clients",
        "total_watched_keys",
        "total_blocking_keys",
        "total_blocking_keys_on_nokey",
        "expired_subkeys",
        "pubsub_clients",
        "availability_zone",
        "client_output_buffer_limit_disconnections",
        "client_query_buffer_limit_disconnections",
        "eventloop_cycles",
        "eventloop_duration_cmd_sum",
        "eventloop_duration_sum",
        "instantaneous_eventloop_cycles_per_sec",
        "instantaneous_eventloop_duration_usec",
    ];
    let theirs = fields(&mut theirs, "INFO everything");
    let own: Vec<String> = fields(&mut ours, "INFO everything")
        .into_iter()
        .filter(|field| {
            !theirs.contains(field)
                && !newer_than_the_peer.contains(&field.as_str())
                && !["larder_", "cmdstat_", "latency_percentiles_usec_"]
                    .iter()
                    .any(|prefix| field.starts_with(prefix))
        })
        .collect();
    assert!(own.is_empty(), "prefix these with larder_: {own:?}");
}

#[test]
fn counters_move() {
    let server = Server::start();
    let mut conn = server.connect();
    let number = |field: &str| server.info(field).parse::<u64>().expect("a number");
    let (commands, connections) =
        (number("total_commands_processed"), number("total_connections_received"));
    conn.prepare("SET a 1\nGET a\nGET missing\nEXISTS a\nMGET a missing\nTTL a");
    assert!(number("total_commands_processed") >= commands + 6);
    assert!(number("total_connections_received") > connections);
    assert_eq!((number("keyspace_hits"), number("keyspace_misses")), (4, 2));
    for line in ["BOGUS", "GET", "INCR text", "CONFIG SET bogus 1"] {
        conn.run(line);
    }
    conn.run("SET text x");
    conn.run("INCR text");
    assert_eq!(server.info("errorstat_ERR"), "count=4");
    assert_eq!(number("total_error_replies"), 4);
    conn.prepare("CONFIG RESETSTAT");
    assert_eq!(number("keyspace_hits"), 0);
    assert_eq!(number("total_error_replies"), 0);
}

#[test]
fn commandstats_count_calls_rejections_and_failures() {
    let server = Server::start();
    let mut conn = server.connect();
    conn.prepare("CONFIG RESETSTAT\nSET a x\nGET a\nGET a\nOBJECT ENCODING a");
    conn.run("GET");
    conn.run("GET a b");
    conn.run("INCR a");
    conn.run("BOGUS");
    let get = server.info("cmdstat_get");
    assert!(
        get.starts_with("calls=2,usec=") && get.ends_with(",rejected_calls=2,failed_calls=0"),
        "{get}"
    );
    let incr = server.info("cmdstat_incr");
    assert!(
        incr.starts_with("calls=1,") && incr.ends_with(",rejected_calls=0,failed_calls=1"),
        "{incr}"
    );
    assert!(incr.contains(",usec_per_call="), "{incr}");
    assert!(server.info("cmdstat_object|encoding").starts_with("calls=1,"));
    assert!(server.info("cmdstat_config|resetstat").starts_with("calls=1,"));
    let percentiles = server.info("latency_percentiles_usec_get");
    assert!(percentiles.starts_with("p50=") && percentiles.contains(",p99="), "{percentiles}");
    assert!(!fields(&mut conn, "INFO commandstats").contains("cmdstat_bogus"));
}

#[test]
fn clients_and_keyspace_are_counted() {
    let server = Server::start();
    let mut conn = server.connect();
    let others: Vec<_> = (0..7)
        .map(|_| {
            let mut other = server.connect();
            other.expect("PING", "+PONG");
            other
        })
        .collect();
    eventually("all are counted", || server.info("connected_clients") == "9");
    drop(others);
    eventually("and uncounted", || server.info("connected_clients") == "2");
    conn.prepare("SELECT 9\nSET a 1\nSET b 1 EX 100");
    let db = server.info("db9");
    let avg = db.strip_prefix("keys=2,expires=1,avg_ttl=").expect("Redis's own form");
    assert!(avg.split(',').next().is_some_and(|n| n.parse::<u64>().is_ok()), "{db}");
    conn.prepare("FLUSHDB");
    assert!(!fields(&mut conn, "INFO keyspace").contains("db9"), "an empty database is not listed");
}

#[test]
fn process_facts_are_true() {
    let server = Server::start();
    assert_eq!(server.info("process_id"), server.pid().to_string());
    assert_eq!(server.info("tcp_port"), server.addr().port().to_string());
    assert_eq!(server.info("run_id").len(), 40);
    assert_eq!(server.info("redis_mode"), "standalone");
    assert_eq!(server.info("role"), "master");
    let rss: u64 = server.info("used_memory_rss").parse().expect("a number");
    assert!(rss.abs_diff(server.resident()) < (16 << 20));
    let version = server.info("redis_version");
    assert!(version.starts_with("7.2."), "Larder follows Redis 7.2, and says {version}");
}

#[test]
fn large_values_are_freed_aside_where_that_is_asked_for() {
    let server = Server::start();
    let mut conn = server.connect();
    let figures = |conn: &mut Conn, freed: u64| {
        let ends = || {
            let text = conn.run("INFO memory").text();
            text.contains(&format!("lazyfreed_objects:{freed}\r\n"))
                && text.contains("lazyfree_pending_objects:0\r\n")
        };
        eventually("the reaper is done", ends);
    };
    let large: Vec<String> = (0..200).map(|number| format!("m{number}")).collect();
    let large = large.join(" ");
    let small = "SADD s a b c";
    conn.prepare(&format!("SADD s {large}\nDEL s\n{small}\nUNLINK s\nSET s v\nUNLINK s"));
    figures(&mut conn, 0);
    conn.prepare(&format!("SADD s {large}\nUNLINK s"));
    figures(&mut conn, 1);
    conn.prepare(&format!("CONFIG SET lazyfree-lazy-user-del yes\nSADD s {large}\nDEL s"));
    figures(&mut conn, 2);
    conn.prepare(&format!("SADD s {large}\nSET s v\nSADD t {large}\nSPOP t 200"));
    figures(&mut conn, 2);
    conn.prepare("CONFIG SET lazyfree-lazy-server-del yes");
    conn.prepare(&format!("DEL s\nSADD s {large}\nSET s v\nSADD t {large}\nSPOP t 200"));
    figures(&mut conn, 4);
    conn.prepare("CONFIG SET lazyfree-lazy-expire yes");
    conn.prepare(&format!("DEL s\nSADD s {large}\nPEXPIRE s 1"));
    figures(&mut conn, 5);
    conn.prepare(&format!("SADD s {large}\nSET a 1\nSET b 1\nFLUSHALL ASYNC"));
    figures(&mut conn, 8);
    conn.prepare("CONFIG RESETSTAT");
    figures(&mut conn, 0);
}

#[test]
fn who_waits_is_counted() {
    let server = Server::start();
    let waits = |lines: &[&str]| -> Vec<Conn> {
        lines
            .iter()
            .map(|line| {
                let mut conn = server.connect();
                conn.send(format!("{line}\r\n").as_bytes());
                conn
            })
            .collect()
    };
    let waiting = waits(&["BLPOP a b 0", "BLPOP b 100", "BZPOPMIN z 100"]);
    eventually("all wait", || server.info("blocked_clients") == "3");
    assert_eq!(server.info("clients_in_timeout_table"), "2");
    assert_eq!(server.info("total_blocking_keys"), "3");
    assert_eq!(server.info("total_blocking_keys_on_nokey"), "0");
    drop(waiting);
    eventually("nobody waits", || server.info("total_blocking_keys") == "0");
    assert_eq!(server.info("clients_in_timeout_table"), "0");
}
