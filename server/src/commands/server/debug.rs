//! DEBUG: looks inside, and switches for tests. Guarded by `enable-debug-command`.
//!
//! There is what means something here and what test suites call. A switch of something that this
//! server does not have is accepted and does nothing, so that a test can go on; an *action* that
//! cannot be done says so. What would take the process down is left out: the
//! process may be somebody else's program.
//!
//! DEBUG names its keys nowhere in its row, hence it holds no shard; it visits them one at a time.

use super::digest::Digest;
use crate::commands::docs;
use crate::commands::generic::object::encoding_name;
use crate::dispatch::call::{Call, CommandResult};
use crate::glob::glob_match;
use crate::keyspace::evict::{Touch, idle_ms};
use crate::keyspace::shard::Db;
use crate::keyspace::{Keyspace, SHARDS};
use crate::node::clients::Client;
use crate::persistence::aof;
use crate::raw::{Entry, EntryRef, NewValue, Value};
use crate::session::Session;
use crate::types::object::Object;
use larder_protocol::number::{parse_f64, parse_i64};
use larder_protocol::{CommandError, Reply, Version};
use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;
use std::time::Duration;

type Subcommand = for<'c, 'a> fn(&'c mut Call<'a>) -> CommandResult<'c>;

const ANY: usize = usize::MAX;

/// The subcommands with the number of arguments they take, DEBUG and their own word included.
const SUBCOMMANDS: &[(&str, RangeInclusive<usize>, Subcommand)] = &[
    ("aof-flush-sleep", 3..=3, aof_flush_sleep),
    ("change-repl-id", 2..=2, change_repl_id),
    ("close-cluster-link-on-packet-drop", 3..=3, accepted),
    ("clusterlink", 5..=5, clusterlink),
    ("config-rewrite-force-all", 2..=2, config_rewrite_force_all),
    ("dict-resizing", 3..=3, accepted),
    ("digest", 2..=2, digest),
    ("digest-value", 2..=ANY, digest_value),
    ("drop-cluster-packet-filter", 3..=3, drop_cluster_packet_filter),
    ("error", 3..=3, error),
    ("help", 2..=2, help),
    ("htstats", 3..=ANY, htstats),
    ("htstats-key", 3..=ANY, htstats_key),
    ("listpack", 3..=3, listpack),
    ("loadaof", 2..=ANY, loadaof),
    ("log", 3..=3, log),
    ("object", 3..=3, object),
    ("panic", 2..=2, panic),
    ("pause-cron", 3..=3, accepted),
    ("populate", 3..=5, populate),
    ("protocol", 3..=3, protocol),
    ("quicklist", 3..=4, quicklist),
    ("quicklist-packed-threshold", 3..=3, quicklist_packed_threshold),
    ("reload", 2..=ANY, super::reload::reload),
    ("replicate", 3..=ANY, replicate),
    ("replybuffer", 4..=4, replybuffer),
    ("sdslen", 3..=3, sdslen),
    ("set-active-expire", 3..=3, set_active_expire),
    ("set-disable-deny-scripts", 3..=3, set_disable_deny_scripts),
    ("set-skip-checksum-validation", 3..=3, set_skip_checksum_validation),
    ("sleep", 3..=3, sleep),
    ("spread", 3..=3, spread),
    ("stringmatch-test", 2..=2, stringmatch_test),
    ("structsize", 2..=2, structsize),
];

/// DEBUG subcommand [arg ...]
pub fn debug<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (word, len) = (call.args.at(1), call.args.len());
    let known = SUBCOMMANDS
        .iter()
        .find(|(name, args, _)| name.as_bytes().eq_ignore_ascii_case(word) && args.contains(&len));
    match known {
        Some((_, _, run)) => run(call),
        None => Err(subcommand_syntax(call)),
    }
}

fn subcommand_syntax(call: &Call<'_>) -> CommandError {
    CommandError::subcommand_syntax(call.args.at(1), &String::from_utf8_lossy(call.args.at(0)))
}

/// A switch of something that is not here.
fn accepted<'c>(_: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(Reply::Ok)
}

