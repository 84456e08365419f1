//! Lists of either form against a plain vector.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::VecDeque;

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        (0..300_i64).prop_map(|number| number.to_string().into_bytes()),
        vec(any::<u8>(), 0..12),
        (0..9000_usize).prop_map(|len| vec![b'x'; len]),
    ]
}

fn all(list: &List) -> Vec<Vec<u8>> {
    list.iter_from(0).map(|item| item.bytes().into_owned()).collect()
}

proptest! {
    #[test]
    fn a_quicklist_behaves_as_a_sequence(
        fill in prop_oneof![Just(-2), Just(-1), Just(1), Just(4), Just(128)],
        steps in vec((0..7_u8, any::<usize>(), value()), 1..120),
    ) {
        let fill = Fill(fill);
        let (mut list, mut model) = (List::default(), VecDeque::<Vec<u8>>::new());
        for (step, index, value) in steps {
            let index = index % (model.len() + 1);
            match step {
                0 | 1 => {
                    list.push(End::Right, &value, fill);
                    model.push_back(value);
                }
                2 => {
                    list.push(End::Left, &value, fill);
                    model.push_front(value);
                }
                3 => {
                    list.insert(index, &value, fill);
                    model.insert(index, value);
                }
                4 => {
                    let end = (index + 1 + value.len() % 50).min(model.len());
                    list.remove_range(index..end);
                    model.drain(index..end);
                }
                5 => {
                    let replaced = list.replace(index, &value, fill);
                    prop_assert_eq!(replaced, index < model.len());
                    if replaced {
                        model[index] = value;
                    }
                }
                _ => {
                    let removed = list.remove_equal(&value, 2, End::Right);
                    for _ in 0..removed {
                        let at = model.iter().rposition(|other| *other == value);
                        model.remove(at.expect("as many as the list removed"));
                    }
                    prop_assert!(removed == 2 || !model.contains(&value));
                }
            }
            prop_assert_eq!(list.len(), model.len());
            prop_assert_eq!(all(&list), Vec::from(model.clone()));
            prop_assert_eq!(list.get(index).map(|item| item.bytes().into_owned()), model.get(index).cloned());
            let back: Vec<_> = list.iter_back().map(|item| item.bytes().into_owned()).collect();
            prop_assert!(back.iter().eq(model.iter().rev()));
        }
        list.remove_range(0..model.len());
        prop_assert_eq!((list.len(), list.nodes()), (0, 0));
    }
}

#[test]
fn fills_are_those_of_redis() {
    assert!(!Fill(-2).is_exceeded(8192, 100_000) && Fill(-2).is_exceeded(8193, 1));
    assert!(!Fill(-5).is_exceeded(65536, 1) && Fill(i32::MIN).is_exceeded(65537, 1));
    assert!(!Fill(3).is_exceeded(8192, 3) && Fill(3).is_exceeded(10, 4));
    assert!(Fill(3).is_exceeded(8193, 1) && !Fill(0).is_exceeded(10, 1));
}
