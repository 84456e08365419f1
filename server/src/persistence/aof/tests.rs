//! The append-only file from within: what a start makes of files, and what it refuses.

use super::*;
use crate::config::DirectiveOptions;
use crate::{Builder, Local, Node, Reply, StartError};
use larder_protocol::encode::encode_command;
use std::fs;
use std::net::TcpListener;
use std::time::Instant;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// A node with an append-only file in a folder.
fn node(dir: &Path) -> Builder {
    Node::builder().dir(dir.to_owned()).threads(1).appendonly(true)
}

fn frame(words: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
    encode_command(&mut bytes, words.into_iter());
    bytes
}

fn call(local: &mut Local, words: &str) -> Reply<'static> {
    let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
    local.call(&words)
}

/// A folder with a manifest of one increment of these bytes.
fn folder(increment: &[u8]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let set = dir.path().join("appendonlydir");
    fs::create_dir(&set).unwrap();
    fs::write(set.join("appendonly.aof.manifest"), "file one.aof seq 1 type i\n").unwrap();
    fs::write(set.join("one.aof"), increment).unwrap();
    dir
}

fn one(dir: &TempDir) -> Vec<u8> {
    fs::read(dir.path().join("appendonlydir/one.aof")).unwrap()
}

fn refusal(builder: Builder) -> String {
    match builder.start() {
        Err(error @ StartError::Aof(_)) => error.to_string(),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it starts"),
    }
}

/// Waits until something is so.
pub(super) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Lets a node whose file is all on the disk do as if too much were not written yet.
fn congest(aof: &Aof) {
    aof.wait_until_safe();
    aof.set_trouble(trouble::CONGESTED);
}

fn relieve(aof: &Aof) {
    aof.end_trouble(trouble::CONGESTED);
    aof.drained.notify_waiters();
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

/// The next bytes that a client is sent.
fn received<const LEN: usize>(runtime: &Runtime, stream: &mut DuplexStream) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    let read = async { timeout(Duration::from_secs(60), stream.read_exact(&mut bytes)).await };
    runtime.block_on(read).expect("a reply").unwrap();
    bytes
}

#[test]
fn what_was_written_is_there_again() {
    let dir = tempfile::tempdir().unwrap();
    for round in 1..=3 {
        let node = node(dir.path()).appendfsync(AppendFsync::Always).start().unwrap();
        let mut local = node.local();
        assert_eq!(call(&mut local, "INCR rounds"), Reply::Int(round));
        assert_eq!(call(&mut local, "SELECT 3"), Reply::Ok);
        assert_eq!(call(&mut local, "RPUSH list a b"), Reply::Int(2 * round));
        assert_eq!(call(&mut local, "SPOP nothing"), Reply::Null);
        // In memory what was answered and on the disk what is told are the same.
        let shared = node.shared();
        assert_eq!(shared.aof.awaits(), None);
    }
    let manifest = fs::read_to_string(dir.path().join("appendonlydir/appendonly.aof.manifest"));
    assert!(manifest.unwrap().ends_with("file appendonly.aof.1.incr.aof seq 1 type i\n"));
}

#[test]
fn a_start_takes_what_a_crash_left_at_every_byte() {
    let frames =
        ["SET a 1", "MULTI", "INCR a", "SELECT 1", "SET b 1", "EXEC", "SELECT 0", "INCR a"];
    let mut whole = Vec::new();
    // Where a start may cut, and what `a` is then.
    let mut ends = vec![(0, None)];
    for (index, words) in frames.iter().enumerate() {
        whole.extend(frame(words));
        match index {
            0 => ends.push((whole.len(), Some("1"))),
            5 | 6 => ends.push((whole.len(), Some("2"))),
            7 => ends.push((whole.len(), Some("3"))),
            _ => {}
        }
    }
    for len in 0..=whole.len() {
        let dir = folder(&whole[..len]);
        let (end, expected) = *ends.iter().rev().find(|(end, _)| *end <= len).unwrap();
        let starts = node(dir.path()).aof_load_truncated(false).start();
        assert_eq!(starts.is_ok(), end == len, "cut at {len}");
        drop(starts);
        let started = node(dir.path()).start().unwrap();
        let mut local = started.local();
        let a = local.get(b"a").map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(a.as_deref(), expected, "cut at {len}");
        assert_eq!(one(&dir).len(), end, "cut at {len}");
        call(&mut local, "SELECT 1");
        let b = call(&mut local, "EXISTS b");
        assert_eq!(b, Reply::Int(i64::from(end > ends[1].0)), "cut at {len}");
    }
}

