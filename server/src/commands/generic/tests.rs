//! What generic commands leave behind: effects for the log, events for subscribers.

use crate::clock::Clock;
use crate::config::{ProtectedAction, Settings};
use crate::keyspace::notify::KeyEvent;
use crate::types::tests::traces;
use crate::{Local, Node, Reply};
use larder_replication::{FrameKind, Sink};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::broadcast::Receiver;

const NOW_MS: i64 = 1_000_000_000_000;

struct Log(Arc<Mutex<Vec<u8>>>);

impl Sink for Log {
    fn append(&mut self, _: u64, bytes: &[u8], _: FrameKind) -> bool {
        self.0.lock().extend_from_slice(bytes);
        true
    }
}

/// A node whose clock stands still, that expires keys only when they are looked at, and all of
/// whose readers are here.
struct Observed {
    local: Local,
    clock: Clock,
    log: Arc<Mutex<Vec<u8>>>,
    events: Receiver<KeyEvent>,
    _node: Node,
}

impl Observed {
    fn new() -> Self {
        let clock = Clock::manual(NOW_MS);
        let settings = Settings {
            port: 0,
            threads: 1,
            enable_debug_command: ProtectedAction::Yes,
            save: Vec::new(),
            dbfilename: String::new(),
            ..Settings::default()
        };
        let node = Node::builder().settings(settings).clock(clock.clone()).start().unwrap();
        let log = Arc::<Mutex<Vec<u8>>>::default();
        node.read_log(Box::new(Log(Arc::clone(&log))));
        let (local, events) = (node.local(), node.events());
        let mut observed = Self { local, clock, log, events, _node: node };
        assert_eq!(observed.call("DEBUG SET-ACTIVE-EXPIRE 0"), Reply::Ok);
        observed
    }

    fn call(&mut self, command: &str) -> Reply<'static> {
        let args: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
        self.local.call(&args)
    }

    /// The effects since the last look.
    fn effects(&mut self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.log.lock());
        let text = String::from_utf8(bytes).unwrap();
        let words = |frame: &str| {
            frame
                .lines()
                .skip(1)
                .filter(|line| !line.starts_with('$'))
                .collect::<Vec<_>>()
                .join(" ")
        };
        text.split('*').skip(1).map(words).collect()
    }

    /// The events since the last look, as database, name and key.
    fn events(&mut self) -> Vec<String> {
        let mut events = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            let key = String::from_utf8(event.key).unwrap();
            events.push(format!("{} {} {key}", event.db, event.name));
        }
        events
    }

    #[track_caller]
    fn check(&mut self, command: &str, reply: Reply<'_>, effects: &[&str], events: &[&str]) {
        assert_eq!(self.call(command), reply, "{command}");
        assert_eq!(self.effects(), effects, "effects of {command}");
        assert_eq!(self.events(), events, "events of {command}");
    }

    /// Stores a value without leaving anything to see.
    fn put(&mut self, key: &str, deadline_ms: Option<i64>) {
        let ending = deadline_ms.map_or_else(String::new, |at| format!(" PXAT {at}"));
        assert_eq!(self.call(&format!("SET {key} v{ending}")), Reply::Ok);
        self.effects();
        self.events();
    }
}

#[test]
fn changes_are_logged_once_and_announced_by_their_names() {
    let mut node = Observed::new();
    node.put("a", None);
    node.put("b", None);
    // The reader learns the database first.
    assert_eq!(node.effects(), [""; 0]);
    node.check("DEL a b c", Reply::Int(2), &["DEL a b c"], &["0 del a", "0 del b"]);
    node.check("DEL a", Reply::Int(0), &[], &[]);
    node.check("UNLINK a", Reply::Int(0), &[], &[]);

    node.put("a", None);
    node.put("b", None);
    let events = ["0 new b", "0 rename_from a", "0 rename_to b"];
    node.check("RENAME a b", Reply::Ok, &["RENAME a b"], &events);
    node.check("RENAME b b", Reply::Ok, &[], &[]);
    node.put("a", None);
    node.check("RENAMENX a b", Reply::Int(0), &[], &[]);
    node.check("COPY a b", Reply::Int(0), &[], &[]);
    let events = ["0 new b", "0 copy_to b"];
    node.check("COPY a b REPLACE", Reply::Int(1), &["COPY a b REPLACE"], &events);
    node.check("COPY a b DB 3", Reply::Int(1), &["COPY a b DB 3"], &["3 new b", "3 copy_to b"]);
    let events = ["3 new a", "0 move_from a", "3 move_to a"];
    node.check("MOVE a 3", Reply::Int(1), &["MOVE a 3"], &events);
    node.check("MOVE b 3", Reply::Int(0), &[], &[]);
    node.check("SWAPDB 0 3", Reply::Ok, &["SWAPDB 0 3"], &[]);
    node.check("DBSIZE", Reply::Int(2), &[], &[]);
}

#[test]
fn a_sort_that_stores_is_logged_as_what_it_stored() {
    for (commands, effects, events) in [
        ("rpush a 1; sort a; sort_ro a by x*", "rpush a 1", "new a; rpush a; keymiss x1"),
        (
            "rpush a 2 1; sort a by w_* get # store b",
            "rpush a 2 1; MULTI; DEL b; RPUSH b 1 2; EXEC",
            "new a; rpush a; keymiss w_2; keymiss w_1; new b; sortstore b",
        ),
        (
            "rpush a 2 1; sort a store a; sort c store a; sort c store a",
            "rpush a 2 1; MULTI; DEL a; RPUSH a 1 2; EXEC; DEL a",
            "new a; rpush a; sortstore a; keymiss c; del a; keymiss c",
        ),
    ] {
        assert_eq!(traces(commands), (effects.to_owned(), events.to_owned()), "{commands}");
    }
}

