//! The encodings against each other, the hash against known values, foreign bytes against panics.

use super::{
    Encoding, HEADER_BYTES, REGISTERS, add, cardinality, count, dense, empty, hash, make_dense,
    merge, set_cardinality, sparse,
};
use crate::types::tests::traces;
use proptest::prelude::*;

const MAX_BYTES: u64 = 3000;

/// Elements, and the register that redis-server 7.2 raises for each, and to what.
const VECTORS: [(&str, (usize, u8)); 11] = [
    ("", (5938, 2)),
    ("a", (12711, 2)),
    ("ab", (719, 1)),
    ("abcdefg", (5634, 2)),
    ("abcdefgh", (1383, 1)),
    ("abcdefghi", (6903, 1)),
    ("foo", (7348, 5)),
    ("bar", (10007, 1)),
    ("0", (13225, 4)),
    ("12345", (14704, 1)),
    ("the quick brown fox jumps over the lazy dog", (5508, 3)),
];

fn of(elements: impl IntoIterator<Item = u32>, max_bytes: u64) -> Vec<u8> {
    let mut hll = empty();
    for element in elements {
        add(&mut hll, element.to_string().as_bytes(), max_bytes).expect("a sound one");
    }
    hll
}

fn registers(hll: &[u8]) -> [u8; REGISTERS] {
    let mut registers = [0; REGISTERS];
    merge(&mut registers, hll, false).expect("a sound one");
    registers
}

/// A header and whatever follows.
fn foreign() -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop_oneof![Just(0x3f), Just(0x7f), Just(0xff), Just(0x80), any::<u8>()];
    (0_u8..3, prop::collection::vec(opcode, 0..60), any::<u64>()).prop_map(
        |(encoding, runs, cardinality)| {
            let mut hll = empty();
            hll.truncate(HEADER_BYTES);
            hll[4] = encoding;
            set_cardinality(&mut hll, cardinality);
            hll.extend(runs);
            hll
        },
    )
}

proptest! {
    #[test]
    fn both_encodings_hold_the_same(elements in prop::collection::vec(0_u32..2000, 0..1500)) {
        let sparse = of(elements.iter().copied(), u64::MAX);
        let mut dense = empty();
        make_dense(&mut dense).expect("a sound one");
        for element in &elements {
            add(&mut dense, element.to_string().as_bytes(), MAX_BYTES).expect("a sound one");
        }
        prop_assert_eq!(Encoding::of(&sparse), Ok(Encoding::Sparse));
        prop_assert_eq!(registers(&sparse), registers(&dense));
        prop_assert_eq!(count(&sparse), count(&dense));
        let total: usize = sparse::runs(&sparse[HEADER_BYTES..]).map(|run| run.len).sum();
        prop_assert_eq!(total, REGISTERS);
        let mut made = sparse;
        make_dense(&mut made).expect("a sound one");
        prop_assert_eq!(&made[HEADER_BYTES..], &dense[HEADER_BYTES..]);
    }

    #[test]
    fn foreign_bytes_are_errors_at_worst(hll in foreign(), element: u64, max in 0_u64..200) {
        let merged = merge(&mut [0; REGISTERS], &hll, false);
        if count(&hll).is_ok() {
            prop_assert_eq!(merged, Ok(()));
        }
        for step in 0..20 {
            let mut changed = hll.clone();
            let _ = add(&mut changed, &(element ^ step).to_le_bytes(), max);
            let _ = count(&changed);
            let _ = make_dense(&mut changed);
        }
    }
}

#[test]
fn registers_keep_to_their_six_bits() {
    let mut hll = empty();
    make_dense(&mut hll).expect("a sound one");
    for (index, rank) in [(0, 63), (1, 1), (2, 33), (3, 51), (16380, 7), (16383, 63)] {
        assert!(dense::raise(&mut hll[HEADER_BYTES..], index, rank));
        assert!(!dense::raise(&mut hll[HEADER_BYTES..], index, rank));
    }
    let registers = dense::registers(&hll[HEADER_BYTES..]);
    assert_eq!(registers[..5], [63, 1, 33, 51, 0]);
    assert_eq!(registers[16379..], [0, 7, 0, 0, 63]);
    assert_eq!(hll.len(), HEADER_BYTES + dense::BYTES);
}

#[test]
fn estimates_are_close() {
    for (elements, error) in [(0, 0), (1, 0), (100, 2), (10_000, 200), (200_000, 4000)] {
        let hll = of(0..elements, MAX_BYTES);
        let estimate = count(&hll).expect("a sound one");
        assert!(estimate.abs_diff(elements.into()) <= error, "{elements}: {estimate}");
    }
}

#[test]
fn registers_follow_from_murmur_hash() {
    for (element, register) in VECTORS {
        assert_eq!(hash::register(element.as_bytes()), register, "{element}");
    }
}

#[test]
fn an_out_of_date_cardinality_is_none() {
    let mut hll = empty();
    assert_eq!(cardinality(&hll), Some(0));
    set_cardinality(&mut hll, 0x0102_0304);
    assert_eq!(cardinality(&hll), Some(0x0102_0304));
    add(&mut hll, b"a", MAX_BYTES).expect("a sound one");
    assert_eq!(cardinality(&hll), None);
}

#[test]
fn a_cardinality_that_was_computed_is_logged() {
    for (commands, effects, events) in [
        (
            "pfadd k; pfadd k; pfadd k a b; pfadd k a",
            "pfadd k; pfadd k a b",
            "new k; pfadd k; pfadd k",
        ),
        ("pfadd k a; pfcount k; pfcount k", "pfadd k a; pfcount k", "new k; pfadd k"),
        ("pfadd k a; pfcount k l", "pfadd k a", "new k; pfadd k; keymiss l"),
        ("pfcount k", "", "keymiss k"),
        (
            "pfmerge k l; pfmerge k l",
            "pfmerge k l; pfmerge k l",
            "keymiss k; keymiss l; new k; pfadd k; keymiss l; pfadd k",
        ),
        (
            "pfadd k a; pfdebug encoding k; pfdebug todense k; pfdebug getreg k",
            "pfadd k a; pfdebug todense k",
            "new k; pfadd k",
        ),
    ] {
        assert_eq!(traces(commands), (effects.to_owned(), events.to_owned()), "{commands}");
    }
}