#[test]
fn the_file_goes_on_behind_what_was_cut_off() {
    let mut bytes = frame("SET a 1");
    bytes.extend(&frame("SET a 2")[..7]);
    let dir = folder(&bytes);
    drop(node(dir.path()).start().map(|node| call(&mut node.local(), "APPEND a x")).unwrap());
    let node = node(dir.path()).start().unwrap();
    assert_eq!(node.local().get(b"a").as_deref(), Some(&b"1x"[..]));
}

#[test]
fn what_is_no_command_is_refused_with_its_place() {
    for (bad, expected) in [
        ("!!!", "Bad file format reading the append only file one.aof at offset 27"),
        ("SET a 1\r\n", "Bad file format reading the append only file one.aof at offset 27"),
        ("*0\r\n", "Bad file format"),
        ("*-1\r\n", "Bad file format"),
        ("*1\r\n*1\r\n", "Bad file format"),
        ("*1\r\n$-1\r\n", "Bad file format"),
        ("*99999999999\r\n", "Bad file format"),
        ("\0\0\0\0", "Bad file format"),
        (
            "*2\r\n$3\r\nbla\r\n$1\r\nx\r\n",
            "Unknown command 'bla' reading the append only file one.aof at offset 27",
        ),
    ] {
        let mut bytes = frame("SET a 1");
        bytes.extend(bad.as_bytes());
        bytes.extend(frame("SET a 2"));
        let dir = folder(&bytes);
        let refusal = refusal(node(dir.path()));
        assert!(refusal.starts_with(expected), "{bad:?}: {refusal}");
        assert_eq!(one(&dir), bytes, "what is refused is left alone");
    }
    // A claim costs nothing.
    let dir = folder(b"*2147483647\r\n$1000000000\r\nx");
    drop(node(dir.path()).start().unwrap());
    assert_eq!(one(&dir), b"");
}

#[test]
fn only_the_last_file_may_end_early() {
    let dir = folder(&frame("SET a 1")[..9]);
    let set = dir.path().join("appendonlydir");
    let manifest = "file one.aof seq 1 type i\nfile two.aof seq 2 type i\n";
    fs::write(set.join("appendonly.aof.manifest"), manifest).unwrap();
    fs::write(set.join("two.aof"), frame("SET b 1")).unwrap();
    let refusal = refusal(node(dir.path()));
    assert!(refusal.contains("the truncated file is not the last file: one.aof"), "{refusal}");
    assert_eq!(one(&dir).len(), 9, "what is refused is left alone");
}

#[test]
fn a_file_may_end_early_that_nothing_follows_yet() {
    let whole = frame("SET a 1");
    let dir = folder(&[&whole[..], &frame("SET a 2")[..9]].concat());
    let set = dir.path().join("appendonlydir");
    // A rewrite was about to begin.
    let manifest = "file one.aof seq 1 type i\nfile two.aof seq 2 type i\n";
    fs::write(set.join("appendonly.aof.manifest"), manifest).unwrap();
    fs::write(set.join("two.aof"), b"").unwrap();
    drop(node(dir.path()).start().map(|node| call(&mut node.local(), "APPEND a x")).unwrap());
    assert_eq!(one(&dir), whole);
    let node = node(dir.path()).start().unwrap();
    assert_eq!(node.local().get(b"a").as_deref(), Some(&b"1x"[..]));
}

#[test]
fn a_set_that_is_not_whole_is_refused() {
    let dir = folder(b"");
    let set = dir.path().join("appendonlydir");
    for (manifest, expected) in [
        ("", "Found an empty AOF manifest"),
        (
            "file two.aof seq 1 type i\n",
            "the append only file two.aof cannot be measured: No such file",
        ),
        ("file ../one.aof seq 1 type i\n", "File can't be a path"),
    ] {
        fs::write(set.join("appendonly.aof.manifest"), manifest).unwrap();
        let refusal = refusal(node(dir.path()));
        assert!(refusal.starts_with(expected), "{manifest:?}: {refusal}");
    }
}

