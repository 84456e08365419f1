//! Who counts, and when it may be asked that somebody else does.

use super::*;
use crate::group::config::{Member, Zone};

const LAG: u64 = 1_000_000_000;

fn id(index: u16) -> NodeId {
    NodeId(format!("s-00{index}"))
}

fn set(all: &[u16]) -> Set {
    all.iter().map(|index| (id(*index), Incarnation(u128::from(*index)))).collect()
}

fn config(in_sync: &[u16]) -> GroupConfig {
    let member = |index: u16| Member {
        id: id(index),
        zone: Zone("a".to_owned()),
        client_address: Some(([127, 0, 0, 1], 7000 + index).into()),
        group_address: ([127, 0, 0, 1], 8000 + index).into(),
    };
    GroupConfig {
        primary: Some(id(1)),
        members: (1..=3).map(|index| (id(index), member(index))).collect(),
        in_sync: set(in_sync),
        ..GroupConfig::default()
    }
}

fn follower(index: u16, acked_offset: u64) -> Follower {
    let incarnation = Incarnation(u128::from(index));
    Follower { id: id(index), incarnation, acked_offset, silent_ms: 0 }
}

fn step(
    tracker: &mut InSync,
    config: &GroupConfig,
    followers: &[Follower],
    offset: u64,
    at_ms: u64,
) -> Step {
    let me = id(1);
    let now_nanos = at_ms * 1_000_000;
    let (lag_nanos, awaits_acks) = (LAG, true);
    let me = &me;
    tracker.step(&Look { config, me, followers, offset, now_nanos, lag_nanos, awaits_acks })
}

fn counts(step: Step) -> usize {
    match step {
        Step::Count(sets) => sets.0.len(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_that_caught_up_is_taken_in_once_it_has_what_was_acknowledged() {
    let mut tracker = InSync::default();
    let config = config(&[1]);
    assert_eq!(step(&mut tracker, &config, &[], 100, 0), Step::Rest);
    assert_eq!(step(&mut tracker, &config, &[follower(2, 150)], 200, 500), Step::Rest);
    assert_eq!(counts(step(&mut tracker, &config, &[follower(2, 200)], 220, 505)), 3);
    let behind = step(&mut tracker, &config, &[follower(2, 210)], 250, 510);
    assert_eq!(behind, Step::Rest, "of two, both are the majority");
    let asked = Step::Ask(set(&[1, 2]));
    assert_eq!(step(&mut tracker, &config, &[follower(2, 220)], 300, 520), asked);
    assert_eq!(step(&mut tracker, &config, &[follower(2, 250)], 300, 530), asked, "and again");
    let agreed = GroupConfig { revision: 1, ..super::tests::config(&[1, 2]) };
    assert_eq!(counts(step(&mut tracker, &agreed, &[follower(2, 250)], 300, 540)), 2);
    assert!(!tracker.is_changing());
}

#[test]
fn one_that_is_silent_or_late_is_let_go() {
    for silent in [true, false] {
        let mut tracker = InSync::default();
        let config = config(&[1, 2, 3]);
        let mut last = Step::Rest;
        for at_ms in (0..=2500).step_by(100) {
            let offset = 100 + at_ms;
            let mut late = follower(3, if silent { offset } else { 100 });
            late.silent_ms = if silent { at_ms } else { 0 };
            last = step(&mut tracker, &config, &[follower(2, offset), late], offset, at_ms);
            assert!(at_ms > 900 || last == Step::Rest, "{at_ms}: {last:?}");
        }
        assert_eq!(last, Step::Ask(set(&[1, 2])));
    }
}

#[test]
fn who_is_let_go_leaves_no_write_behind_that_only_it_had() {
    let mut tracker = InSync::default();
    let config = config(&[1, 2, 3]);
    // 2 is half a second late; 3 has everything, and then it is silent.
    let (mut wary, mut asked) = (Vec::new(), Vec::new());
    for at_ms in (0..=4000u64).step_by(100) {
        let mut gone = follower(3, at_ms.min(1000));
        gone.silent_ms = at_ms.saturating_sub(1000);
        let followers = [follower(2, at_ms.saturating_sub(500)), gone];
        match step(&mut tracker, &config, &followers, at_ms, at_ms) {
            Step::Rest => {}
            Step::Count(_) => wary.push(at_ms),
            Step::Ask(to) => {
                assert_eq!(to, set(&[1, 2]));
                asked.push(at_ms);
            }
        }
    }
    assert_eq!(wary.len(), 1, "{wary:?}");
    assert_eq!(asked[0], wary[0] + 500, "2 has then what was written until both counted");
}

#[test]
fn another_life_is_another_data_set() {
    let mut tracker = InSync::default();
    let config = config(&[1, 2]);
    let reborn = Follower { incarnation: Incarnation(77), ..follower(2, 100) };
    step(&mut tracker, &config, std::slice::from_ref(&reborn), 100, 0);
    let Step::Ask(to) = step(&mut tracker, &config, &[reborn], 100, 10) else {
        panic!("nothing is asked")
    };
    assert_eq!(to[&id(2)], Incarnation(77));
}

#[test]
fn the_set_is_no_smaller_than_what_writes_wait_for() {
    let config = config(&[1, 2, 3]);
    for awaits_acks in [true, false] {
        let mut tracker = InSync::default();
        let mut last = Step::Rest;
        for at_ms in (0..=2500).step_by(100) {
            let (now_nanos, me) = (at_ms * 1_000_000, id(1));
            let (config, me, followers, lag_nanos) = (&config, &me, &[], LAG);
            let offset = 100;
            last = tracker.step(&Look {
                config,
                me,
                followers,
                offset,
                now_nanos,
                lag_nanos,
                awaits_acks,
            });
        }
        let expected = if awaits_acks { Step::Rest } else { Step::Ask(set(&[1])) };
        assert_eq!(last, expected);
    }
}

#[test]
fn another_life_comes_in_when_it_has_what_there_was_when_it_came() {
    let mut tracker = InSync::default();
    let config = config(&[1, 2]);
    let reborn =
        |acked_offset| Follower { incarnation: Incarnation(77), ..follower(2, acked_offset) };
    for (at_ms, acked_offset, is_asked) in [(0, 60, false), (600, 99, false), (610, 100, true)] {
        let offset = 100 + at_ms;
        step(&mut tracker, &config, &[reborn(acked_offset)], offset, at_ms);
        assert_eq!(tracker.is_changing(), is_asked, "{acked_offset}");
    }
}

#[test]
fn no_write_has_a_single_copy() {
    let sets = ack_sets(&config(&[1]), None).0;
    let one = [(id(1), Some(Incarnation(1)))].into();
    assert_eq!(sets, [one, [1, 2, 3].map(|index| (id(index), None)).into()]);
}
