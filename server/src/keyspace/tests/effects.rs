//! What the log and the subscribers are told: all of it, in order, once, and in a form that means
//! the same later and elsewhere.

use super::*;
use larder_protocol::{Limits, Parsed, Parser};
use larder_replication::{FrameKind, Sink};
use parking_lot::Mutex;
use std::collections::HashMap;
use tokio::sync::broadcast::Receiver;

use crate::keyspace::notify::KeyEvent;

/// A sink that keeps what was not taken yet.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    begin: u64,
    bytes: Vec<u8>,
}

impl Sink for Log {
    fn append(&mut self, offset: u64, bytes: &[u8], _: FrameKind) -> bool {
        let mut kept = self.0.lock();
        kept.bytes.extend_from_slice(bytes);
        assert_eq!(kept.begin + kept.bytes.len() as u64, offset);
        true
    }
}

impl Log {
    pub(super) fn of(node: &Node) -> Self {
        let log = Self::default();
        node.read_log(Box::new(log.clone()));
        log
    }

    /// The commands that were logged since the last call.
    pub(super) fn take(&self) -> Vec<Vec<Vec<u8>>> {
        let mut kept = self.0.lock();
        let bytes = std::mem::take(&mut kept.bytes);
        kept.begin += bytes.len() as u64;
        let (mut rest, mut commands, mut parser) = (&bytes[..], Vec::new(), Parser::new());
        while !rest.is_empty() {
            let Ok(Parsed::Command { consumed }) = parser.parse(rest, &Limits::DEFAULT) else {
                panic!("the log holds whole commands only");
            };
            commands.push(parser.args(rest).iter().map(<[u8]>::to_vec).collect());
            rest = &rest[consumed..];
        }
        commands
    }

    /// The same as text.
    pub(super) fn take_text(&self) -> Vec<String> {
        let text = |words: &Vec<Vec<u8>>| String::from_utf8_lossy(&words.join(&b' ')).into_owned();
        self.take().iter().map(text).collect()
    }
}

pub(super) fn names(events: &mut Receiver<KeyEvent>) -> Vec<String> {
    let mut names = Vec::new();
    while let Ok(event) = events.try_recv() {
        let key = String::from_utf8_lossy(&event.key).into_owned();
        names.push(format!("{}@{} {key}", event.name, event.db));
    }
    names
}

#[test]
fn effects_are_absolute_and_in_order() {
    let clock = Clock::manual(START_MS);
    let node = still(&clock).start().unwrap();
    let mut local = node.local();
    expire_only_on_access(&node);
    let log = Log::of(&node);
    let at = |ms: i64| (START_MS + ms).to_string();
    for (command, effects) in [
        ("SET a 1", vec!["SELECT 0".to_owned(), "SET a 1".to_owned()]),
        ("SET a 1 EX 10", vec![format!("SET a 1 PXAT {}", at(10_000))]),
        ("SET a 1 PX 10", vec![format!("SET a 1 PXAT {}", at(10))]),
        ("SETEX a 2 v", vec![format!("SET a v PXAT {}", at(2000))]),
        ("PSETEX a 9000 v", vec![format!("SET a v PXAT {}", at(9000))]),
        ("GETEX a EX 10", vec![format!("PEXPIREAT a {}", at(10_000))]),
        ("GETEX a PERSIST", vec!["PERSIST a".to_owned()]),
        ("GETEX a", vec![]),
        ("EXPIRE a 10", vec![format!("PEXPIREAT a {}", at(10_000))]),
        ("EXPIRE a 5 GT", vec![]),
        ("PERSIST a", vec!["PERSIST a".to_owned()]),
        ("PERSIST a", vec![]),
        ("SET a 1 NX", vec![]),
        ("SET n 10", vec!["SET n 10".to_owned()]),
        ("INCRBYFLOAT n 0.5", vec!["SET n 10.5 KEEPTTL".to_owned()]),
        ("INCR n", vec![]),
        ("GET n", vec![]),
        ("GETDEL n", vec!["DEL n".to_owned()]),
        ("GETDEL n", vec![]),
        ("DEL n a n", vec!["DEL n a n".to_owned()]),
        ("DEL n a", vec![]),
        ("MSET a 1 b 2", vec!["MSET a 1 b 2".to_owned()]),
        ("RENAME a c", vec!["RENAME a c".to_owned()]),
        ("EXPIRE c 0", vec!["DEL c".to_owned()]),
        ("SELECT 3", vec![]),
        ("SET a 1", vec!["SELECT 3".to_owned(), "SET a 1".to_owned()]),
        ("MOVE a 5", vec!["MOVE a 5".to_owned()]),
        ("FLUSHALL", vec!["FLUSHALL".to_owned()]),
    ] {
        run(&mut local, command);
        assert_eq!(log.take_text(), effects, "{command}");
    }
}

