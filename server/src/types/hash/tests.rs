//! Hashes of both forms, and on the way from one to the other, against a map.

use crate::config::{DirectiveOptions, Settings};
use crate::{Local, Node, Reply};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Bytes that a field and a value may have before the hash becomes a table, where that is tried.
const VALUE_BYTES: u64 = 20;

/// A step of a random history.
#[derive(Clone, Debug)]
enum Step {
    Set(Vec<(Vec<u8>, Vec<u8>)>),
    SetNew(Vec<u8>, Vec<u8>),
    Add(Vec<u8>, i32),
    Remove(Vec<Vec<u8>>),
}

fn field() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => (0..30_i64).prop_map(|number| number.to_string().into_bytes()),
        1 => vec(any::<u8>(), 0..30),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        2 => any::<i64>().prop_map(|number| number.to_string().into_bytes()),
        2 => vec(any::<u8>(), 0..30),
        1 => (0..5000_usize).prop_map(|len| vec![b'x'; len]),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => vec((field(), value()), 1..6).prop_map(Step::Set),
        1 => (field(), value()).prop_map(|(field, value)| Step::SetNew(field, value)),
        1 => (field(), any::<i32>()).prop_map(|(field, by)| Step::Add(field, by)),
        3 => vec(field(), 1..6).prop_map(Step::Remove),
    ]
}

/// A node whose hashes become tables above so many fields, and longer values.
fn node(entries: u64, value_bytes: u64) -> Node {
    let settings = Settings {
        hash_max_listpack_entries: entries,
        hash_max_listpack_value_bytes: value_bytes,
        save: Vec::new(),
        dbfilename: String::new(),
        ..Settings::default()
    };
    Node::builder().settings(settings).threads(1).start().unwrap()
}

fn bytes(reply: &Reply<'_>) -> Vec<u8> {
    match reply {
        Reply::Int(number) => number.to_string().into_bytes(),
        other => other.as_bytes().unwrap_or_else(|| panic!("{other:?} is no string")).to_vec(),
    }
}

fn items(reply: Reply<'static>) -> Vec<Reply<'static>> {
    match reply {
        Reply::Array(items) => items,
        Reply::Map(pairs) => pairs.into_iter().flat_map(|(field, value)| [field, value]).collect(),
        other => panic!("{other:?} has no items"),
    }
}

fn pairs(flat: &[Reply<'static>]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    flat.chunks_exact(2).map(|pair| (bytes(&pair[0]), bytes(&pair[1]))).collect()
}

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// Takes a step on both; the replies have to agree.
fn take(local: &mut Local, model: &mut Model, step: Step) {
    let before = model.len();
    let (args, expected) = match step {
        Step::Set(new) => {
            let mut args = vec![b"HSET".to_vec(), b"h".to_vec()];
            args.extend(new.iter().flat_map(|(field, value)| [field.clone(), value.clone()]));
            model.extend(new);
            (args, (model.len() - before) as i64)
        }
        Step::SetNew(field, value) => {
            let args = vec![b"HSETNX".to_vec(), b"h".to_vec(), field.clone(), value.clone()];
            model.entry(field).or_insert(value);
            (args, (model.len() - before) as i64)
        }
        Step::Add(field, by) => {
            let by_bytes = by.to_string().into_bytes();
            let args = vec![b"HINCRBY".to_vec(), b"h".to_vec(), field.clone(), by_bytes];
            let current = model
                .get(&field)
                .map_or(Some(0), |value| larder_protocol::number::parse_i64(value));
            let Some(sum) = current.and_then(|number| number.checked_add(by.into())) else {
                let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
                assert!(matches!(local.call(&args), Reply::Error(_)));
                return;
            };
            model.insert(field, sum.to_string().into_bytes());
            (args, sum)
        }
        Step::Remove(fields) => {
            let mut args = vec![b"HDEL".to_vec(), b"h".to_vec()];
            args.extend(fields.iter().cloned());
            fields.iter().for_each(|field| drop(model.remove(field)));
            (args, (before - model.len()) as i64)
        }
    };
    let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
    assert!(matches!(local.call(&args), Reply::Int(found) if found == expected));
}

/// Everything that can be read is as in the model.
fn check(local: &mut Local, model: &Model) {
    assert_eq!(bytes(&local.call(&[b"HLEN", b"h"])), model.len().to_string().into_bytes());
    assert_eq!(&pairs(&items(local.call(&[b"HGETALL", b"h"]))), model);
    for (field, value) in model {
        assert_eq!(&bytes(&local.call(&[b"HGET", b"h", field])), value);
        let len = value.len().to_string().into_bytes();
        assert_eq!(bytes(&local.call(&[b"HSTRLEN", b"h", field])), len);
    }
    assert!(matches!(local.call(&[b"HEXISTS", b"h", b"never a field"]), Reply::Int(0)));
    let (mut cursor, mut seen) = (b"0".to_vec(), Model::new());
    loop {
        let page = items(local.call(&[b"HSCAN", b"h", &cursor, b"COUNT", b"3"]));
        cursor = bytes(&page[0]);
        seen.extend(pairs(&items(page[1].clone())));
        if cursor == b"0" {
            break;
        }
    }
    assert_eq!(&seen, model);
}

/// Plays a history on a node of these thresholds; `form` is the encoding that a hash must have,
/// where it can have but one.
fn behaves(entries: u64, value_bytes: u64, steps: &[Step], form: Option<&str>) {
    let node = node(entries, value_bytes);
    let mut local = node.local();
    let mut model = Model::new();
    for step in steps {
        take(&mut local, &mut model, step.clone());
        assert_eq!(matches!(local.call(&[b"EXISTS", b"h"]), Reply::Int(1)), !model.is_empty());
    }
    check(&mut local, &model);
    if let (Some(form), false) = (form, model.is_empty()) {
        assert_eq!(bytes(&local.call(&[b"OBJECT", b"ENCODING", b"h"])), form.as_bytes());
    }
    local.call(&[b"COPY", b"h", b"copy"]);
    local.call(&[b"DEL", b"h"]);
    local.call(&[b"RENAME", b"copy", b"h"]);
    check(&mut local, &model);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn both_forms_behave_as_one(steps in vec(step(), 1..60)) {
        behaves(1 << 20, 1 << 20, &steps, Some("listpack"));
        behaves(0, 0, &steps, Some("hashtable"));
        behaves(8, VALUE_BYTES, &steps, None);
    }
}
