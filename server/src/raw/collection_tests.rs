//! Collections in entries: packed bytes against a vector, and objects that keep their owner.

use super::*;
use crate::types::list::List;
use crate::types::object::Object;
use proptest::collection::vec;
use proptest::prelude::*;

fn table(value: NewValue<'_>) -> (Table, Position) {
    let mut table = Table::default();
    let at = table.insert(3, Entry::new(b"key", value, None, 5));
    (table, at)
}

proptest! {
    #[test]
    fn splicing_does_what_a_vector_does(
        first in vec(any::<u8>(), 0..300),
        steps in vec((any::<usize>(), any::<usize>(), vec(vec(any::<u8>(), 0..90), 0..4), any::<bool>()), 1..30),
    ) {
        let (mut table, at) = table(NewValue::Packed(Kind::SetPacked, &first));
        let (mut bytes, mut model) = (first.clone(), first);
        for (start, end, parts, toggles) in steps {
            let start = start % (model.len() + 1);
            let end = start + end % (model.len() - start + 1).min(100);
            let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            let mut entry = table.get_mut(at);
            entry.packed_mut().splice(start..end, &parts);
            Splice::splice(&mut bytes, start..end, &parts);
            model.splice(start..end, parts.concat());
            if toggles {
                let deadline = entry.view().deadline_ms();
                entry.set_deadline_ms(if deadline.is_none() { Some(77) } else { None });
            }
            let view = table.get(at);
            prop_assert_eq!(view.packed(), &model[..]);
            prop_assert_eq!(&bytes, &model);
            prop_assert_eq!((view.key(), view.kind(), view.access()), (&b"key"[..], Kind::SetPacked, 5));
            prop_assert!(view.size_bytes() >= model.len() + 12);
        }
        let entry = table.remove(at).renamed(b"another key");
        prop_assert_eq!(entry.view().packed(), &model[..]);
        let copy = Entry::duplicate(entry.view(), b"copy", Some(1));
        prop_assert_eq!(copy.view().packed(), &model[..]);
    }
}

#[test]
fn an_object_belongs_to_its_entry() {
    let (mut table, at) = table(NewValue::Object(Box::new(Object::List(List::default()))));
    let address = std::ptr::from_ref(table.get(at).object());
    table.get_mut(at).set_deadline_ms(Some(9));
    assert!(matches!(table.get_mut(at).object_mut(), Object::List(_)));
    assert_eq!(std::ptr::from_ref(table.get(at).object()), address);
    let copy = Entry::duplicate(table.get(at), b"copy", None);
    assert_ne!(std::ptr::from_ref(copy.view().object()), address);
    let old = table.get_mut(at).set_value(NewValue::Int(1));
    assert!(matches!(old, Some(Detached::Object(_))));
    assert_eq!(table.get(at).kind(), Kind::Int);
}

#[test]
#[should_panic(expected = "is not a packed kind")]
fn a_string_is_not_packed() {
    let (mut table, at) = table(NewValue::Bytes(b"text"));
    table.get_mut(at).packed_mut();
}
