//! Commands within the hold of another one.

use super::call::Call;
use super::gates::HELD_BACK;
use super::meter::Meter;
use super::nested::{Uncovered, find};
use super::{Executor, Flow};
use crate::acl::identity::Identity;
use crate::commands;
use crate::config::DirectiveOptions;
use crate::keyspace::access::Access;
use crate::keyspace::changes::Changes;
use crate::keyspace::evict::Touch;
use crate::node::clients::{Client, Peer};
use crate::node::shared::Shared;
use crate::session::Session;
use crate::{Node, Reply};
use larder_protocol::{Args, CommandError};
use std::sync::Arc;
use std::sync::mpsc::channel;

/// Runs `body` in a call of PING that holds the shards of some keys.
pub(super) fn within<T>(node: &Shared, keys: &[&[u8]], body: impl FnOnce(&mut Call<'_>) -> T) -> T {
    let client = Arc::new(Client::new(node.clients.next_id(), Peer::InProcess, -1, 0));
    let owner = Identity::of_owner(&node.acl.users);
    let mut session = Session { may_block: false, ..Session::new(client, owner) };
    let mut meter = Meter::new(node.stats.new_slot(), node.clock.unix_us(), node.clock.tick());
    let mut shards: Vec<_> = keys.iter().map(|key| node.keyspace.key(key).hash.shard()).collect();
    shards.sort_unstable();
    shards.dedup();
    let held = node.keyspace.lock_several(&shards);
    let (now_us, changes) = (meter.now_us, Changes::new(true, node.wanted_events()));
    let mut call = Call {
        row: commands::find(b"PING").unwrap().row,
        args: Args::from_slices(&[b"PING"]),
        keys: &[],
        db: Access::new(&node.keyspace, held, 0, now_us / 1000, Touch::None(0), changes),
        session: &mut session,
        node,
        settings: &node.config.load(),
        now_us,
        random: &mut fastrand::Rng::with_seed(1),
        meter: &mut meter,
        wish: None,
        has_written: false,
        error_is_counted: false,
    };
    let value = body(&mut call);
    let memory_delta = call.db.memory_delta();
    drop(call);
    node.keyspace.memory().add(memory_delta);
    value
}

/// Runs words within a call.
pub(super) fn nested(call: &mut Call<'_>, words: &str) -> Result<Reply<'static>, Uncovered> {
    let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
    let args = Args::from_slices(&words);
    let command = find(call.node, args).unwrap();
    let mut session = call.session.clone();
    call.nested(&mut session, command, args, |_, reply| reply.into_owned())
}

/// From the instant at which others see it wait: its connection hears of it only later.
#[test]
fn who_waits_is_turned_out_when_the_role_changes() {
    let node = Node::builder().threads(1).start().unwrap();
    let client = Arc::new(Client::new(node.shared().clients.next_id(), Peer::InProcess, -1, 0));
    let owner = Identity::of_owner(&node.shared().acl.users);
    let mut session = Session::new(Arc::clone(&client), owner);
    let mut executor = Executor::new(Arc::clone(node.shared()));
    let mut out = Vec::new();
    let flow = executor.execute(&mut session, Args::from_slices(&[b"BLPOP", b"k", b"0"]), &mut out);
    let Flow::Parked(waiter) = flow else { panic!("it waits") };
    assert!(client.turn_out(), "it is known to wait");
    assert!(waiter.take_ended().is_some_and(|ended| ended.closes));
    waiter.leave(node.shared());
}

#[test]
fn inner_commands_see_what_earlier_ones_did() {
    let node = Node::builder().threads(1).start().unwrap();
    within(node.shared(), &[b"a", b"b"], |call| {
        assert_eq!(nested(call, "SET a 1"), Ok(Reply::Ok));
        assert_eq!(nested(call, "INCR a"), Ok(Reply::Int(2)));
        assert_eq!(nested(call, "RENAME a b"), Ok(Reply::Ok));
        assert_eq!(nested(call, "GET b"), Ok(Reply::digits(2)));
        assert_eq!(nested(call, "LPUSH b x"), Ok(Reply::Error(CommandError::WRONG_TYPE)));
        assert_eq!(nested(call, "BLPOP a 0"), Ok(Reply::NullArray), "nothing waits here");
        let effects = call.db.changes.take().unwrap().effects;
        assert_eq!(effects.len(), 3);
    });
    assert_eq!(node.local().get(b"b").as_deref(), Some(&b"2"[..]));
}

#[test]
fn free_shards_are_taken_when_they_are_needed() {
    let node = Node::builder().threads(1).start().unwrap();
    within(node.shared(), &[b"a"], |call| {
        for key in 0..100 {
            assert_eq!(nested(call, &format!("SET key{key} 1")), Ok(Reply::Ok));
        }
        assert_eq!(nested(call, "DBSIZE"), Ok(Reply::Int(100)));
        assert!(call.db.holds_all(), "what looks at all shards holds all");
    });
    within(node.shared(), &[], |call| {
        assert_eq!(nested(call, "GET key1"), Ok(Reply::digits(1)));
        assert_eq!(nested(call, "FLUSHALL"), Err(Uncovered::Again), "nothing was changed yet");
        call.hold_all().unwrap();
        assert_eq!(nested(call, "FLUSHALL"), Ok(Reply::Ok));
    });
}

/// A key in another shard than `other`, above it or below.
fn key_beside(node: &Shared, other: &str, above: bool) -> String {
    let shard = |key: &str| node.keyspace.key(key.as_bytes()).hash.shard();
    let mut keys = (0..).map(|number| format!("key{number}"));
    keys.find(|key| shard(key) != shard(other) && (shard(key) > shard(other)) == above).unwrap()
}

#[test]
fn who_wrote_waits_for_shards_and_who_did_not_begins_anew() {
    let node = Node::builder().threads(1).start().unwrap();
    for above in [false, true] {
        let key = key_beside(node.shared(), "own", above);
        std::thread::scope(|scope| {
            let (taken, is_taken) = channel();
            let (end, ends) = channel();
            let (shared, name) = (node.shared(), key.clone());
            scope.spawn(move || {
                within(shared, &[name.as_bytes()], |_| {
                    taken.send(()).unwrap();
                    ends.recv().unwrap();
                });
            });
            is_taken.recv().unwrap();
            within(node.shared(), &[b"own"], |call| {
                assert_eq!(nested(call, &format!("GET {key}")), Err(Uncovered::Again));
                assert_eq!(nested(call, "SET own 1"), Ok(Reply::Ok));
                scope.spawn(move || {
                    std::thread::sleep(std::time::Duration::from_millis(100));
                    end.send(()).unwrap();
                });
                assert_eq!(nested(call, &format!("SET {key} 1")), Ok(Reply::Ok));
                assert!(call.db.holds_all());
            });
        });
    }
}

#[test]
fn two_that_wrote_and_want_what_the_other_has_do_not_wait_for_ever() {
    let node = Node::builder().threads(1).start().unwrap();
    let (low, high) =
        (key_beside(node.shared(), "own", false), key_beside(node.shared(), "own", true));
    for _ in 0..20 {
        let barrier = std::sync::Barrier::new(2);
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let threads = [(&low, &high), (&high, &low)].map(|(first, second)| {
                let (node, barrier) = (node.shared(), &barrier);
                scope.spawn(move || {
                    within(node, &[first.as_bytes()], |call| {
                        assert_eq!(nested(call, &format!("SET {first} 1")), Ok(Reply::Ok));
                        barrier.wait();
                        nested(call, &format!("SET {second} 1"))
                    })
                })
            });
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let refused = outcomes.iter().filter(|outcome| **outcome == Err(Uncovered::Refused));
        assert_eq!(refused.count(), 1, "{outcomes:?}");
    }
}

#[test]
fn those_who_take_several_shards_stand_aside() {
    let node = Node::builder().threads(1).start().unwrap();
    let (low, high) =
        (key_beside(node.shared(), "own", false), key_beside(node.shared(), "own", true));
    std::thread::scope(|scope| {
        let (taken, is_taken) = channel();
        within(node.shared(), &[high.as_bytes()], |call| {
            assert_eq!(nested(call, &format!("SET {high} 1")), Ok(Reply::Ok));
            let (shared, low) = (node.shared(), low.clone());
            let names = [low.clone(), high.clone()];
            scope.spawn(move || {
                taken.send(()).unwrap();
                // Gets the lower one, and waits for the higher one.
                within(shared, &[names[0].as_bytes(), names[1].as_bytes()], |call| {
                    assert_eq!(nested(call, &format!("GET {}", names[0])), Ok(Reply::digits(2)));
                });
            });
            is_taken.recv().unwrap();
            std::thread::sleep(std::time::Duration::from_millis(5));
            assert_eq!(nested(call, &format!("SET {low} 2")), Ok(Reply::Ok));
        });
    });
}

#[test]
#[cfg(all(debug_assertions, not(feature = "shuttle")))]
#[should_panic(expected = "is asked for while")]
fn a_shard_that_is_asked_for_out_of_order_shows() {
    let node = Node::builder().threads(1).start().unwrap();
    let keyspace = &node.shared().keyspace;
    let _held = keyspace.lock(5);
    drop(keyspace.lock(4));
}

#[test]
fn the_first_shard_shows_who_reads_the_log() {
    let node = Node::builder().threads(1).start().unwrap();
    let shared = node.shared();
    let before_anybody_reads = |body: &dyn Fn(&mut Call<'_>)| {
        shared.log.drop_backlog();
        within(shared, &[], |call| {
            call.db.changes = Changes::default();
            shared.log.start_backlog(1 << 20);
            body(call);
        });
    };
    let effects = |call: &mut Call<'_>| call.db.changes.take().map_or(0, |all| all.effects.len());
    before_anybody_reads(&|call| {
        assert_eq!(nested(call, "SET a 1"), Ok(Reply::Ok));
        assert_eq!(effects(call), 1);
    });
    before_anybody_reads(&|call| {
        call.hold_all().unwrap();
        assert_eq!(nested(call, "SET a 2"), Ok(Reply::Ok));
        assert_eq!(effects(call), 1);
    });
    before_anybody_reads(&|call| {
        call.set_logged(false);
        assert_eq!(nested(call, "SET a 3"), Ok(Reply::Ok));
        assert_eq!(effects(call), 0, "a script keeps it to itself");
        call.set_logged(true);
        assert_eq!(nested(call, "SET a 4"), Ok(Reply::Ok));
        assert_eq!(effects(call), 1);
    });
}

#[test]
fn the_first_shard_shows_whether_writes_are_let_in() {
    let node = Node::builder().threads(1).start().unwrap();
    let shared = node.shared();
    within(shared, &[], |call| {
        call.row = commands::find(b"EVAL").unwrap().row;
        shared.role.set_holds_writes(true);
        assert_eq!(nested(call, "SET a 1"), Err(Uncovered::Again));
        assert_eq!(call.hold_all(), Err(HELD_BACK));
        shared.role.set_holds_writes(false);
        assert_eq!(call.hold_all(), Ok(()));
        assert_eq!(nested(call, "SET a 1"), Ok(Reply::Ok));
    });
    within(shared, &[], |call| {
        shared.role.set_undecided(0);
        assert_eq!(nested(call, "SET a 2"), Err(Uncovered::Again), "it is a replica by now");
        assert_eq!(call.hold_all(), Ok(()), "and its script may read");
        assert_eq!(nested(call, "GET a"), Ok(Reply::digits(1)));
    });
}

#[test]
fn who_waited_for_a_shard_tells_those_who_came_meanwhile() {
    let node = Node::builder().threads(1).start().unwrap();
    let shared = node.shared();
    let (waits, is_waiting) = channel();
    let listener = Arc::new(Client::new(shared.clients.next_id(), Peer::InProcess, -1, 0));
    let owner = Identity::of_owner(&shared.acl.users);
    let mut session = Session::new(Arc::clone(&listener), owner);
    std::thread::scope(|scope| {
        within(shared, &[b"k"], |_| {
            scope.spawn(|| {
                let mut local = node.local();
                waits.send(()).unwrap();
                assert!(local.set(b"k", b"new"));
            });
            is_waiting.recv().unwrap();
            std::thread::sleep(std::time::Duration::from_millis(50));
            let mut executor = Executor::new(Arc::clone(shared));
            for words in ["HELLO 3", "CLIENT TRACKING ON BCAST"] {
                let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
                let args = Args::from_slices(&words);
                let command = find(shared, args).unwrap();
                let is_done = |reply: Reply<'_>| assert_eq!(reply.as_error(), None);
                executor.call(&mut session, command, args, is_done);
            }
        });
    });
    shared.tracking.broadcast(shared);
    assert!(!listener.mailbox.is_empty(), "its copies would be stale for ever");
}

#[test]
fn what_was_decided_elsewhere_finds_what_is_due() {
    let node = Node::builder().start().unwrap();
    let shared = node.shared();
    let client = Arc::new(Client::new(0, Peer::InProcess, -1, 0));
    let owner = Identity::of_owner(&shared.acl.users);
    let mut session = Session { may_block: false, applies: true, ..Session::new(client, owner) };
    let mut executor = Executor::new(Arc::clone(shared));
    let mut apply = |words: &str| {
        let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
        let args = Args::from_slices(&words);
        executor.begin_turn();
        let command = executor.look_up(args).unwrap();
        executor.apply(&mut session, command, args)
    };
    for words in [
        "RPUSH list a",
        "PEXPIREAT list 1000",
        "RPUSH list b",
        "MULTI",
        "HSET hash field value",
        "HPEXPIREAT hash 1000 FIELDS 1 field",
        "HSETNX hash field other",
        "EXEC",
        "COPY list still",
        "EXPIRE still 1000",
    ] {
        assert_eq!(apply(words), Ok(()), "{words}");
    }
    assert_eq!(apply("INCR list"), Err(CommandError::WRONG_TYPE));
    assert_eq!(apply("INCR"), Err(CommandError::wrong_arity("incr")));
    let mut local = node.local();
    assert_eq!(
        local.call(&[b"EXISTS", b"list", b"hash"]),
        Reply::Int(0),
        "for all others it is due"
    );
    assert_eq!(local.call(&[b"LLEN", b"still"]), Reply::Int(2));
}