#[test]
fn deadlines_are_logged_as_instants() {
    let mut node = Observed::new();
    node.put("a", None);
    for (command, effect) in [
        ("EXPIRE a 100", "PEXPIREAT a 1000000100000"),
        ("PEXPIRE a 100", "PEXPIREAT a 1000000000100"),
        ("EXPIREAT a 1000000200", "PEXPIREAT a 1000000200000"),
        ("PEXPIREAT a 1000000000300 LT", "PEXPIREAT a 1000000000300"),
    ] {
        node.check(command, Reply::Int(1), &[effect], &["0 expire a"]);
    }
    node.check("EXPIRE a 100 NX", Reply::Int(0), &[], &[]);
    node.check("PERSIST a", Reply::Int(1), &["PERSIST a"], &["0 persist a"]);
    node.check("PERSIST a", Reply::Int(0), &[], &[]);
    node.check("EXPIRE a 100 XX", Reply::Int(0), &[], &[]);
    node.check("PEXPIRE a 0", Reply::Int(1), &["DEL a"], &["0 del a"]);
    node.check("EXPIRE a 100", Reply::Int(0), &[], &[]);
}

#[test]
fn a_flush_is_logged_even_when_it_finds_nothing() {
    let mut node = Observed::new();
    node.put("a", None);
    node.check("FLUSHALL ASYNC", Reply::Ok, &["FLUSHALL ASYNC"], &[]);
    node.check("FLUSHDB", Reply::Ok, &["FLUSHDB"], &[]);
    node.check("DBSIZE", Reply::Int(0), &[], &[]);
}

/// Every command that names a key, on a key whose deadline has just passed: it answers as if nothing
/// were there, and the first to look removes the key, says so and logs it.
#[test]
fn a_key_that_is_due_is_not_there() {
    let missed = ["0 expired a", "0 keymiss a"];
    let expired = ["0 expired a"];
    for (command, reply, events) in [
        ("EXISTS a", Reply::Int(0), &missed[..]),
        ("TOUCH a", Reply::Int(0), &missed),
        ("TYPE a", Reply::Simple("none"), &missed),
        ("TTL a", Reply::Int(-2), &missed),
        ("PTTL a", Reply::Int(-2), &missed),
        ("EXPIRETIME a", Reply::Int(-2), &missed),
        ("PEXPIRETIME a", Reply::Int(-2), &missed),
        ("COPY a b", Reply::Int(0), &missed),
        ("OBJECT ENCODING a", Reply::Null, &expired),
        ("OBJECT REFCOUNT a", Reply::Null, &expired),
        ("OBJECT IDLETIME a", Reply::Null, &expired),
        ("OBJECT FREQ a", Reply::Null, &expired),
        ("DEL a", Reply::Int(0), &expired),
        ("UNLINK a", Reply::Int(0), &expired),
        ("PERSIST a", Reply::Int(0), &expired),
        ("EXPIRE a 100", Reply::Int(0), &expired),
        ("MOVE a 1", Reply::Int(0), &expired),
        ("RENAME a b", Reply::Error(larder_protocol::CommandError::NO_SUCH_KEY), &expired),
    ] {
        let mut node = Observed::new();
        node.put("a", Some(NOW_MS + 10));
        node.clock.advance(11);
        node.check("KEYS *", Reply::Array(vec![]), &[], &[]);
        node.check("RANDOMKEY", Reply::Null, &[], &[]);
        node.check("DBSIZE", Reply::Int(1), &[], &[]);
        assert_eq!(node.call(command), reply, "{command}");
        let effects = node.effects();
        assert_eq!(effects.last().map(String::as_str), Some("DEL a"), "effects of {command}");
        assert_eq!(node.events(), events, "events of {command}");
        node.check("DBSIZE", Reply::Int(0), &[], &[]);
    }
}

#[test]
fn a_scan_removes_what_is_due() {
    let mut node = Observed::new();
    node.put("a", Some(NOW_MS + 10));
    node.clock.advance(11);
    let nothing = Reply::Array(vec![Reply::digits(0), Reply::Array(vec![])]);
    node.check("SCAN 0", nothing, &["DEL a"], &["0 expired a"]);
    node.check("DBSIZE", Reply::Int(0), &[], &[]);
}

#[test]
fn a_destination_that_is_due_is_not_in_the_way() {
    for (command, db) in [("RENAMENX a b", 0), ("COPY a b", 0), ("COPY a b DB 1", 1)] {
        let mut node = Observed::new();
        node.put("a", Some(NOW_MS + 20));
        assert_eq!(node.call(&format!("COPY a b DB {}", 1 - db)), Reply::Int(1));
        node.put("b", Some(NOW_MS + 10));
        if db == 1 {
            assert_eq!(node.call("COPY b b DB 1 REPLACE"), Reply::Int(1));
        }
        node.effects();
        node.events();
        node.clock.advance(11);
        assert_eq!(node.call(command), Reply::Int(1), "{command}");
        assert_eq!(node.events()[0], format!("{db} expired b"), "{command}");
        let effects = node.effects();
        let [begin, gone @ .., own, end] = &effects[..] else { panic!("{command}: {effects:?}") };
        assert_eq!([&begin[..], own, end], ["MULTI", command, "EXEC"], "{effects:?}");
        assert!(gone.contains(&"DEL b".to_owned()), "{command}: {effects:?}");
    }
}