fn aof_flush_sleep<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let sleep_us = leading_number(call.args.at(2)).max(0) as u64;
    call.node.aof.facts.flush_sleep_us.store(sleep_us, Ordering::Relaxed);
    Ok(Reply::Ok)
}

/// Loads the append-only file in place of the data set.
fn loadaof<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let node = call.node.keep().filter(|_| call.db.holds_nothing());
    let Some(node) = node else { return Err(CommandError::NOT_IN_TRANSACTION) };
    aof::reload(&node).map_err(|error| {
        // As Redis, which ends at once: what is in memory now is not what was there.
        node.shutdown.fail();
        CommandError::custom(format!("ERR {error}"))
    })?;
    Ok(Reply::Ok)
}

/// The leading decimal number of a text, 0 without one, as C's `atoi` reads switches.
fn leading_number(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let value = digits
        .iter()
        .map_while(|byte| byte.is_ascii_digit().then(|| byte - b'0'))
        .fold(0i64, |value, digit| value.saturating_mul(10).saturating_add(i64::from(digit)));
    if negative { -value } else { value }
}

/// Shows `visit` the entry of a key of the selected database, due or not, without any trace.
fn look_at<T>(call: &mut Call<'_>, key: &[u8], visit: impl FnOnce(EntryRef<'_>) -> T) -> Option<T> {
    let key = call.node.keyspace.key(key);
    let db = call.db.db();
    call.db.walk(key.hash.shard(), |shard| {
        let db = shard.db(db)?;
        Some(visit(db.get(db.find(key)?)))
    })
}

/// The whole node stands still: nobody gets a shard while this one sleeps.
fn sleep<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let seconds = parse_f64(call.args.at(2)).unwrap_or(0.0).max(0.0);
    let duration = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO);
    let keyspace: &Keyspace = &call.node.keyspace;
    // A transaction holds all shards already.
    let held = call.db.holds_nothing().then(|| keyspace.lock_all());
    std::thread::sleep(duration);
    drop(held);
    Ok(Reply::Ok)
}

/// The threads that share the connections, until the node finds that others do better.
fn spread<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let threads = usize::try_from(leading_number(call.args.at(2))).unwrap_or(0);
    call.node.workers.spread(threads.clamp(1, call.node.workers.count().max(1)));
    Ok(Reply::Ok)
}

fn set_skip_checksum_validation<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let skips = leading_number(call.args.at(2)) != 0;
    call.node.skips_checksums.store(skips, Ordering::Relaxed);
    Ok(Reply::Ok)
}

fn set_active_expire<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let on = leading_number(call.args.at(2)) != 0;
    call.node.active_expire.store(on, Ordering::Relaxed);
    Ok(Reply::Ok)
}

fn set_disable_deny_scripts<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let on = leading_number(call.args.at(2)) != 0;
    call.node.scripts.allows_all.store(on, Ordering::Relaxed);
    Ok(Reply::Ok)
}

fn change_repl_id<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    call.node.log.change_replid();
    tracing::info!("DEBUG CHANGE-REPL-ID gave the data set a new replication id");
    Ok(Reply::Ok)
}

fn replicate<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let command: Vec<&[u8]> = call.args.iter().skip(2).collect();
    call.effect(&command);
    Ok(Reply::Ok)
}

fn log<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    tracing::warn!("DEBUG LOG: {}", String::from_utf8_lossy(call.args.at(2)));
    Ok(Reply::Ok)
}

fn error<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    Err(CommandError::custom(call.args.at(2)))
}

/// Shows that a panic costs the connection and nothing else.
fn panic<'c>(_: &'c mut Call<'_>) -> CommandResult<'c> {
    panic!("DEBUG PANIC was called")
}

/// One shard after the other: on a data set that changes meanwhile it is a signature of no moment.
fn digest<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let mut databases = vec![(Digest::default(), 0usize); call.node.keyspace.databases()];
    for shard in 0..SHARDS {
        call.db.walk(shard, |shard| {
            for ((digest, keys), db) in databases.iter_mut().zip(shard.databases()) {
                *keys += db.len();
                db.table().iter().for_each(|entry| digest.add_entry(entry));
            }
        });
    }
    let mut whole = Digest::default();
    for (db, (digest, _)) in databases.iter().enumerate().filter(|(_, (_, keys))| *keys > 0) {
        whole.begin_database(db);
        whole.join(*digest);
    }
    Ok(Reply::status(whole.to_string()))
}

