//! Fields of INFO as series, under the names that `redis_exporter` gives them.

use super::{Kind, Text, field};

/// A field of INFO, the series it becomes without its `redis_`, its type and its help.
/// A value that is no number is left out.
type Row = (&'static str, &'static str, Kind, &'static str);

use Kind::{Counter, Gauge};

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("uptime_in_seconds", "uptime_in_seconds", Gauge, "Seconds since the start."),
    ("process_id", "process_id", Gauge, "Id of the process."),
    ("larder_threads", "larder_threads", Gauge, "Threads that serve clients."),
    ("connected_clients", "connected_clients", Gauge, "Clients that are connected."),
    ("maxclients", "max_clients", Gauge, "Clients that may be connected."),
    ("blocked_clients", "blocked_clients", Gauge, "Clients that wait in a command."),
    ("tracking_clients", "tracking_clients", Gauge, "Clients that are told of changes."),
    ("pubsub_clients", "pubsub_clients", Gauge, "Clients with a subscription."),
    ("watching_clients", "watching_clients", Gauge, "Clients that watch keys."),
    ("total_watched_keys", "total_watched_keys", Gauge, "Keys that are watched."),
    ("clients_in_timeout_table", "clients_in_timeout_table", Gauge, "Clients that wait for a limited time."),
    ("client_recent_max_input_buffer", "client_recent_max_input_buffer_bytes", Gauge, "Largest input buffer of a client."),
    ("client_recent_max_output_buffer", "client_recent_max_output_buffer_bytes", Gauge, "Largest output buffer of a client."),
    ("total_blocking_keys", "total_blocking_keys", Gauge, "Keys that clients wait for."),
    ("used_memory", "memory_used_bytes", Gauge, "Memory in use."),
    ("used_memory_rss", "memory_used_rss_bytes", Gauge, "Memory of the process."),
    ("used_memory_peak", "memory_used_peak_bytes", Gauge, "Most memory that was in use."),
    ("used_memory_overhead", "memory_used_overhead_bytes", Gauge, "Memory that is neither key nor value."),
    ("used_memory_startup", "memory_used_startup_bytes", Gauge, "Memory of an empty node."),
    ("used_memory_dataset", "memory_used_dataset_bytes", Gauge, "Memory of keys and values."),
    ("used_memory_lua", "memory_used_lua_bytes", Gauge, "Memory of the script engine."),
    ("used_memory_vm_eval", "memory_used_vm_eval_bytes", Gauge, "Memory of the engine of EVAL."),
    ("used_memory_scripts_eval", "memory_used_scripts_eval_bytes", Gauge, "Memory of the scripts of EVAL."),
    ("number_of_cached_scripts", "number_of_cached_scripts", Gauge, "Scripts that EVALSHA knows."),
    ("number_of_functions", "number_of_functions", Gauge, "Functions that are loaded."),
    ("number_of_libraries", "number_of_libraries", Gauge, "Libraries that are loaded."),
    ("used_memory_functions", "memory_used_functions_bytes", Gauge, "Memory of functions."),
    ("used_memory_scripts", "memory_used_scripts_bytes", Gauge, "Memory of scripts and functions."),
    ("maxmemory", "memory_max_bytes", Gauge, "Memory that may be in use; 0: no limit."),
    ("total_system_memory", "total_system_memory_bytes", Gauge, "Memory of the machine."),
    ("allocator_allocated", "allocator_allocated_bytes", Gauge, "Memory that is allocated."),
    ("allocator_active", "allocator_active_bytes", Gauge, "Memory of pages in use."),
    ("allocator_resident", "allocator_resident_bytes", Gauge, "Memory that the allocator holds."),
    ("mem_fragmentation_ratio", "mem_fragmentation_ratio", Gauge, "Memory of the process for each byte in use."),
    ("mem_fragmentation_bytes", "mem_fragmentation_bytes", Gauge, "Memory of the process beyond what is in use."),
    ("mem_clients_normal", "mem_clients_normal", Gauge, "Memory of clients."),
    ("mem_clients_slaves", "mem_clients_slaves", Gauge, "Memory of replicas."),
    ("mem_replication_backlog", "mem_replication_backlog", Gauge, "Memory of the backlog."),
    ("mem_not_counted_for_evict", "mem_not_counted_for_eviction_bytes", Gauge, "Memory that evicts nothing."),
    ("lazyfree_pending_objects", "lazyfree_pending_objects", Gauge, "Objects to be freed."),
    ("lazyfreed_objects", "lazyfreed_objects", Gauge, "Objects that were freed in the background."),
    ("loading", "loading_dump_file", Gauge, "Whether a data set is being loaded."),
    ("async_loading", "async_loading", Gauge, "Whether one is being loaded beside the old one."),
    ("rdb_changes_since_last_save", "rdb_changes_since_last_save", Gauge, "Changes since the last save."),
    ("rdb_bgsave_in_progress", "rdb_bgsave_in_progress", Gauge, "Whether a save is running."),
    ("rdb_last_save_time", "rdb_last_save_timestamp_seconds", Gauge, "When the last save was."),
    ("rdb_last_bgsave_time_sec", "rdb_last_bgsave_duration_sec", Gauge, "How long the last save took."),
    ("aof_enabled", "aof_enabled", Gauge, "Whether there is an append-only file."),
    ("aof_rewrite_in_progress", "aof_rewrite_in_progress", Gauge, "Whether it is being rewritten."),
    ("total_connections_received", "connections_received_total", Counter, "Connections accepted."),
    ("rejected_connections", "rejected_connections_total", Counter, "Connections refused because of maxclients."),
    ("total_commands_processed", "commands_processed_total", Counter, "Commands run."),
    ("instantaneous_ops_per_sec", "instantaneous_ops_per_sec", Gauge, "Commands a second."),
    ("total_net_input_bytes", "net_input_bytes_total", Counter, "Bytes received."),
    ("total_net_output_bytes", "net_output_bytes_total", Counter, "Bytes sent."),
    ("total_net_repl_input_bytes", "net_repl_input_bytes_total", Counter, "Bytes received from the primary."),
    ("total_net_repl_output_bytes", "net_repl_output_bytes_total", Counter, "Bytes sent to replicas."),
    ("instantaneous_input_kbps", "instantaneous_input_kbps", Gauge, "Kilobytes received a second."),
    ("instantaneous_output_kbps", "instantaneous_output_kbps", Gauge, "Kilobytes sent a second."),
    ("sync_full", "replica_resyncs_full", Counter, "Full syncs."),
    ("sync_partial_ok", "replica_partial_resync_accepted", Counter, "Partial syncs."),
    ("sync_partial_err", "replica_partial_resync_denied", Counter, "Partial syncs refused."),
    ("expired_subkeys", "expired_subkeys_total", Counter, "Fields removed because they were due."),
    ("expired_keys", "expired_keys_total", Counter, "Keys removed because they were due."),
    ("expired_stale_perc", "expired_stale_percentage", Gauge, "Share of keys that are due and still there."),
    ("expired_time_cap_reached_count", "expired_time_cap_reached_total", Counter, "Rounds of expiry that were cut short."),
    ("expire_cycle_cpu_milliseconds", "expire_cycle_cpu_time_ms_total", Counter, "Milliseconds of active expiry."),
    ("evicted_keys", "evicted_keys_total", Counter, "Keys evicted."),
    ("evicted_clients", "evicted_clients_total", Counter, "Clients closed because all took too much memory."),
    ("total_eviction_exceeded_time", "eviction_exceeded_time_ms_total", Counter, "Milliseconds above maxmemory."),
    ("current_eviction_exceeded_time", "current_eviction_exceeded_time_ms", Gauge, "Milliseconds since memory went above maxmemory."),
    ("keyspace_hits", "keyspace_hits_total", Counter, "Reads that found their key."),
    ("keyspace_misses", "keyspace_misses_total", Counter, "Reads that did not."),
    ("pubsub_channels", "pubsub_channels", Gauge, "Channels with subscribers."),
    ("pubsub_patterns", "pubsub_patterns", Gauge, "Patterns with subscribers."),
    ("pubsubshard_channels", "pubsubshard_channels", Gauge, "Sharded channels with subscribers."),
    ("tracking_total_keys", "tracking_total_keys", Gauge, "Keys that clients cache."),
    ("tracking_total_items", "tracking_total_items", Gauge, "Pairs of keys and clients that cache them."),
    ("tracking_total_prefixes", "tracking_total_prefixes", Gauge, "Prefixes that clients follow."),
    ("total_error_replies", "total_error_replies", Counter, "Error replies."),
    ("unexpected_error_replies", "unexpected_error_replies", Counter, "Errors of replicated commands."),
    ("total_reads_processed", "total_reads_processed", Counter, "Reads from sockets."),
    ("total_writes_processed", "total_writes_processed", Counter, "Writes to sockets."),
    ("client_query_buffer_limit_disconnections", "client_query_buffer_limit_disconnections_total", Counter, "Clients closed for too long a query."),
    ("client_output_buffer_limit_disconnections", "client_output_buffer_limit_disconnections_total", Counter, "Clients closed for too much output."),
    ("acl_access_denied_auth", "acl_access_denied_auth_total", Counter, "Logins refused."),
    ("acl_access_denied_cmd", "acl_access_denied_cmd_total", Counter, "Commands refused by an ACL."),
    ("acl_access_denied_key", "acl_access_denied_key_total", Counter, "Keys refused by an ACL."),
    ("acl_access_denied_channel", "acl_access_denied_channel_total", Counter, "Channels refused by an ACL."),
    ("connected_slaves", "connected_slaves", Gauge, "Replicas that are connected."),
    ("master_repl_offset", "master_repl_offset", Gauge, "Offset of the replication log."),
    ("repl_backlog_active", "repl_backlog_is_active", Gauge, "Whether there is a backlog."),
    ("repl_backlog_size", "replication_backlog_bytes", Gauge, "Size of the backlog."),
    ("used_cpu_sys", "cpu_sys_seconds_total", Counter, "CPU time in the kernel."),
    ("used_cpu_user", "cpu_user_seconds_total", Counter, "CPU time in the process's own code."),
    ("used_cpu_sys_children", "cpu_sys_children_seconds_total", Counter, "CPU time of children in the kernel."),
    ("used_cpu_user_children", "cpu_user_children_seconds_total", Counter, "CPU time of children in their own code."),
    ("cluster_enabled", "cluster_enabled", Gauge, "Whether the node takes part in a cluster."),
];

/// The fields of INFO whose texts are labels of `redis_instance_info`.
const LABELS: &[&str] = &[
    "redis_version",
    "larder_version",
    "redis_mode",
    "role",
    "os",
    "run_id",
    "process_id",
    "tcp_port",
    "maxmemory_policy",
];

/// Writes the series that come from a report.
pub(super) fn write(text: &mut Text, report: &str) {
    let labels: Vec<_> =
        LABELS.iter().filter_map(|name| Some((*name, field(report, name)?))).collect();
    text.family("redis_instance_info", Gauge, "What the node is.");
    text.sample("redis_instance_info", &labels, 1);
    for (name, series, kind, help) in ROWS {
        let value = field(report, name).and_then(|value| value.parse::<f64>().ok());
        if let Some(value) = value {
            text.single(&format!("redis_{series}"), *kind, help, value);
        }
    }
}
