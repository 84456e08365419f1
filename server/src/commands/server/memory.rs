//! MEMORY: what keys and the node take.

use crate::commands::docs;
use crate::dispatch::call::{Call, CommandResult};
use crate::observe::footprint::Footprint;
use larder_protocol::{CommandError, Reply};

/// Bytes of a place in a table, and of an item in a deadline index.
const PLACE_BYTES: usize = size_of::<u64>();

/// MEMORY USAGE key [SAMPLES count]
pub fn usage<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let mut reader = call.args.reader(3);
    while reader.has_next() {
        if !reader.keyword("samples") {
            reader.fail(CommandError::SYNTAX);
        }
        // Sizes are accounted and need no samples; the number is only checked.
        reader.int_in(0..=i64::MAX, CommandError::SYNTAX);
    }
    reader.finish()?;
    let key = call.key(2);
    Ok(match call.db.peek(key) {
        Some(entry) => {
            let deadlines = [entry.deadline_ms().is_some(), entry.has_field_deadlines()];
            let indexed = deadlines.into_iter().filter(|has| *has).count();
            Reply::from(entry.size_bytes() + PLACE_BYTES * (1 + indexed))
        }
        None => Reply::Null,
    })
}

/// MEMORY STATS
pub fn stats<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let footprint = Footprint::within(&mut call.db);
    let bytes = |bytes: u64| Reply::Int(i64::try_from(bytes).unwrap_or(i64::MAX));
    // Redis keeps its ratios as single-precision numbers.
    let ratio = |ratio: f64| Reply::Double(f64::from(ratio as f32));
    let (used, resident) = (bytes(footprint.used_bytes), bytes(footprint.resident_bytes));
    let mut fields = vec![
        (Reply::from("peak.allocated"), bytes(footprint.peak_bytes)),
        (Reply::from("total.allocated"), used.clone()),
        (Reply::from("startup.allocated"), bytes(footprint.startup_bytes)),
        (Reply::from("replication.backlog"), bytes(0)),
        (Reply::from("clients.slaves"), bytes(0)),
        (Reply::from("clients.normal"), bytes(footprint.buffer_bytes)),
        (Reply::from("cluster.links"), bytes(0)),
        (Reply::from("aof.buffer"), bytes(0)),
        (Reply::from("lua.caches"), bytes(0)),
        (Reply::from("functions.caches"), bytes(0)),
    ];
    fields.extend(footprint.used_databases().map(|(db, share)| {
        let tables = Reply::map([
            ("overhead.hashtable.main", bytes(share.table_bytes)),
            ("overhead.hashtable.expires", bytes(share.index_bytes)),
            ("overhead.hashtable.slot-to-keys", bytes(0)),
        ]);
        (Reply::from(format!("db.{db}")), tables)
    }));
    let fragmentation = footprint.fragmentation_ratio();
    let difference = Reply::Int(footprint.fragmentation_bytes());
    fields.extend([
        (Reply::from("overhead.total"), bytes(footprint.overhead_bytes())),
        (Reply::from("keys.count"), bytes(footprint.keys())),
        (Reply::from("keys.bytes-per-key"), bytes(footprint.bytes_per_key())),
        (Reply::from("dataset.bytes"), bytes(footprint.dataset_bytes())),
        (Reply::from("dataset.percentage"), ratio(footprint.dataset_percent())),
        (Reply::from("peak.percentage"), ratio(footprint.peak_percent())),
        (Reply::from("allocator.allocated"), used),
        (Reply::from("allocator.active"), resident.clone()),
        (Reply::from("allocator.resident"), resident),
        (Reply::from("allocator-fragmentation.ratio"), ratio(fragmentation)),
        (Reply::from("allocator-fragmentation.bytes"), difference.clone()),
        (Reply::from("allocator-rss.ratio"), ratio(1.0)),
        (Reply::from("allocator-rss.bytes"), bytes(0)),
        (Reply::from("rss-overhead.ratio"), ratio(1.0)),
        (Reply::from("rss-overhead.bytes"), bytes(0)),
        (Reply::from("fragmentation"), ratio(fragmentation)),
        (Reply::from("fragmentation.bytes"), difference),
    ]);
    Ok(Reply::Map(fields))
}

/// Below this a node's figures say nothing about how it will do when it is in use (as in Redis).
const TOO_SMALL_TO_TELL_BYTES: u64 = 5 << 20;
/// Overhead below this is not worth a word, whatever its ratio (as in Redis).
const WORTH_A_WORD_BYTES: i64 = 10 << 20;
/// Buffers that a client may have, on average (as in Redis).
const CLIENT_BUFFER_BYTES: u64 = 200 << 10;

/// MEMORY DOCTOR
pub fn doctor<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let footprint = Footprint::within(&mut call.db);
    if footprint.used_bytes < TOO_SMALL_TO_TELL_BYTES {
        return Ok(Reply::text(
            "This node is empty or nearly so; there is nothing yet to draw conclusions from.\n",
        ));
    }
    let mut report = String::new();
    if footprint.peak_bytes as f64 > footprint.used_bytes as f64 * 1.5 {
        report.push_str(
            " * Past peak: the node once used more than one and a half times what it uses now. \
             What the allocator still holds from then is taken again as data comes in; if the \
             machine needs it before that, restart the node.\n\n",
        );
    }
    if footprint.fragmentation_ratio() > 1.4 && footprint.fragmentation_bytes() > WORTH_A_WORD_BYTES
    {
        report.push_str(
            " * Large process: the process holds over 40 % more memory than its data takes. \
             After a peak (see above, if it is there) this is to be expected; otherwise values of \
             ever new sizes have left holes between them.\n\n",
        );
    }
    let clients = call.node.clients.len().max(1) as u64;
    if footprint.buffer_bytes / clients > CLIENT_BUFFER_BYTES {
        report.push_str(
            " * Large client buffers: on average a client holds more than 200 KB of buffers. \
             CLIENT LIST shows who: look for large omem (replies that are not read fast enough) \
             and qbuf (requests that are not complete).\n\n",
        );
    }
    Ok(Reply::text(if report.is_empty() {
        "No memory problem was found.\n".to_owned()
    } else {
        format!("Something about this node's memory deserves a look:\n\n{report}")
    }))
}

/// MEMORY MALLOC-STATS
pub fn malloc_stats<'c>(_: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(Reply::from("Stats not supported for the current allocator"))
}

/// MEMORY PURGE: the allocator gives memory back by itself.
pub fn purge<'c>(_: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(Reply::Ok)
}

/// MEMORY HELP
pub fn help<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(docs::help(
        call,
        &[
            "DOCTOR",
            "    Say what is unusual about the node's memory.",
            "MALLOC-STATS",
            "    Show the allocator's own figures, if it has any.",
            "PURGE",
            "    Ask the allocator to give free memory back.",
            "STATS",
            "    Show where the node's memory goes.",
            "USAGE <key> [SAMPLES <count>]",
            "    Tell how many bytes a key takes with its value. SAMPLES is accepted for",
            "    compatibility: the figure is exact.",
        ],
    ))
}