fn digest_value<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let args = call.args;
    let digests = args.iter().skip(2).map(|key| {
        let mut digest = Digest::default();
        look_at(call, key, |entry| digest.mix_value(entry));
        Reply::status(digest.to_string())
    });
    Ok(Reply::Array(digests.collect()))
}

fn object<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, now_ms) = (call.args.at(2), call.now_ms());
    let fill = call.settings.list_max_listpack_size;
    let described = look_at(call, key, |entry| {
        format!(
            "Value at:{:p} refcount:1 encoding:{} serializedlength:{} lru:{} lru_seconds_idle:{}",
            entry.key().as_ptr(),
            encoding_name(entry),
            serialized_bytes(entry),
            entry.access(),
            idle_ms(entry.access(), now_ms) / 1000
        ) + &nodes(entry, fill)
    });
    described.map(Reply::status).ok_or(CommandError::NO_SUCH_KEY)
}

/// What is told of a list besides, when it is one of several nodes. Nodes are never compressed.
fn nodes(entry: EntryRef<'_>, fill: i32) -> String {
    let Value::Object(Object::List(list)) = entry.value() else { return String::new() };
    format!(
        " ql_nodes:{} ql_avg_node:{:.2} ql_listpack_max:{fill} ql_compressed:0 \
         ql_uncompressed_size:{}",
        list.nodes(),
        list.len() as f64 / list.nodes().max(1) as f64,
        list.size_bytes()
    )
}

/// Bytes that the value would take in a dump file, without compression; an estimate for large
/// collections.
fn serialized_bytes(entry: EntryRef<'_>) -> usize {
    let integer_bytes = |number: i64| match number {
        -0x80..=0x7f => Some(2),
        -0x8000..=0x7fff => Some(3),
        -0x8000_0000..=0x7fff_ffff => Some(5),
        _ => None,
    };
    let text_bytes = |len: usize| match len {
        ..0x40 => 1 + len,
        0x40..0x4000 => 2 + len,
        0x4000..=0xffff_ffff => 5 + len,
        _ => 9 + len,
    };
    match entry.value() {
        Value::Int(number) => {
            integer_bytes(number).unwrap_or_else(|| text_bytes(number.to_string().len()))
        }
        // Short texts that are small integers are stored as such, however they are kept here.
        Value::Bytes(bytes) => (bytes.len() <= 11)
            .then(|| integer_bytes(parse_i64(bytes)?))
            .flatten()
            .unwrap_or_else(|| text_bytes(bytes.len())),
        Value::Heap(string) => text_bytes(string.as_ref().len()),
        Value::Packed(bytes) => text_bytes(bytes.len()),
        Value::Object(object) => object.size_bytes(),
    }
}

/// Lengths are exact here: neither keys nor values have room behind them.
fn sdslen<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let key = call.args.at(2);
    let lengths = look_at(call, key, |entry| {
        let value = match entry.value() {
            Value::Int(_) | Value::Packed(_) | Value::Object(_) => return None,
            Value::Bytes(bytes) => bytes.len(),
            Value::Heap(string) => string.as_ref().len(),
        };
        let key = entry.key().len();
        Some(format!(
            "key_sds_len:{key}, key_sds_avail:0, key_zmalloc: {key}, val_sds_len:{value}, \
             val_sds_avail:0, val_zmalloc: {}",
            entry.size_bytes().saturating_sub(key)
        ))
    });
    match lengths {
        Some(Some(lengths)) => Ok(Reply::status(lengths)),
        Some(None) => Err(CommandError::from_static("ERR Not an sds encoded string.")),
        None => Err(CommandError::NO_SUCH_KEY),
    }
}

fn listpack<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    write_layout(call, "listpack")
}

fn quicklist<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    write_layout(call, "quicklist")
}

