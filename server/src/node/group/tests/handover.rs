//! Planned handovers under load: no write fails, on connections that stay for many of them.

use super::{Client, full_syncs, local};
use crate::Group;
use crate::config::{DirectiveOptions, WriteAcks};
use crate::node::group::Timing;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Nodes that take turns.
const ROUND: [&str; 3] = ["s-002", "s-003", "s-001"];

/// A group that takes no pause of the machine for the loss of its primary.
fn group() -> Group {
    let group = Group::builder().name("s").write_acks(WriteAcks::Quorum);
    group.timing(Timing::production()).start().expect("a group of three nodes")
}

/// Ends the writers also where a test fails.
struct Stop<'s>(&'s AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Counts a key up, `depth` commands at a time, until it is told to stop; gives how far it came.
fn count_up(at: SocketAddr, key: &str, depth: u64, stop: &AtomicBool) -> u64 {
    let mut client = Client::new(at);
    let mut written = 0;
    while !stop.load(Ordering::Relaxed) {
        let lines: Vec<String> = (0..depth).map(|_| format!("INCR {key}")).collect();
        let mut reply = client.say(&lines.join("\r\n"));
        for _ in 0..depth {
            written += 1;
            assert_eq!(reply, Some(format!(":{written}")), "{key}");
            if written % depth != 0 {
                reply = client.hear();
            }
        }
    }
    written
}

/// Hands over round and round while writers write; each writer's key is as far as its writer came.
fn hand_over_under_load(group: &Group, at: SocketAddr, handovers: usize) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        let writers: Vec<_> = [1, 1, 1, 50]
            .into_iter()
            .enumerate()
            .map(|(index, depth)| {
                let (key, stop) = (format!("w{index}"), &stop);
                (key.clone(), scope.spawn(move || count_up(at, &key, depth, stop)))
            })
            .collect();
        let mut primary = "s-001";
        for to in ROUND.iter().cycle().take(handovers) {
            std::thread::sleep(Duration::from_millis(50));
            assert_eq!(group.failover(Some(to)).expect("it hands over"), *to);
            group.wait_whole().expect("all follow");
            primary = to;
        }
        std::thread::sleep(Duration::from_millis(50));
        stop.store(true, Ordering::Relaxed);
        for (key, writer) in writers {
            let written: u64 = writer.join().expect("no write failed");
            let held = local(group, primary).get(key.as_bytes());
            assert_eq!(held, Some(written.to_string().into_bytes()), "{key}");
        }
    });
    assert_eq!(full_syncs(group, "s-002") + full_syncs(group, "s-003"), 0);
}

#[test]
fn a_planned_failover_fails_no_write() {
    let group = group();
    hand_over_under_load(&group, group.primary_endpoint(), 9);
}

#[test]
fn connections_to_the_node_itself_are_passed_on() {
    let group = group();
    let beside = group.view().nodes[0].address.expect("an address");
    hand_over_under_load(&group, beside, 9);
}

#[test]
fn a_client_may_ask_for_it_in_the_middle_of_its_pipeline() {
    let group = group();
    let mut client = Client::new(group.primary_endpoint());
    let mut written = 0;
    for to in ROUND.iter().cycle().take(6) {
        let count = ["INCR a"; 20].join("\r\n");
        let mut reply = client.say(&format!("{count}\r\nGROUP FAILOVER TO {to}\r\n{count}"));
        for at in 0..41 {
            if at == 20 {
                assert_eq!(reply.as_deref(), Some("+OK"));
            } else {
                written += 1;
                assert_eq!(reply, Some(format!(":{written}")));
            }
            if at < 40 {
                reply = client.hear();
            }
        }
        group.wait_until(|view| view.primary.as_deref() == Some(to)).expect("it hands over");
        group.wait_whole().expect("all follow");
    }
}