#[test]
fn a_dump_that_a_killed_process_left_unfinished_goes() {
    let dir = folder(b"");
    let unfinished = dir.path().join("temp-7.rdb");
    fs::write(&unfinished, b"REDIS").unwrap();
    drop(node(dir.path()).start().unwrap());
    assert!(!unfinished.exists());
}

#[test]
fn marks_of_time_are_left_aside() {
    let mut bytes = b"#TS:1628217470\r\n".to_vec();
    bytes.extend(frame("SET a 1"));
    bytes.extend(b"#TS:1628217471\r\n# what a later version may say\n");
    let dir = folder(&bytes);
    let node = node(dir.path()).aof_timestamp_enabled(true).start().unwrap();
    let mut local = node.local();
    assert_eq!(local.get(b"a").as_deref(), Some(&b"1"[..]));
    call(&mut local, "SET a 2");
    node.shutdown();
    let after = one(&dir);
    let mark = std::str::from_utf8(&after[bytes.len()..]).unwrap();
    assert!(mark.starts_with("#TS:"), "{mark}");
}

#[test]
fn a_file_of_the_time_before_manifests_moves_into_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let old = dir.path().join("appendonly.aof");
    fs::write(&old, frame("SET a 1")).unwrap();
    for _ in 0..2 {
        let node = node(dir.path()).start().unwrap();
        assert_eq!(node.local().get(b"a").as_deref(), Some(&b"1"[..]));
        assert!(!old.exists());
    }
    let manifest = fs::read_to_string(dir.path().join("appendonlydir/appendonly.aof.manifest"));
    let expected = "file appendonly.aof seq 1 type b\n\
                    file appendonly.aof.1.incr.aof seq 1 type i\n";
    assert_eq!(manifest.unwrap(), expected);
}

#[test]
fn what_is_due_is_due_after_the_load() {
    let words = ["RPUSH list a", "PEXPIREAT list 1000", "RPUSH list b", "PERSIST list"];
    let dir = folder(&words.map(frame).concat());
    let node = node(dir.path()).start().unwrap();
    assert_eq!(call(&mut node.local(), "LLEN list"), Reply::Int(2));
}

#[test]
fn what_only_the_file_is_told_is_no_part_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let builder = Node::builder().dir(dir.path().to_owned()).threads(1);
    let node = builder.appendfsync(AppendFsync::Always).start().unwrap();
    let (log, aof) = (&node.shared().log, &node.shared().aof);
    // As a replica: the next frame may rely on the database that is known.
    log.set_follows(true);
    log.adopt(larder_replication::ReplicationId::random(), 100, 1 << 20);
    log.append_raw(b"", FrameKind::Effect, 3);
    aof.turn_on(node.shared()).unwrap();
    eventually("it is kept", || aof.facts.phase() == Phase::On);
    let synced = || {
        aof.wait_until_safe();
        aof.synced_offset()
    };
    assert_eq!(synced(), Some(100));
    log.append_raw(&frame("SET a 1"), FrameKind::Effect, 3);
    assert_eq!(synced(), Some(log.offset()));
    log.append_raw(&frame("PING"), FrameKind::Control, 3);
    assert_eq!(synced(), Some(log.offset()));
}

#[test]
fn a_position_is_safe_when_the_disk_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path()).appendfsync(AppendFsync::Always).start().unwrap();
    let aof = &node.shared().aof;
    // Each write takes its time.
    aof.facts.flush_sleep_us.store(100_000, Ordering::Relaxed);
    let client = Arc::new(Client::new(1, crate::node::clients::Peer::InProcess, -1, 0));
    node.shared().log.append_frame(0, &frame("SET a 1"));
    let position = aof.awaits().unwrap();
    assert!(!aof.is_safe(position, &client));
    assert!(!aof.has_reached(position));
    aof.wait_until_safe();
    assert!(aof.has_reached(position) && aof.is_safe(position, &client));
    assert_eq!(aof.awaits(), None);
}

