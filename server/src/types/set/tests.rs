//! Sets of every form against the standard library's.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeSet;

const THRESHOLDS: Thresholds = Thresholds { ints: 12, packed: 8, packed_bytes: 10 };

fn member() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => (-20..20_i64).prop_map(|number| number.to_string().into_bytes()),
        1 => any::<i64>().prop_map(|number| number.to_string().into_bytes()),
        1 => vec(any::<u8>(), 0..14),
    ]
}

proptest! {
    #[test]
    fn a_set_behaves_as_one(members in vec(member(), 1..40)) {
        let mut value = SetValue::beginning(&members[0], 1, THRESHOLDS);
        let mut model = BTreeSet::new();
        for member in &members {
            prop_assert_eq!(value.add(member, THRESHOLDS), model.insert(member.clone()));
        }
        let set = value.as_ref();
        prop_assert_eq!(set.len(), model.len());
        prop_assert!(members.iter().all(|member| set.contains(member)));
        prop_assert!(!set.contains(b"never a member"));
        let mut all = BTreeSet::new();
        set.each(|member| { all.insert(member.bytes().into_owned()); });
        prop_assert_eq!(&all, &model);
        let is_number = |member: &Vec<u8>| Item::of(member).number().is_some();
        let numbers = model.iter().all(is_number);
        let expected = if numbers && model.len() <= THRESHOLDS.ints { "intset" }
            else if !numbers && model.len() <= THRESHOLDS.packed
                && model.iter().all(|member| member.len() <= THRESHOLDS.packed_bytes) { "listpack" }
            else { "hashtable" };
        let found = match &value {
            SetValue::Ints(_) => "intset",
            SetValue::Packed(_) => "listpack",
            SetValue::Table(_) => "hashtable",
        };
        // A set that began with strings never becomes one of integers.
        if is_number(&members[0]) || expected != "intset" {
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn integers_stay_sorted(numbers in vec(any::<i64>().prop_map(|n| n >> (n & 63)), 0..50)) {
        let mut bytes = ints::EMPTY.to_vec();
        let mut model = BTreeSet::new();
        for number in &numbers {
            prop_assert_eq!(ints::add(&mut bytes, *number), model.insert(*number));
        }
        prop_assert!(Ints::new(&bytes).iter().eq(model.iter().copied()));
        for number in &numbers {
            if let Ok(index) = Ints::new(&bytes).search(*number) {
                ints::remove_at(&mut bytes, index);
                prop_assert!(!Ints::new(&bytes).contains(*number));
            }
        }
        prop_assert_eq!(Ints::new(&bytes).len(), 0);
    }
}
