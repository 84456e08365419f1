//! Dump files that are written and read back, and files that lie.

use super::*;
use crate::Node;
use crate::clock::Clock;
use crate::commands::server::digest::Digest;
use crate::config::Settings;
use crate::dispatch::Executor;
use crate::keyspace::dataset::DataSet;
use crate::keyspace::shard::Db;
use crate::keyspace::{Keyspace, SHARDS};
use crate::node::shared::Shared;
use crate::raw::{EntryRef, Kind};
use crate::types::object::Object;
use crate::types::rdb::{SaveOptions, put_entry, put_value};
use larder_protocol::rdb::{Reason, Writer, crc64};
use std::sync::Arc;

const NOW_MS: i64 = 1_000_000_000;

/// Keys of every type in every form, some with deadlines; one command a line.
const COMMANDS: &str = "
    SET int 42; SET large -9223372036854775808; SET text hello; SET digits 007
    SET later value PX 5000; SELECT 3; SET elsewhere x; SELECT 0
    APPEND raw abc; SETRANGE long 40000 end
    RPUSH list a b 3 -70000; SADD ints 1 2 70000; SADD words a b 3
    HSET hash f v g 7; HSET timed f v g w h x; HPEXPIRE timed 9000 FIELDS 1 g
    ZADD zset 1.5 a -inf b 3 c; ZADD equal 1 b 1 a
    XADD stream 5-1 f v g w; XADD stream 5-2 f v2 g w2; XADD stream 7-0 other 1
    XADD gone 1-1 a b; XADD gone 1-2 a c; XDEL gone 1-1; XADD none 1-1 a b; XDEL none 1-1
    XGROUP CREATE stream all 0; XGROUP CREATECONSUMER stream all idle
    XREADGROUP GROUP all one COUNT 2 STREAMS stream >
    XREADGROUP GROUP all two COUNT 1 STREAMS stream >; XACK stream all 5-1
    PFADD counter a b c";

fn node() -> Node {
    let node = Node::builder().clock(Clock::manual(NOW_MS)).start().expect("a node without port");
    let mut local = node.local();
    let mut run = |words: &[&[u8]]| {
        let reply = local.call(words);
        assert!(reply.as_error().is_none(), "{words:?}: {reply:?}");
    };
    for command in COMMANDS.split(['\n', ';']) {
        let words: Vec<&[u8]> = command.split_whitespace().map(str::as_bytes).collect();
        if !words.is_empty() {
            run(&words);
        }
    }
    for number in 0..600 {
        let (number, double) = (number.to_string(), (2 * number).to_string());
        let (number, double) = (number.as_bytes(), double.as_bytes());
        run(&[b"RPUSH", b"biglist", number, &[b'x'; 100]]);
        run(&[b"SADD", b"bigset", number, b"not a number"]);
        run(&[b"HSET", b"bighash", number, double]);
        run(&[b"HSET", b"bigtimed", number, double]);
        run(&[b"ZADD", b"bigzset", double, number]);
        run(&[b"XADD", b"bigstream", b"*", b"number", number, b"double", double]);
    }
    run(&[b"HPEXPIRE", b"bigtimed", b"70000", b"FIELDS", b"2", b"7", b"9"]);
    drop(local);
    node
}

/// The whole of a node's data set as a file.
fn file_of(node: &Shared, compresses: bool) -> Vec<u8> {
    let mut out = Writer::new(compresses);
    let history = History { id: &"ab".repeat(20), offset: 77, db: Some(3) };
    let facts = Facts { created_s: 1, used_bytes: 2, history: Some(history), is_aof_base: false };
    put_header(&mut out, &facts);
    let options = SaveOptions::of(&node.config.load(), NOW_MS);
    for db in [0, 3] {
        let mut begun = false;
        for shard in 0..SHARDS {
            let shard = node.keyspace.lock(shard);
            for entry in shard.db(db).into_iter().flat_map(|db| db.table().iter()) {
                if !std::mem::replace(&mut begun, true) {
                    put_database(&mut out, db, 1 << 40, 1 << 50);
                }
                put_entry(&mut out, entry, options);
            }
        }
    }
    put_footer(&mut out, Some(0));
    out.take()
}

fn loaded(keyspace: &Keyspace, file: &[u8]) -> Result<(DataSet, Loaded), LoadError> {
    let (mut data, settings) = (DataSet::default(), Settings::default());
    let options =
        LoadOptions { settings: &settings, now_ms: NOW_MS, drops_due: true, checks_sum: true };
    let loaded = load(file, keyspace, &mut data, options)?;
    Ok((data, loaded))
}

/// What two entries must have in common: their bytes, but for the order of what has none.
fn essence(entry: EntryRef<'_>) -> (Vec<u8>, Option<i64>, bool) {
    let unordered = match entry.kind() {
        Kind::SetPacked => true,
        Kind::Object => matches!(entry.object(), Object::Hash(_) | Object::Set(_)),
        _ => false,
    };
    let bytes = if unordered {
        let mut digest = Digest::default();
        digest.mix_value(entry);
        digest.to_string().into_bytes()
    } else {
        let mut out = Writer::new(false);
        put_value(&mut out, entry);
        out.take()
    };
    (bytes, entry.deadline_ms(), entry.has_field_deadlines())
}