#[test]
fn nothing_is_confirmed_in_process_after_the_writer_died() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path()).appendfsync(AppendFsync::Always).start().unwrap();
    let mut local = node.local();
    assert!(local.set(b"a", b"1"));
    let aof = &node.shared().aof;
    let full = File::options().write(true).open("/dev/full").unwrap();
    aof.queue.lock().switch(full);
    assert!(!local.set(b"a", b"2"));
    assert!(node.shared().shutdown.has_failed());
    let told = call(&mut local, "INCR a");
    assert!(told.as_error().is_some_and(|error| error.code() == "MISCONF"), "{told:?}");
}

#[test]
fn a_script_waits_for_room_as_a_write_does() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path()).appendfsync(AppendFsync::Always).start().unwrap();
    let shared = node.shared();
    congest(&shared.aof);
    let runtime = runtime();
    let mut stream = node.connect();
    let script = frame("EVAL return(redis.call('SET',KEYS[1],ARGV[1])) 1 a 1");
    runtime.block_on(stream.write_all(&script)).unwrap();
    eventually("it waits", || {
        shared.clients.all().iter().any(|client| client.blocked.load(Ordering::Relaxed))
    });
    assert_eq!(shared.aof.appended.load(Ordering::Relaxed), 0);
    relieve(&shared.aof);
    assert_eq!(&received::<5>(&runtime, &mut stream), b"+OK\r\n");
}

#[test]
fn a_replica_leaves_to_its_primary_what_its_file_has_no_room_for() {
    // Somebody else may take the port before the node does.
    let primary = (0..20).find_map(|_| {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let builder = Node::builder().bind(vec!["127.0.0.1".to_owned()]).port(port).threads(1);
        builder.start().ok()
    });
    let primary = primary.expect("a free port");
    let dir = tempfile::tempdir().unwrap();
    let replica = node(dir.path()).appendfsync(AppendFsync::Always).start().unwrap();
    let port = primary.addresses()[0].port();
    assert_eq!(call(&mut replica.local(), &format!("REPLICAOF 127.0.0.1 {port}")), Reply::Ok);
    let aof = &replica.shared().aof;
    let is = |value: &str| {
        let found = || replica.local().get(b"a");
        eventually("it is there", || found().as_deref() == Some(value.as_bytes()));
    };
    primary.local().set(b"a", b"1");
    is("1");
    eventually("it is kept", || aof.facts.phase() == Phase::On);
    congest(aof);
    primary.local().set(b"a", b"2");
    let sender = primary.shared().replicas.all().pop().expect("the replica");
    for _ in 0..2 {
        sender.has_answered.store(false, Ordering::Relaxed);
        // Some time after the write: the replica says so unasked.
        eventually("it answers", || sender.has_answered.load(Ordering::Acquire));
    }
    assert!(sender.acked() < primary.shared().log.offset(), "it is not applied");
    relieve(aof);
    is("2");
}

#[test]
fn what_is_written_late_keeps_writes_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path()).start().unwrap();
    let (log, aof) = (&node.shared().log, &node.shared().aof);
    let written = || aof.queue.lock().written_to();
    aof.facts.flush_sleep_us.store(5_000_000, Ordering::Relaxed);
    eventually("writes wait", || {
        log.append_frame(0, &frame("SET a 1"));
        assert_eq!(written(), 0, "they wait before the first is written");
        aof.is_congested()
    });
    aof.facts.flush_sleep_us.store(0, Ordering::Relaxed);
    eventually("they go on", || !aof.is_congested());
    assert_eq!(written(), aof.appended.load(Ordering::Relaxed));
}

#[test]
fn who_waits_for_room_is_told_that_nothing_can_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path()).start().unwrap();
    let aof = &node.shared().aof;
    let runtime = runtime();
    let mut stream = node.connect();
    congest(aof);
    runtime.block_on(stream.write_all(&frame("SET a 1"))).unwrap();
    eventually("it waits", || {
        let clients = node.shared().clients.all();
        clients.iter().any(|client| client.blocked.load(Ordering::Relaxed))
    });
    aof.fail(trouble::WRITE, &io::ErrorKind::StorageFull.into());
    assert_eq!(&received::<8>(&runtime, &mut stream), b"-MISCONF");
    let script = "EVAL return(redis.pcall('SET',KEYS[1],ARGV[1]).err) 1 a 1";
    let error = call(&mut node.local(), script);
    assert!(error.as_bytes().is_some_and(|text| text.starts_with(b"MISCONF")), "{error:?}");
}
