//! Bits against a model of one bool each, integers against one of single bits.

use super::field::{Action, Overflow, Step, Type};
use super::{Operation, combine, count, count_range, get, position, set};
use crate::types::tests::traces;
use proptest::prelude::*;

fn bools(bytes: &[u8]) -> Vec<bool> {
    (0..bytes.len() * 8).map(|at| bytes[at / 8] >> (7 - at % 8) & 1 == 1).collect()
}

fn bytes(bools: &[bool]) -> Vec<u8> {
    let byte = |bits: &[bool]| bits.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit));
    bools.chunks(8).map(byte).collect()
}

/// Bytes with long runs, which random ones hardly have.
fn runs() -> impl Strategy<Value = Vec<u8>> {
    let run = (prop_oneof![Just(0), Just(0xff), any::<u8>()], 0_usize..30);
    let runs = prop::collection::vec(run, 0..6);
    runs.prop_map(|runs| runs.into_iter().flat_map(|(byte, n)| vec![byte; n]).collect())
}

#[test]
fn changes_are_logged_as_they_came() {
    for (commands, effects, events) in [
        (
            "setbit k 0 0; setbit k 0 0; setbit k 0 1; setbit k 9 0",
            "setbit k 0 0; setbit k 0 1; setbit k 9 0",
            "new k; setbit k; setbit k; setbit k",
        ),
        ("getbit k 0; bitcount k; bitpos k 1", "", "keymiss k; keymiss k; keymiss k"),
        ("bitfield k get u8 0; bitfield_ro k get u8 0", "", "keymiss k; keymiss k"),
        (
            "bitfield k set u8 0 1 set u8 8 1; bitfield k set u8 0 1; bitfield k incrby u8 0 1",
            "bitfield k set u8 0 1 set u8 8 1; bitfield k incrby u8 0 1",
            "new k; setbit k; setbit k",
        ),
        (
            "bitfield k overflow fail set u2 0 9; bitfield k overflow fail set u2 0 9",
            "bitfield k overflow fail set u2 0 9",
            "new k",
        ),
        (
            "setbit a 0 1; bitop or k a b; bitop or k b; bitop or k b",
            "setbit a 0 1; bitop or k a b; bitop or k b",
            "new a; setbit a; keymiss b; new k; set k; keymiss b; del k; keymiss b",
        ),
    ] {
        assert_eq!(traces(commands), (effects.to_owned(), events.to_owned()), "{commands}");
    }
}

proptest! {
    #[test]
    fn bits_are_read_and_written(mut given in runs(), at in any::<prop::sample::Index>(), bit: bool) {
        given.push(0x5a);
        let mut model = bools(&given);
        let at = at.index(model.len());
        prop_assert_eq!(get(&given, at), model[at]);
        set(&mut given, at, bit);
        model[at] = bit;
        prop_assert_eq!(bytes(&model), given.clone());
        prop_assert!(!get(&given, given.len() * 8));
    }

    #[test]
    fn ranges_are_counted_and_searched(given in runs(), a in 0_usize..1500, b in 0_usize..1500) {
        let model = bools(&given);
        let (a, b) = (a.min(model.len()), b.min(model.len()));
        let range = a.min(b)..a.max(b);
        let inside = &model[range.clone()];
        let ones = inside.iter().filter(|bit| **bit).count() as u64;
        prop_assert_eq!(count_range(&given, range.clone()), ones);
        prop_assert_eq!(count(&given), model.iter().filter(|bit| **bit).count() as u64);
        for wanted in [false, true] {
            let found = inside.iter().position(|bit| *bit == wanted).map(|at| at + range.start);
            prop_assert_eq!(position(&given, range.clone(), wanted), found);
        }
    }

    #[test]
    fn strings_are_combined(given in prop::collection::vec(runs(), 1..5)) {
        let sources: Vec<&[u8]> = given.iter().map(Vec::as_slice).collect();
        let len = sources.iter().map(|source| source.len()).max().unwrap_or(0);
        let at = |source: &[u8], at: usize| source.get(at).copied().unwrap_or(0);
        for (operation, combined) in [
            (Operation::And, (|a, b| a & b) as fn(u8, u8) -> u8),
            (Operation::Or, |a, b| a | b),
            (Operation::Xor, |a, b| a ^ b),
        ] {
            let model: Vec<u8> = (0..len)
                .map(|i| sources.iter().map(|source| at(source, i)).reduce(combined).unwrap_or(0))
                .collect();
            prop_assert_eq!(combine(operation, &sources), model);
        }
        let turned: Vec<u8> = sources[0].iter().map(|byte| !byte).collect();
        prop_assert_eq!(combine(Operation::Not, &sources[..1]), turned);
    }

    #[test]
    fn integers_are_their_bits(
        given in prop::collection::vec(any::<u8>(), 0..12),
        offset in 0_usize..120,
        bits in 1_u32..=64,
        signed: bool,
        value: i64,
    ) {
        let kind = Type { signed, bits: if signed { bits } else { bits.min(63) } };
        let mut model = bools(&given);
        model.resize(200, false);
        let range = offset..offset + kind.bits as usize;
        let raw = |bits: &[bool]| bits.iter().fold(0_u64, |value, bit| value << 1 | u64::from(*bit));
        let fill = 64 - kind.bits;
        let expected = match signed {
            true => (raw(&model[range.clone()]) << fill) as i64 >> fill,
            false => raw(&model[range.clone()]) as i64,
        };
        prop_assert_eq!(kind.read(&given, offset), expected);

        let mut long = bytes(&model);
        kind.write(&mut long, offset, value);
        for (at, bit) in model[range].iter_mut().enumerate() {
            *bit = value >> (kind.bits as usize - 1 - at) & 1 == 1;
        }
        prop_assert_eq!(long, bytes(&model));
    }

    #[test]
    fn sums_wrap_saturate_and_fail(
        bits in 1_u32..=64,
        signed: bool,
        before: i64,
        increment in prop_oneof![-300_i64..300, any::<i64>()],
    ) {
        let kind = Type { signed, bits: if signed { bits } else { bits.min(63) } };
        let mut given = vec![0; 10];
        kind.write(&mut given, 3, before);
        let before = i128::from(kind.read(&given, 3));
        let (min, max) = match signed {
            true => (-(1_i128 << (kind.bits - 1)), (1_i128 << (kind.bits - 1)) - 1),
            false => (0, (1_i128 << kind.bits) - 1),
        };
        let sum = before + i128::from(increment);
        let wrapped = (sum - min).rem_euclid(max - min + 1) + min;
        let fits = (min..=max).contains(&sum).then_some(sum);
        for (overflow, expected) in [
            (Overflow::Wrap, Some(wrapped)),
            (Overflow::Saturate, Some(sum.clamp(min, max))),
            (Overflow::Fail, fits),
        ] {
            let step = Step { action: Action::Add(increment, overflow), kind, offset: 3 };
            let mut bytes = given.clone();
            let outcome = step.run(&mut bytes);
            prop_assert_eq!(outcome.map(|(_, after)| i128::from(after)), expected);
            prop_assert_eq!(i128::from(kind.read(&bytes, 3)), expected.unwrap_or(before));
        }
    }
}