/// Writes to the log how a value of an encoding lies in memory.
fn write_layout<'c>(call: &mut Call<'_>, encoding: &str) -> CommandResult<'c> {
    let (key, fill) = (call.args.at(2), call.settings.list_max_listpack_size);
    let layout = look_at(call, key, |entry| {
        (encoding_name(entry) == encoding)
            .then(|| format!("{} bytes{}", entry.size_bytes(), nodes(entry, fill)))
    });
    match layout {
        Some(Some(layout)) => {
            tracing::info!("DEBUG: a {encoding} of {layout}");
            Ok(Reply::status(format!("The {encoding}'s layout is in the log")))
        }
        Some(None) => Err(CommandError::custom(format!("ERR Not a {encoding} encoded object."))),
        None => Err(CommandError::NO_SUCH_KEY),
    }
}

fn htstats_key<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let key = call.args.at(2);
    let sizes = look_at(call, key, |entry| match entry.value() {
        Value::Object(object) => Some((object.places()?, object.len())),
        _ => None,
    });
    match sizes {
        Some(Some((places, len))) => Ok(Reply::text(format!("{MAIN_TABLE}{}", table(places, len)))),
        Some(None) => Err(CommandError::from_static(
            "ERR The value stored at the specified key is not represented using an hash table",
        )),
        None => Err(CommandError::NO_SUCH_KEY),
    }
}

const MAIN_TABLE: &str = "Hash table 0 stats (main hash table):\n";

/// How full a table is.
fn table(places: usize, elements: usize) -> String {
    match elements {
        0 => "No stats available for empty dictionaries\n".to_owned(),
        _ => format!(" table size: {places}\n number of elements: {elements}\n"),
    }
}

fn htstats<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let number = parse_i64(call.args.at(2)).ok_or(CommandError::NOT_INTEGER)?;
    let db = usize::try_from(number).ok().filter(|db| *db < call.node.keyspace.databases());
    let db = db.ok_or(CommandError::from_static("ERR Out of range database"))?;
    let (mut keys, mut places, mut volatile, mut items) = (0, 0, 0, 0);
    for shard in 0..SHARDS {
        call.db.walk(shard, |shard| {
            if let Some(db) = shard.db(db) {
                keys += db.len();
                places += db.table().capacity();
                volatile += db.volatile();
                items += db.deadlines().size_bytes() / size_of::<u64>();
            }
        });
    }
    Ok(Reply::text(format!(
        "[Dictionary HT]\n{MAIN_TABLE}{}[Expires HT]\n{MAIN_TABLE}{}",
        table(places, keys),
        table(items, volatile)
    )))
}

fn populate<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let args = call.args;
    let number = |at: usize| {
        let number = parse_i64(args.at(at)).and_then(|number| u64::try_from(number).ok());
        number.ok_or(CommandError::NOT_POSITIVE)
    };
    let keys = number(2)?;
    let prefix = if args.len() > 3 { args.at(3) } else { b"key" };
    let size = if args.len() > 4 { number(4)? } else { 0 };
    let settings = call.node.config.load();
    if size > settings.proto_max_bulk_len_bytes {
        return Err(CommandError::STRING_TOO_LONG);
    }
    let access = Touch::new(&settings, call.now_ms(), || 0).fresh();
    let db = call.db.db();
    let keyspace: &Keyspace = &call.node.keyspace;
    for index in 0..keys {
        let name = [prefix, format!(":{index}").as_bytes()].concat();
        let mut value = format!("value:{index}").into_bytes();
        if size > 0 {
            value.resize(size as usize, 0);
        }
        let key = keyspace.key(&name);
        let added = call.db.walk(key.hash.shard(), |shard| {
            let db: &mut Db = shard.db_mut(db);
            if db.find(key).is_some() {
                return 0;
            }
            let before = db.size_bytes();
            db.insert(key.hash, Entry::new(&name, NewValue::Bytes(&value), None, access));
            db.size_bytes() as i64 - before as i64
        });
        keyspace.memory().add(added);
    }
    Ok(Reply::Ok)
}

