//! Histories by the hundred, and that the judges can fail.

use super::*;
use std::sync::atomic::{AtomicU64, Ordering};

/// When a history begins, by the clock that the runtime makes.
pub(super) fn beginning() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs histories on all cores; tells of each that a judge condemned.
fn histories(seeds: std::ops::Range<u64>, sabotage: Sabotage) -> (Vec<(u64, String)>, usize) {
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let (mut condemned, mut acknowledged) = (Vec::new(), 0);
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return (condemned, acknowledged);
            }
            let outcome = run(seed, sabotage);
            acknowledged += outcome.acknowledged;
            if let Err(why) = outcome.verdict {
                println!("seed {seed}: {why}");
                condemned.push((seed, why));
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        let mut all = (Vec::new(), 0);
        for worker in workers {
            let (condemned, acknowledged) = worker.join().expect("a history ends");
            all.0.extend(condemned);
            all.1 += acknowledged;
        }
        all
    })
}

#[test]
fn no_history_breaks_a_promise() {
    let seeds = match number("LARDER_SEED") {
        Some(seed) => seed..seed + number("LARDER_SIM_SEEDS").unwrap_or(1),
        None => 0..number("LARDER_SIM_SEEDS").unwrap_or(400),
    };
    let count = seeds.end - seeds.start;
    let (condemned, acknowledged) = histories(seeds, Sabotage::None);
    println!("{count} histories, {acknowledged} replies, {} condemned", condemned.len());
    assert!(
        condemned.is_empty(),
        "{} condemned, the first {:?}",
        condemned.len(),
        condemned.first()
    );
    assert!(acknowledged as u64 > count * 100, "{acknowledged} replies are too few to judge");
}

#[test]
fn a_seed_is_a_history() {
    for seed in [3, 4] {
        let (first, second) = (run(seed, Sabotage::None), run(seed, Sabotage::None));
        assert_eq!(first, second, "seed {seed}");
        assert_ne!(first.trace, run(seed + 10, Sabotage::None).trace);
    }
}

/// Each promise that is broken is found by some judge within so many seeds.
///
/// A replica that goes on after its member's promise is not among them. Nobody promises before the
/// lease is over, so what it acknowledges then helps a reply only whose lease was looked at before and
/// whose acknowledgements after that, while the write itself was on its way for as long. Members that
/// become deaf and threads that sleep in between make that possible here, too rarely to count on.
fn is_found(sabotage: Sabotage) {
    let is_unsafe = |why: &String| !why.starts_with("no ");
    let found = (0..400).find_map(|seed| run(seed, sabotage).verdict.err().filter(is_unsafe));
    let why = found.expect("a judge sees that a promise is broken");
    println!("{sabotage:?}: {why}");
    assert!(!why.contains("undecided"), "{why}");
}

#[test]
fn a_primary_without_a_lease_is_found() {
    is_found(Sabotage::NoLease);
}

#[test]
fn a_reply_before_its_acknowledgements_is_found() {
    is_found(Sabotage::NoAcks);
}

#[test]
fn members_without_patience_are_found() {
    is_found(Sabotage::NoPatience);
}

/// A replica lost its memory and was given all data again, and the group does not know yet. It is not in
/// sync in this life, so nobody minds when it loses it again, and the primary the same one time that a
/// group of three bears. Gives how many writes were acknowledged meanwhile, and the verdict.
fn acknowledge_in_another_life(seed: u64, sabotage: Sabotage) -> (usize, Result<(), String>) {
    simulate(seed, async move || {
        let mut group = well(seed, sabotage).await;
        let primary = group.config().primary.clone().expect("a primary");
        let primary = group.places[&primary];
        let (second, third) = ((primary + 1) % 3, (primary + 2) % 3);
        group.world.drop_changes();
        group.power_off(third, Duration::from_millis(1));
        group.pass(Duration::from_millis(600)).await;
        group.world.cut(primary, second);
        group.world.cut(second, primary);
        group.pass(Duration::from_millis(200)).await;
        let since = group.world.now();
        group.pass(Duration::from_millis(1500)).await;
        let replies = group.record.replies.lock().clone();
        group.power_off(third, Duration::from_millis(1));
        group.power_off(primary, Duration::from_millis(1));
        group.pass(Duration::from_millis(100)).await;
        let acknowledged =
            replies.iter().filter(|one| one.at >= since && one.value.is_some()).count();
        (acknowledged, group.judge().await)
    })
}

#[test]
fn who_is_in_sync_in_another_life_acknowledges_nothing() {
    for seed in 0..20 {
        let (acknowledged, verdict) = acknowledge_in_another_life(seed, Sabotage::None);
        assert_eq!((acknowledged, verdict), (0, Ok(())), "seed {seed}");
        let (acknowledged, verdict) = acknowledge_in_another_life(seed, Sabotage::AnyLife);
        assert!(acknowledged > 0, "seed {seed}");
        assert!(verdict.is_err_and(|why| why.contains("writes lost")), "seed {seed}");
    }
}

fn changes(seeds: u64, is_planned: bool) -> Vec<u64> {
    let mut took = Vec::new();
    for seed in 0..seeds {
        let change = change_primary(seed, is_planned);
        assert_eq!(change.verdict, Ok(()), "seed {seed}");
        assert!(change.is_moved, "seed {seed}: the primary is the same");
        assert_eq!(change.full_syncs, 0, "seed {seed}: survivors go on where they were");
        took.push(change.writes_ms);
    }
    took.sort_unstable();
    took
}

#[test]
fn a_lost_primary_is_followed_in_time_and_survivors_go_on_where_they_were() {
    let took = changes(60, false);
    println!("failover: median {} ms, worst {} ms", took[30], took[59]);
    assert!(took[30] <= 1500 && took[59] <= 3000, "{took:?}");
}

#[test]
fn a_planned_handover_is_a_short_pause() {
    let took = changes(40, true);
    println!("handover: median {} ms, worst {} ms", took[20], took[39]);
    assert!(took[39] <= 300, "{took:?}");
}