#[test]
fn a_key_that_is_due_is_deleted_before_what_comes_next() {
    let clock = Clock::manual(START_MS);
    let node = still(&clock).start().unwrap();
    let mut local = node.local();
    expire_only_on_access(&node);
    let log = Log::of(&node);
    let mut events = node.events();
    for (command, effects, events_wanted) in [
        (
            "SET a 2",
            vec!["MULTI", "DEL a", "SET a 2", "EXEC"],
            vec!["expired@0 a", "new@0 a", "set@0 a"],
        ),
        ("GET a", vec!["DEL a"], vec!["expired@0 a", "keymiss@0 a"]),
        ("EXISTS a", vec!["DEL a"], vec!["expired@0 a", "keymiss@0 a"]),
        ("DEL a", vec!["DEL a"], vec!["expired@0 a"]),
        (
            "APPEND a tail",
            vec!["MULTI", "DEL a", "APPEND a tail", "EXEC"],
            vec!["expired@0 a", "new@0 a", "append@0 a"],
        ),
        (
            "RENAME b a",
            vec!["MULTI", "DEL a", "RENAME b a", "EXEC"],
            vec!["expired@0 a", "new@0 a", "rename_from@0 b", "rename_to@0 a"],
        ),
        ("MGET b a a", vec!["DEL a"], vec!["expired@0 a", "keymiss@0 a", "keymiss@0 a"]),
    ] {
        run(&mut local, "FLUSHALL");
        run(&mut local, "SET b value");
        run(&mut local, "SET a 1 PX 10");
        clock.advance(11);
        (_, _) = (log.take(), names(&mut events));
        run(&mut local, command);
        assert_eq!(log.take_text(), effects, "{command}");
        assert_eq!(names(&mut events), events_wanted, "{command}");
    }
}

#[test]
fn events_follow_the_changes() {
    let node = Node::builder().threads(1).start().unwrap();
    let mut events = node.events();
    let mut local = node.local();
    for (command, wanted) in [
        ("SET a 1 EX 10", vec!["new@0 a", "set@0 a", "expire@0 a"]),
        ("MSET a 1 b 2", vec!["set@0 a", "new@0 b", "set@0 b"]),
        ("COPY a c DB 2", vec!["new@2 c", "copy_to@2 c"]),
        ("DEL b a missing", vec!["del@0 b", "del@0 a"]),
        ("GET a", vec!["keymiss@0 a"]),
        ("INCR a", vec!["new@0 a", "incrby@0 a"]),
        ("EXPIRE a 10", vec!["expire@0 a"]),
        ("PERSIST a", vec!["persist@0 a"]),
        ("MOVE a 2", vec!["new@2 a", "move_from@0 a", "move_to@2 a"]),
    ] {
        succeed(&mut local, command);
        assert_eq!(names(&mut events), wanted, "{command}");
    }
}

#[test]
fn a_key_expires_once_however_many_look() {
    const KEYS: usize = 3000;
    let clock = Clock::manual(START_MS);
    let node = still(&clock).start().unwrap();
    let log = Log::of(&node);
    let mut events = node.events();
    let mut local = node.local();
    for number in 0..KEYS {
        succeed(&mut local, &format!("SET key{number} value PX 10"));
    }
    (_, _) = (log.take(), names(&mut events));
    clock.advance(11);
    // Beside the node's own thread, which takes the due keys of all shards.
    std::thread::scope(|scope| {
        for seed in 0..3 {
            let node = &node;
            scope.spawn(move || {
                let mut local = node.local();
                let mut numbers: Vec<_> = (0..KEYS).collect();
                fastrand::Rng::with_seed(seed).shuffle(&mut numbers);
                for number in numbers {
                    assert_eq!(run(&mut local, &format!("EXISTS key{number}")), Reply::Int(0));
                }
            });
        }
    });
    drop(local);
    let shared = Arc::clone(node.shared());
    node.shutdown();
    let mut deleted: HashMap<String, usize> = HashMap::new();
    for command in log.take_text() {
        assert!(command.starts_with("DEL key"), "{command}");
        *deleted.entry(command).or_default() += 1;
    }
    assert_eq!(deleted.len(), KEYS);
    assert!(deleted.values().all(|times| *times == 1));
    let mut expired = names(&mut events);
    expired.retain(|event| event.starts_with("expired"));
    assert_eq!(expired.len(), KEYS);
    assert_eq!(shared.stats.totals().expired_keys, KEYS as u64);
}

#[test]
fn evictions_are_logged_as_deletions() {
    let node = Node::builder()
        .threads(1)
        .maxmemory_bytes(1 << 20)
        .maxmemory_policy(crate::config::MaxmemoryPolicy::AllkeysLru)
        .start()
        .unwrap();
    let log = Log::of(&node);
    let mut local = node.local();
    for number in 0..5000 {
        assert!(local.set(format!("key{number}").as_bytes(), &[b'v'; 300]));
    }
    drop(local);
    // What is above the limit at the end goes without a command.
    let keyspace = &node.shared().keyspace;
    while keyspace.memory().used_bytes() > 1 << 20 {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let there: Vec<_> = contents(keyspace).into_keys().map(|(_, key)| key).collect();
    let mut left = std::collections::BTreeSet::new();
    for command in log.take() {
        match &command[0][..] {
            b"SET" => assert!(left.insert(command[1].clone())),
            b"DEL" => assert!(left.remove(&command[1])),
            b"SELECT" => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(left.len() < 5000 && left.into_iter().eq(there));
}

proptest! {
    #![proptest_config(cases(48))]

    /// Whoever applies the log has what the node has, though it never looks at a clock.
    #[test]
    fn the_log_is_the_whole_truth(steps in prop::collection::vec(step(), 1..300)) {
        let clock = Clock::manual(START_MS);
        let node = still(&clock).start().unwrap();
        let log = Log::of(&node);
        let mut local = node.local();
        for step in &steps {
            take(&mut local, &clock, step);
        }
        // Keys that are due and were not looked at are still there, and nothing says otherwise.
        let copy = still(&Clock::manual(START_MS)).start().unwrap();
        let mut applied = copy.local();
        drop(local);
        let shared = Arc::clone(node.shared());
        node.shutdown();
        for command in log.take() {
            let words: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
            let reply = applied.call(&words);
            prop_assert!(!matches!(reply, Reply::Error(_)), "{:?}", reply);
        }
        prop_assert_eq!(contents(&copy.shared().keyspace), contents(&shared.keyspace));
    }
}