#[test]
fn what_is_written_is_read_again() {
    let node = node();
    let shared = node.shared();
    for compresses in [false, true] {
        let mut file = file_of(shared, compresses);
        let len = file.len();
        file.extend_from_slice(b"behind");
        let (data, loaded) = loaded(&shared.keyspace, &file).expect("a right file");
        let mut keys = 0;
        for shard in 0..SHARDS {
            let shard = shared.keyspace.lock(shard);
            for (number, db) in shard.databases().enumerate() {
                for entry in db.table().iter() {
                    keys += 1;
                    let name = String::from_utf8_lossy(entry.key());
                    let found = data.get(number, shared.keyspace.key(entry.key()));
                    let found = found.unwrap_or_else(|| panic!("{name} is missing"));
                    // A string that was edited is no longer one when it is read again.
                    if !entry.kind().is_string() {
                        assert_eq!(entry.kind(), found.kind(), "{name}");
                    }
                    assert_eq!(essence(entry), essence(found), "{name}");
                }
            }
        }
        assert_eq!((loaded.keys, data.keys()), (keys, keys));
        assert_eq!((loaded.bytes, &loaded.unread[..]), (len as u64, &b"behind"[..]));
        let aux = loaded.aux;
        assert_eq!(aux.repl_id.as_deref(), Some(&*"ab".repeat(20)));
        assert_eq!((aux.repl_offset, aux.repl_stream_db), (Some(77), Some(3)));
        assert!(!aux.is_aof_base);
    }
}

#[test]
fn keys_that_are_due_are_left_out_where_that_is_wanted() {
    let node = node();
    let file = file_of(node.shared(), false);
    let (mut data, settings) = (DataSet::default(), Settings::default());
    let mut options = LoadOptions {
        settings: &settings,
        now_ms: NOW_MS + 5001,
        drops_due: true,
        checks_sum: true,
    };
    let keyspace = &node.shared().keyspace;
    let all = load(&file[..], keyspace, &mut data, options).expect("a right file");
    assert_eq!(all.expired, 1);
    assert!(data.get(0, keyspace.key(b"later")).is_none());
    options.drops_due = false;
    let mut data = DataSet::default();
    assert_eq!(load(&file[..], keyspace, &mut data, options).expect("a right file").expired, 0);
    assert!(data.get(0, keyspace.key(b"later")).is_some());
}

#[test]
fn a_data_set_takes_the_place_of_the_live_one() {
    let node = node();
    let shared = node.shared();
    let before = shared.keyspace.memory().data_bytes();
    let file = file_of(shared, true);
    let (data, _) = loaded(&shared.keyspace, &file).expect("a right file");
    let mut local = node.local();
    local.set(b"only here", b"1");
    local.set(b"text", b"another");
    Executor::new(Arc::clone(shared)).replace(data, |_| ());
    assert_eq!(local.get(b"only here"), None);
    assert_eq!(local.get(b"text"), Some(b"hello".to_vec()));
    let after = shared.keyspace.memory().data_bytes();
    assert!(after.abs_diff(before) < before / 5, "{before} bytes became {after}");
    let volatile: usize =
        (0..SHARDS).map(|shard| shared.keyspace.lock(shard).db(0).map_or(0, Db::volatile)).sum();
    assert_eq!(volatile, 1);
}

#[test]
fn a_file_that_ends_early_is_refused_where_it_ends() {
    let node = node();
    let keyspace = &node.shared().keyspace;
    let file = file_of(node.shared(), true);
    for len in (0..file.len()).filter(|len| *len < 3000 || len % 97 == 0) {
        let error = loaded(keyspace, &file[..len]).err().expect("it is cut");
        assert!(matches!(error.reason(), Reason::Ended | Reason::Corrupt(_)), "{len}: {error}");
        assert!(error.offset() <= len as u64, "{len}: {error}");
    }
}

#[test]
fn changed_bytes_are_noticed_or_make_another_file() {
    let node = node();
    let keyspace = &node.shared().keyspace;
    let mut random = fastrand::Rng::with_seed(7);
    for compresses in [false, true] {
        let file = file_of(node.shared(), compresses);
        let error = {
            let mut file = file.clone();
            file[200] ^= 1;
            let last = file.len() - 1;
            file[last] ^= 1;
            loaded(keyspace, &file).err().expect("the checksum is wrong")
        };
        assert!(error.offset() > 0, "{error}");
        for _ in 0..1500 {
            let mut file = file.clone();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(9..file.len() - 8);
                file[at] =
                    if random.bool() { random.u8(..) } else { file[at] ^ 1 << random.u8(..8) };
            }
            let end = file.len() - 8;
            let checksum = crc64(0, &file[..end]);
            file[end..].copy_from_slice(&checksum.to_le_bytes());
            if let Ok((data, _)) = loaded(keyspace, &file) {
                assert!(data.size_bytes() < 100 * file.len());
            }
        }
    }
}