#[expect(clippy::approx_constant, reason = "the sample double is 3.141, as in Redis")]
fn protocol<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let numbers = || vec![Reply::Int(0), Reply::Int(1), Reply::Int(2)];
    let kind = call.args.at(2).to_ascii_lowercase();
    Ok(match kind.as_slice() {
        b"string" => Reply::from("Hello World"),
        b"integer" => Reply::Int(12345),
        b"double" => Reply::Double(3.141),
        b"bignum" => Reply::BigNumber("1234567999999999999999999999999999999".to_owned()),
        b"null" => Reply::Null,
        b"array" => Reply::Array(numbers()),
        b"set" => Reply::Set(numbers()),
        b"map" => {
            Reply::Map(numbers().into_iter().zip([false, true, false].map(Reply::Bool)).collect())
        }
        b"attrib" => Reply::Attribute(Box::new((
            vec![(
                Reply::from("key-popularity"),
                Reply::Array(vec![Reply::from("key:123"), Reply::Int(90)]),
            )],
            Reply::from("Some real reply following the attribute"),
        ))),
        b"push" if call.session.version == Version::Resp2 => {
            return Err(CommandError::from_static("ERR RESP2 is not supported by this command"));
        }
        b"push" => Reply::Several(vec![
            Reply::from("Some real reply following the push reply"),
            Reply::Push(vec![Reply::from("server-cpu-usage"), Reply::Int(42)]),
        ]),
        b"true" => Reply::Bool(true),
        b"false" => Reply::Bool(false),
        b"verbatim" => Reply::text("This is a verbatim\nstring"),
        _ => {
            return Err(CommandError::from_static(
                "ERR Wrong protocol type name. Please use one of the following: \
                 string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    })
}

/// Checked for its range as Redis does, and not needed: a node of a list holds an element of any length.
fn quicklist_packed_threshold<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    const MOST: u64 = (1 << 32) - (1 << 20);
    match memory_size(call.args.at(2)) {
        Some(..=MOST) => Ok(Reply::Ok),
        _ => Err(CommandError::from_static(
            "ERR argument must be a memory value bigger than 1 and smaller than 4gb",
        )),
    }
}

/// Digits and a unit, such as `100` or `3mb`.
fn memory_size(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, unit) = std::str::from_utf8(text).ok()?.split_at(digits);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn drop_cluster_packet_filter<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    parse_i64(call.args.at(2)).ok_or(CommandError::NOT_INTEGER)?;
    Ok(Reply::Ok)
}

fn clusterlink<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    if !call.args.at(2).eq_ignore_ascii_case(b"kill") {
        return Err(subcommand_syntax(call));
    }
    Err(CommandError::from_static(
        "ERR Debug option only available for cluster mode enabled setup!",
    ))
}

fn config_rewrite_force_all<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    match call.node.config.rewrite_all(&[]) {
        Ok(()) => Ok(Reply::Ok),
        Err(error) => {
            let text = error.to_string();
            let reason = text.rsplit(": ").next().unwrap_or_default();
            Err(CommandError::custom(format!("ERR CONFIG-REWRITE-FORCE-ALL failed: {reason}")))
        }
    }
}

fn replybuffer<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let mut reader = call.args.reader(2);
    if reader.keyword("peak-reset-time") {
        if !reader.keyword("never") && !reader.keyword("reset") {
            reader.int();
        }
        reader.finish()?;
    } else if !reader.keyword("resizing") {
        return Err(subcommand_syntax(call));
    }
    Ok(Reply::Ok)
}

/// Random patterns against random texts: the matcher must end and must not panic.
fn stringmatch_test<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    const ROUNDS: usize = 100_000;
    const LETTERS: &[u8] = b"*?[]^-\\ab";
    let mut text = |longest: u64| -> Vec<u8> {
        let len = call.random() % (longest + 1);
        (0..len).map(|_| LETTERS[call.random() as usize % LETTERS.len()]).collect()
    };
    for _ in 0..ROUNDS {
        let (pattern, string) = (text(32), text(32));
        std::hint::black_box(glob_match(&pattern, &string, false));
    }
    Ok(Reply::Simple("Apparently Redis did not crash: test passed"))
}

fn structsize<'c>(_: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(Reply::from(format!(
        "bits:{} entry:{} db:{} client:{} session:{} reply:{} ",
        usize::BITS,
        size_of::<Entry>(),
        size_of::<Db>(),
        size_of::<Client>(),
        size_of::<Session>(),
        size_of::<Reply<'_>>()
    )))
}

