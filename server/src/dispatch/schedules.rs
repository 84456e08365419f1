//! Shard locks, watches and wake-ups under many schedules: shuttle lets threads run in turn, changes
//! between them wherever a shard is locked, and finds those that wait for each other for ever.
//!
//! `cargo test -p larder-server --features shuttle --lib schedules`; `LARDER_SCHEDULES` sets how many.

use super::tests::{nested, within};
use super::{Executor, Flow};
use crate::acl::identity::Identity;
use crate::node::shared::Shared;
use crate::session::Session;
use crate::{Local, Node, Reply};
use larder_protocol::Args;
use std::sync::Arc;

/// What a schedule does with a node.
type Body = Arc<dyn Fn(&Arc<Shared>) + Send + Sync>;

/// A few seconds; a fault put in on purpose, a watch looked at before the locks are taken, is found
/// within them.
const SCHEDULES: usize = 2000;
/// Changes of thread that the second scheduler places: most races need one or two.
const DEPTH: usize = 3;

/// Runs `body` on a fresh node under many schedules.
fn try_schedules(body: impl Fn(&Arc<Shared>) + Send + Sync + 'static) {
    let schedules = std::env::var("LARDER_SCHEDULES").ok().and_then(|text| text.parse().ok());
    let schedules = schedules.unwrap_or(SCHEDULES);
    let body = Arc::new(body);
    let run = |body: Body| move || body(&Node::builder().threadless().expect("a node"));
    shuttle::check_random(run(Arc::clone(&body) as _), schedules);
    shuttle::check_pct(run(body), schedules, DEPTH);
}

/// Runs each body in a thread of its own, to the end.
fn together(bodies: Vec<Box<dyn FnOnce() + Send>>) {
    let threads: Vec<_> = bodies.into_iter().map(shuttle::thread::spawn).collect();
    threads.into_iter().for_each(|thread| thread.join().expect("a thread ends well"));
}

fn run(local: &mut Local, words: &str) -> Reply<'static> {
    let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
    local.call(&words)
}

#[test]
fn transactions_are_one_instant() {
    try_schedules(|node| {
        let pay = |from: &'static str, to: &'static str| -> Box<dyn FnOnce() + Send> {
            let node = Arc::clone(node);
            Box::new(move || {
                let mut local = Local::new(node);
                run(&mut local, "MULTI");
                run(&mut local, &format!("DECR {from}"));
                run(&mut local, &format!("INCR {to}"));
                assert!(matches!(run(&mut local, "EXEC"), Reply::Array(_)));
            })
        };
        let look = Arc::clone(node);
        let look: Box<dyn FnOnce() + Send> = Box::new(move || {
            let mut local = Local::new(look);
            let Reply::Array(values) = run(&mut local, "MGET a b c") else { panic!("an array") };
            let number = |value: &Reply<'_>| match value.as_bytes() {
                Some(digits) => std::str::from_utf8(digits).unwrap().parse().unwrap(),
                None => 0,
            };
            assert_eq!(values.iter().map(number).sum::<i64>(), 0, "{values:?}");
        });
        together(vec![pay("a", "b"), pay("b", "c"), pay("c", "a"), look]);
    });
}

#[test]
fn no_update_of_a_watched_key_is_lost() {
    try_schedules(|node| {
        let add = || -> Box<dyn FnOnce() + Send> {
            let node = Arc::clone(node);
            Box::new(move || {
                let mut local = Local::new(node);
                loop {
                    run(&mut local, "WATCH count");
                    let seen = local.get(b"count").map_or(0, |digits| {
                        std::str::from_utf8(&digits).unwrap().parse::<i64>().unwrap()
                    });
                    run(&mut local, "MULTI");
                    run(&mut local, &format!("SET count {}", seen + 1));
                    run(&mut local, "INCR other");
                    if matches!(run(&mut local, "EXEC"), Reply::Array(_)) {
                        break;
                    }
                }
            })
        };
        together(vec![add(), add(), add()]);
        let mut local = Local::new(Arc::clone(node));
        assert_eq!(local.get(b"count").as_deref(), Some(&b"3"[..]));
        assert_eq!(local.get(b"other").as_deref(), Some(&b"3"[..]));
        let watched = |shard| !node.keyspace.lock(shard).watchers.is_empty();
        assert!(!(0..crate::keyspace::SHARDS).any(watched), "no watch stays behind");
    });
}

/// A session that may wait, with its executor.
fn patient(node: &Arc<Shared>) -> (Executor, Session) {
    let client = crate::node::clients::Client::new(
        node.clients.next_id(),
        crate::node::clients::Peer::InProcess,
        -1,
        0,
    );
    (
        Executor::new(Arc::clone(node)),
        Session::new(Arc::new(client), Identity::of_owner(&node.acl.users)),
    )
}

#[test]
fn who_waits_is_woken_by_whoever_comes() {
    try_schedules(|node| {
        let wait = |words: &'static [&'static [u8]]| -> Box<dyn FnOnce() + Send> {
            let node = Arc::clone(node);
            Box::new(move || {
                let (mut executor, mut session) = patient(&node);
                let mut out = Vec::new();
                executor.begin_turn();
                match executor.execute(&mut session, Args::from_slices(words), &mut out) {
                    Flow::Parked(waiter) => {
                        // Each pusher pushes one: whoever waits gets it in the end.
                        let ended = loop {
                            match waiter.take_ended() {
                                Some(ended) => break ended,
                                None => shuttle::thread::yield_now(),
                            }
                        };
                        assert!(ended.failure.is_none() && !ended.reply.is_empty());
                        waiter.leave(&node);
                    }
                    Flow::Done => assert!(!out.is_empty()),
                    Flow::Postponed => panic!("nothing is paused"),
                }
            })
        };
        let push = |transaction: bool| -> Box<dyn FnOnce() + Send> {
            let node = Arc::clone(node);
            Box::new(move || {
                let mut local = Local::new(node);
                if transaction {
                    run(&mut local, "MULTI");
                    run(&mut local, "RPUSH list x");
                    run(&mut local, "SET other 1");
                    run(&mut local, "EXEC");
                } else {
                    run(&mut local, "RPUSH list x");
                }
            })
        };
        together(vec![
            wait(&[b"BLPOP", b"list", b"0"]),
            wait(&[b"BLMOVE", b"list", b"target", b"LEFT", b"RIGHT", b"0"]),
            push(true),
            push(false),
        ]);
        let mut local = Local::new(Arc::clone(node));
        assert_eq!(run(&mut local, "EXISTS list"), Reply::Int(0));
        assert_eq!(run(&mut local, "LLEN target"), Reply::Int(1));
    });
}

#[test]
fn scripts_that_reach_out_do_not_wait_for_ever() {
    try_schedules(|node| {
        let reach = |own: &'static str, other: &'static str| -> Box<dyn FnOnce() + Send> {
            let node = Arc::clone(node);
            Box::new(move || {
                within(&node, &[own.as_bytes()], |call| {
                    assert_eq!(nested(call, &format!("SET {own} 1")), Ok(Reply::Ok));
                    // Another one may be in the way; then this one ends.
                    let _ = nested(call, &format!("SET {other} 1"));
                });
            })
        };
        let several = Arc::clone(node);
        let several: Box<dyn FnOnce() + Send> = Box::new(move || {
            run(&mut Local::new(several), "MSET a 2 b 2 c 2");
        });
        together(vec![reach("a", "b"), reach("b", "c"), reach("c", "a"), several]);
    });
}
