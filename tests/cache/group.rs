//! The race of invalidations and loads on a group inside this process, whose primary dies, is cut off
//! and hands over, while one replica lags.
//!
//! Writes are acknowledged by a quorum, so a finished invalidation outlives every failover: nobody may
//! see anything older, ever. `LARDER_RACE_READS` says how many reads are judged at least.

use std::sync::Arc;
use std::time::Duration;

use larder_client::cache::Durability;
use larder_client::{Endpoints, Net};
use larder_server::Group;
use larder_server::config::{DirectiveOptions, WriteAcks};

use crate::race::{Race, seed};

/// Reads that are judged in all.
const READS: u64 = 100_000;
/// Readers and writers of each process.
const TASKS: usize = 20;
/// By how much a replica lags in each direction.
const LATENCY: Duration = Duration::from_millis(3);
/// How long a zone has no power.
const OUTAGE: Duration = Duration::from_millis(400);
/// Between two blows.
const REST: Duration = Duration::from_millis(300);

fn wanted() -> u64 {
    let reads = std::env::var("LARDER_RACE_READS").ok();
    reads.and_then(|reads| reads.parse().ok()).unwrap_or(READS)
}

/// Hits the primary, and waits until the group could bear the next blow. Says what it did.
pub(crate) fn hit(group: &Group, random: &mut fastrand::Rng) -> &'static str {
    let primary = group.primary().expect("a group that is whole has one");
    let another =
        || group.wait_until(|now| now.primary.as_ref().is_some_and(|now| *now != primary));
    let blow = match random.u32(..4) {
        0 => {
            group.kill(&primary).expect("it is there");
            another().expect("another primary");
            "killed"
        }
        1 => {
            group.isolate(&primary).expect("it is there");
            another().expect("another primary");
            group.heal();
            "cut off"
        }
        2 if group.interrupt_zone(&zone_of(group, &primary), OUTAGE).is_ok() => {
            another().expect("another primary");
            "zone without power"
        }
        // Refused where no replica is in sync at this moment.
        _ if group.failover(None).is_ok() => "handed over",
        _ => "refused",
    };
    // A node that lost its memory and is still counted among those in sync lets nobody be elected without
    // the primary: not before all have what the primary has could the group bear another blow.
    group.wait_whole().expect("all are there again");
    blow
}

fn zone_of(group: &Group, id: &str) -> String {
    let node = group.nodes().into_iter().find(|node| node.id == id);
    node.expect("it is there").zone
}

/// Lets one replica lag, another one each time.
fn lag(group: &Group, random: &mut fastrand::Rng) {
    group.heal();
    let nodes = group.nodes();
    let laggard = &nodes[random.usize(..nodes.len())].id;
    for other in nodes.iter().filter(|node| node.id != *laggard) {
        group.add_latency(laggard, &other.id, LATENCY).expect("they are there");
    }
}

#[test]
fn nor_while_a_group_loses_its_primary_again_and_again() {
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    // What a primary that was cut off had and nobody else is kept in files.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let group = Group::builder().name("race").write_acks(WriteAcks::Quorum);
    let group = group.dir(folder.path().to_owned()).start();
    let group = Arc::new(group.expect("three nodes in three zones"));
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().expect("a runtime");
    let (wanted, mut blows) = (wanted(), 0);
    let race = runtime.block_on(async {
        let mut nets = Vec::new();
        for zone in ["a", "b", "c", "elsewhere"] {
            let net = Net::builder().endpoints(Endpoints::in_process(&group)).zone(zone);
            nets.push(net.connect().await.expect("a group in the process"));
        }
        let trouble = |race: &Race| {
            std::thread::sleep(REST);
            println!("{}", hit(&group, &mut random));
            lag(&group, &mut random);
            blows += 1;
            race.reads() < wanted
        };
        Race::run(&nets, TASKS, Durability::Primary, seed, trouble).await
    });
    println!("{blows} blows: {}", race.told());
}