fn help<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(docs::help(
        call,
        &[
            "CHANGE-REPL-ID",
            "    Give the data set a new replication id, so that replicas need a full sync.",
            "CONFIG-REWRITE-FORCE-ALL",
            "    Write the configuration file with a line for each directive.",
            "DIGEST",
            "    Show a signature of the whole data set.",
            "DIGEST-VALUE <key> [<key> ...]",
            "    Show signatures of the values of these keys.",
            "ERROR <text>",
            "    Reply this error.",
            "HTSTATS <db> [FULL]",
            "    Show how full the tables of a database are.",
            "HTSTATS-KEY <key> [FULL]",
            "    The same for the table that a value is made of.",
            "LISTPACK <key>, QUICKLIST <key> [<0|1>]",
            "    Show how a value is laid out.",
            "LOG <message>",
            "    Write a message to the server's log.",
            "OBJECT <key>",
            "    Show how a key is stored.",
            "PANIC",
            "    Panic inside a command. It costs this connection.",
            "POPULATE <count> [<prefix>] [<size>]",
            "    Add keys <prefix>:0, <prefix>:1, ... with values of a size. Replicas are not told.",
            "PROTOCOL <type>",
            "    Reply a sample of a type: string, integer, double, bignum, null, array, set, map,",
            "    attrib, push, verbatim, true, false.",
            "QUICKLIST-PACKED-THRESHOLD <size>",
            "    Set from which size a list's element has a node of its own.",
            "RELOAD [NOSAVE]",
            "    Save the data set, or not, and load it again.",
            "REPLICATE <arg> [<arg> ...]",
            "    Put a command into the replication stream.",
            "SDSLEN <key>",
            "    Show the lengths of a key and its value.",
            "SET-ACTIVE-EXPIRE <0|1>",
            "    Stop or resume removing due keys that nobody reads.",
            "SET-DISABLE-DENY-SCRIPTS <0|1>",
            "    Let scripts call commands that are not for scripts.",
            "SLEEP <seconds>",
            "    Hold the whole node for a while.",
            "SPREAD <threads>",
            "    Serve the connections from so many threads for now.",
            "STRINGMATCH-TEST",
            "    Run random patterns through the matcher.",
            "STRUCTSIZE",
            "    Show the sizes of some structures.",
            "AOF-FLUSH-SLEEP, CLOSE-CLUSTER-LINK-ON-PACKET-DROP, DICT-RESIZING,",
            "DROP-CLUSTER-PACKET-FILTER, PAUSE-CRON, REPLYBUFFER, SET-SKIP-CHECKSUM-VALIDATION",
            "    Accepted without effect: there is nothing here for them to switch.",
        ],
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_are_read_as_c_reads_them() {
        for (text, value) in [("1", 1), ("0", 0), ("", 0), ("yes", 0), ("-2x", -2), (" 7", 7)] {
            assert_eq!(leading_number(text.as_bytes()), value, "{text:?}");
        }
        assert_eq!(leading_number(&[b'9'; 100]), i64::MAX);
    }

    #[test]
    fn memory_sizes_have_units() {
        assert_eq!(memory_size(b"3mb"), Some(3 << 20));
        assert_eq!(memory_size(b"10K"), Some(10_000));
        for text in ["", "-1", "1x", "99999999999999999999", "18446744073709551615gb"] {
            assert_eq!(memory_size(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn serialized_lengths_are_those_of_a_dump() {
        let bytes = |value: &[u8]| {
            serialized_bytes(Entry::new(b"k", NewValue::string(value), None, 0).view())
        };
        assert_eq!(bytes(b"1"), 2);
        assert_eq!(bytes(b"-129"), 3);
        assert_eq!(bytes(b"70000"), 5);
        assert_eq!(bytes(b"5000000000"), 11);
        assert_eq!(bytes(b"hello"), 6);
        assert_eq!(bytes(&[b'x'; 64]), 66);
    }

    #[test]
    fn subcommands_are_in_order_so_that_none_stands_twice() {
        assert!(SUBCOMMANDS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
