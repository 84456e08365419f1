//! Members of one and of many tables against the standard library's map.

use super::*;
use std::collections::{HashMap, HashSet};

fn name(number: usize) -> Vec<u8> {
    format!("member:{number}").into_bytes()
}

fn filled(count: usize) -> Members {
    let mut members = Members::default();
    for number in 0..count {
        members.insert(&name(number), NewValue::Int(number as i64), None);
    }
    members
}

/// The sums that are kept are those of what is there.
fn audit(members: &Members) {
    let entries: usize = members.iter().map(EntryRef::size_bytes).sum();
    let tables: usize = members.tables.iter().map(|part| part.table.size_bytes()).sum();
    assert_eq!((members.entry_bytes, members.table_bytes), (entries, tables));
    assert_eq!(members.iter().count(), members.len());
    assert_eq!(members.tables.iter().map(|part| part.table.len()).sum::<usize>(), members.len());
    let mut shares = HashMap::<usize, usize>::new();
    for place in &members.directory {
        *shares.entry(*place as usize).or_default() += 1;
    }
    for (table, part) in members.tables.iter().enumerate().filter(|_| !members.directory.is_empty())
    {
        assert_eq!(shares[&table], members.directory.len() >> part.depth);
        assert!(part.table.len() <= SPLIT);
    }
}

#[test]
fn what_was_added_is_found_through_all_splits() {
    let count = 20 * SPLIT;
    let mut members = filled(count);
    audit(&members);
    assert!(members.tables.len() > 16);
    for number in 0..count {
        assert!(members.contains(&name(number)), "{number}");
    }
    assert!(!members.contains(b"nobody"));
    audit(&members.clone());
    for number in (0..count).filter(|number| number % 3 != 0) {
        assert!(members.remove(&name(number)).is_some(), "{number}");
    }
    audit(&members);
    for number in 0..count {
        assert_eq!(members.contains(&name(number)), number % 3 == 0, "{number}");
    }
    for number in (0..count).step_by(3) {
        let at = members.position(&name(number)).expect("it stayed");
        members.edit(at, |entry| entry.set_value(NewValue::Bytes(b"a longer value than before")));
    }
    audit(&members);
}

#[test]
fn members_are_found_by_the_first_bits_of_their_hash() {
    for count in [10, 5 * SPLIT] {
        let members = filled(count);
        for number in 0..count {
            let member = name(number);
            let found = members.find_tag(tag_of(&member), |entry| entry.key() == member);
            assert_eq!(members.get(found.expect("it is there")).key(), member);
        }
        assert!(members.find_tag(0, |entry| entry.key() == b"nobody").is_none());
    }
}

#[test]
fn a_scan_shows_what_stays_while_tables_split() {
    for (count, added_per_step) in [(100, 100), (3 * SPLIT, 200), (3 * SPLIT, 0)] {
        let mut members = filled(count);
        let (mut seen, mut cursor, mut next) = (HashSet::new(), 0, count);
        loop {
            cursor = members.scan(cursor, 10, |entry| {
                seen.insert(entry.key().to_vec());
            });
            if cursor == 0 {
                break;
            }
            for number in next..(next + added_per_step).min(12 * SPLIT) {
                members.insert(&name(number), NewValue::Int(0), None);
            }
            next += added_per_step;
        }
        assert!((0..count).all(|number| seen.contains(&name(number))), "{count}");
        if added_per_step == 0 {
            assert_eq!(seen.len(), count);
        }
    }
}

#[test]
fn any_cursor_ends() {
    let members = filled(3 * SPLIT);
    for cursor in [1, u64::MAX, 1 << CURSOR_BITS, (1 << CURSOR_BITS) - 1, 1 << 39] {
        let (mut cursor, mut steps) = (cursor, 0);
        while cursor != 0 {
            cursor = members.scan(cursor, 100, |_| {});
            steps += 1;
            assert!(steps < 10_000);
        }
    }
    assert_eq!(Members::default().scan(0, 10, |_| panic!("nobody is there")), 0);
}

#[test]
fn removal_in_the_order_of_a_scan_stays_cheap() {
    // What is left crowds one end of each table: this took minutes where tables shrank all the same.
    let mut members = filled(30 * SPLIT);
    let mut cursor = 0;
    loop {
        let mut found = Vec::new();
        cursor = members.scan(cursor, 100, |entry| found.push(entry.key().to_vec()));
        for member in found {
            members.remove(&member);
        }
        if cursor == 0 {
            break;
        }
    }
    assert!(members.is_empty());
    audit(&members);
}

#[test]
fn draws_are_even() {
    let mut rng = fastrand::Rng::with_seed(7);
    for left in [2 * SPLIT, 40] {
        let mut members = filled(4 * SPLIT);
        for number in left..4 * SPLIT {
            members.remove(&name(number));
        }
        let draws = left * 50;
        let mut drawn = HashMap::<Vec<u8>, usize>::new();
        for _ in 0..draws {
            let member = members.random(&mut rng).expect("some are there").key().to_vec();
            *drawn.entry(member).or_default() += 1;
        }
        assert_eq!(drawn.len(), left);
        // 50 of each on average; a standard deviation is 7.
        assert!(drawn.values().all(|times| (10..110).contains(times)), "{left}");
    }
}
