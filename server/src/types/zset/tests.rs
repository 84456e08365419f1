//! Sorted sets of both forms against a model.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A step of a random history.
#[derive(Clone, Debug)]
enum Step {
    Set(Vec<u8>, f64),
    Remove(Vec<u8>),
    RemoveRange(usize, usize),
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        (0..400_u32).prop_map(|number| number.to_string().into_bytes()),
        vec(any::<u8>(), 0..4),
    ]
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-8..8_i32).prop_map(f64::from),
        2 => -1e6..1e6_f64,
        1 => prop_oneof![Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(1e300), Just(5e-324)],
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (name(), score()).prop_map(|(name, score)| Step::Set(name, score)),
        4 => name().prop_map(Step::Remove),
        1 => (any::<usize>(), 0..300_usize).prop_map(|(from, len)| Step::RemoveRange(from, len)),
    ]
}

/// The members in order.
fn sorted(model: &BTreeMap<Vec<u8>, f64>) -> Vec<(Vec<u8>, f64)> {
    let mut all: Vec<_> = model.iter().map(|(name, score)| (name.clone(), *score)).collect();
    all.sort_by(|(name, score), (other, other_score)| {
        score.total_cmp(other_score).then_with(|| name.cmp(other))
    });
    all
}

fn listed(zset: ZsetRef<'_>, ranks: Range<usize>, backwards: bool) -> Vec<(Vec<u8>, f64)> {
    let mut all = Vec::new();
    zset.each(ranks, backwards, |name, score| all.push((name.bytes().into_owned(), score)));
    all
}

/// Everything that can be read is as in the model.
fn check(zset: ZsetRef<'_>, model: &BTreeMap<Vec<u8>, f64>) {
    let expected = sorted(model);
    let len = expected.len();
    assert_eq!(zset.len(), len);
    assert_eq!(listed(zset, 0..len, false), expected);
    let mut reversed = listed(zset, len / 3..len, true);
    reversed.reverse();
    assert_eq!(reversed, expected[len / 3..]);
    for (rank, (name, score)) in expected.iter().enumerate() {
        assert_eq!(zset.rank(name), Some((rank, *score)));
        let below = zset.partition(|other, _| other < *score);
        assert_eq!(below, expected.iter().filter(|(_, other)| other < score).count());
    }
    assert_eq!(zset.score(b"never a member"), None);
}

fn set_packed(store: &mut Vec<u8>, name: &[u8], score: f64) {
    match find_packed(Packed::new(store), name) {
        Some((at, _)) => update_packed(store, at, name, score),
        None => insert_packed(store, name, score),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn both_forms_behave_as_one(steps in vec(step(), 1..120)) {
        let (mut store, mut zset) = (packed::EMPTY.to_vec(), Zset::default());
        let mut model = BTreeMap::new();
        for step in steps {
            match step {
                Step::Set(name, score) => {
                    set_packed(&mut store, &name, score);
                    zset.upsert(&name, |_| Some(score));
                    model.insert(name, score);
                }
                Step::Remove(name) => {
                    if let Some((at, _)) = find_packed(Packed::new(&store), &name) {
                        packed::remove(&mut store, at, 2);
                    }
                    prop_assert_eq!(zset.remove(&name), model.remove(&name));
                }
                Step::RemoveRange(from, len) => {
                    let from = from % (model.len() + 1);
                    let ranks = from..(from + len).min(model.len());
                    for (name, _) in &sorted(&model)[ranks.clone()] {
                        model.remove(name);
                    }
                    if let Some(at) = Packed::new(&store).at(2 * from) {
                        packed::remove(&mut store, at, 2 * ranks.len());
                    }
                    zset.remove_range(ranks);
                }
            }
        }
        check(ZsetRef::Packed(Packed::new(&store)), &model);
        check(ZsetRef::Large(&zset), &model);
        check(ZsetRef::Large(&zset.clone()), &model);
    }

    #[test]
    fn a_large_one_splits_and_joins_its_chunks(
        steps in vec(step(), 1..40), base in 500..3000_usize, in_order in any::<bool>()
    ) {
        let (mut zset, mut model) = (Zset::default(), BTreeMap::new());
        for index in 0..base {
            let place = if in_order { index } else { index * 7919 % base };
            let name = format!("m{place:05}").into_bytes();
            let score = (place / 10) as f64;
            zset.upsert(&name, |_| Some(score));
            model.insert(name, score);
        }
        check(ZsetRef::Large(&zset), &model);
        for step in steps {
            match step {
                Step::Set(name, score) => {
                    zset.upsert(&name, |_| Some(score));
                    model.insert(name, score);
                }
                Step::Remove(name) => {
                    prop_assert_eq!(zset.remove(&name), model.remove(&name));
                }
                Step::RemoveRange(from, len) => {
                    let from = from % (model.len() + 1);
                    let ranks = from..(from + 5 * len).min(model.len());
                    for (name, _) in &sorted(&model)[ranks.clone()] {
                        model.remove(name);
                    }
                    zset.remove_range(ranks);
                }
            }
        }
        check(ZsetRef::Large(&zset), &model);
        zset.remove_range(0..zset.len());
        check(ZsetRef::Large(&zset), &BTreeMap::new());
    }
}

#[test]
fn a_scan_shows_what_stays_once() {
    let mut zset = Zset::default();
    for index in 0..1000_u32 {
        zset.upsert(&index.to_be_bytes(), |_| Some(f64::from(index)));
    }
    let (mut seen, mut cursor, mut step) = (BTreeMap::new(), 0, 0_u32);
    loop {
        cursor = zset.scan(cursor, 10, |name, _| {
            *seen.entry(name.to_vec()).or_insert(0) += 1;
        });
        // Odd members come and go; even ones only change their scores.
        zset.remove(&(step * 2 + 1).to_be_bytes());
        zset.upsert(&(step * 2).to_be_bytes(), |score| score.map(|score| score + 500.0));
        zset.upsert(&(step + 5000).to_be_bytes(), |_| Some(1.0));
        step += 1;
        if cursor == 0 {
            break;
        }
    }
    for index in (0..1000_u32).step_by(2) {
        assert_eq!(seen.get(index.to_be_bytes().as_slice()), Some(&1), "{index}");
    }
}

#[test]
fn scores_are_packed_as_text() {
    for (score, text) in
        [(0.0, "0"), (-0.0, "0"), (1.5, "1.5"), (1e19, "1e+19"), (f64::INFINITY, "inf")]
    {
        assert_eq!(text_of(score), text.as_bytes());
        assert_eq!(score_of(Item::of(&text_of(score))), score);
    }
}

#[test]
fn a_size_is_that_of_what_is_held() {
    let mut zset = Zset::default();
    let empty = zset.size_bytes();
    for index in 0..10_000_u32 {
        zset.upsert(index.to_string().as_bytes(), |_| Some(f64::from(index % 97)));
    }
    let full = zset.size_bytes();
    assert!(full > empty + 10_000 * (size_of::<f64>() * 2 + 4), "{full}");
    assert!(full < empty + 10_000 * 100, "{full}");
    zset.remove_range(0..10_000);
    let freed = full - zset.size_bytes();
    assert!(freed > 10_000 * size_of::<f64>(), "{freed}");
}
