//! Streams against a plain map, their nodes against listpacks, their groups against two maps.

use super::group::{Delivery, Pending};
use super::*;
use crate::types::packed::{self, Packed};
use crate::types::tests::traces;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;

type Parts = Vec<Vec<u8>>;
type Model = BTreeMap<StreamId, Parts>;

const USUAL: NodeLimits = NodeLimits { bytes: 4096, entries: 100 };

fn id(ms: u64, seq: u64) -> StreamId {
    StreamId { ms, seq }
}

fn append(stream: &mut Stream, id: StreamId, parts: &[Vec<u8>], limits: NodeLimits) -> bool {
    let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    stream.append(id, Args::from_slices(&slices), limits).is_ok()
}

fn parts_of(entry: &Entry<'_>) -> Parts {
    entry.items().map(|item| item.bytes().into_owned()).collect()
}

fn all(stream: &Stream) -> Vec<(StreamId, Parts)> {
    stream.iter().map(|entry| (entry.id, parts_of(&entry))).collect()
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..8),
        any::<i64>().prop_map(|number| number.to_string().into_bytes()),
        (0..200_i64).prop_map(|number| number.to_string().into_bytes()),
        (0..300_usize).prop_map(|len| vec![b'x'; len]),
    ]
}

/// Mostly the same fields, so that both forms of an entry are met.
fn parts() -> impl Strategy<Value = Parts> {
    prop_oneof![
        3 => vec(value(), 2).prop_map(|values| {
            vec![b"field".to_vec(), values[0].clone(), b"17".to_vec(), values[1].clone()]
        }),
        1 => vec((value(), value()), 1..4)
            .prop_map(|pairs| pairs.into_iter().flat_map(|pair| [pair.0, pair.1]).collect()),
    ]
}

fn limits() -> impl Strategy<Value = NodeLimits> {
    let bytes = prop_oneof![Just(0), Just(200), Just(4096)];
    let entries = prop_oneof![Just(0), Just(1), Just(3), Just(100)];
    (bytes, entries).prop_map(|(bytes, entries)| NodeLimits { bytes, entries })
}

/// What must hold of a stream whatever was done to it.
fn check(stream: &Stream) -> Result<(), TestCaseError> {
    let heap_bytes: usize = stream.nodes.iter().map(Node::heap_bytes).sum();
    prop_assert_eq!(stream.heap_bytes, heap_bytes);
    prop_assert_eq!(stream.hollow, stream.nodes.iter().filter(|node| node.is_hollow()).count());
    prop_assert!(stream.hollow <= stream.nodes.len() / 2);
    prop_assert!(!stream.nodes.front().is_some_and(Node::is_hollow));
    prop_assert!(!stream.nodes.back().is_some_and(Node::is_hollow));
    let first = stream.iter().next().map_or(StreamId::MIN, |entry| entry.id);
    prop_assert_eq!(stream.marks.first_id, first);
    prop_assert_eq!(stream.len(), stream.iter().count());
    for node in &stream.nodes {
        let live = node.entries().filter(|entry| !entry.is_deleted()).count();
        prop_assert_eq!(node.live as usize, live);
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_stream_behaves_as_a_map(
        limits in limits(),
        steps in vec((0..8_u8, any::<(u16, u16)>(), parts()), 1..150),
    ) {
        let (mut stream, mut model) = (Stream::default(), Model::new());
        for (step, (a, b), parts) in steps {
            // Times go on a little or a lot, and numbers begin anew or not.
            let last = stream.marks.last_id;
            let ms = last.ms + u64::from(a % 3) * u64::from(b);
            let seq = if ms == last.ms { last.seq + 1 + u64::from(b) } else { u64::from(a) };
            let next = id(ms, seq);
            let known: Vec<StreamId> = model.keys().copied().collect();
            let some = |number: u16| known.get(usize::from(number) % known.len().max(1)).copied();
            match step {
                0..=3 => {
                    prop_assert!(append(&mut stream, next, &parts, limits));
                    prop_assert!(!append(&mut stream, next, &parts, limits));
                    model.insert(next, parts);
                }
                4 | 5 => {
                    let at = some(a).unwrap_or(next);
                    prop_assert_eq!(stream.delete(at), model.remove(&at).is_some());
                    prop_assert!(!stream.delete(at));
                }
                6 => {
                    let keep = Keep::Newest(u64::from(a % 20));
                    let gone = stream.trim(Trim { keep, is_approximate: false, limit: 0 });
                    let surplus = model.len().saturating_sub(usize::from(a % 20));
                    prop_assert_eq!(gone as usize, surplus);
                    (0..surplus).for_each(|_| drop(model.pop_first()));
                }
                _ => {
                    let at = some(a % 8).unwrap_or(next);
                    let (is_approximate, limit) = (b % 2 == 0, u64::from(b % 5));
                    let keep = Keep::From(at);
                    let gone = stream.trim(Trim { keep, is_approximate, limit });
                    let kept = stream.iter().next().map(|entry| entry.id);
                    let left = model.split_off(&kept.unwrap_or(StreamId::MAX));
                    prop_assert_eq!(gone as usize, model.len());
                    prop_assert!(model.keys().all(|id| *id < at));
                    prop_assert!(is_approximate || limit > 0 || left.keys().all(|id| *id >= at));
                    model = left;
                }
            }
            check(&stream)?;
            let (start, end) = (some(a).unwrap_or(next), some(b).unwrap_or(StreamId::MAX));
            let expected: Vec<_> = if start <= end {
                model.range(start..=end).map(|(id, parts)| (*id, parts.clone())).collect()
            } else {
                Vec::new()
            };
            let range = |entry: Entry<'_>| (entry.id, parts_of(&entry));
            let there: Vec<_> = stream.range(start, end).map(range).collect();
            prop_assert_eq!(there, expected.clone());
            let back: Vec<_> = stream.range(start, end).rev().map(range).collect();
            prop_assert!(back.iter().eq(expected.iter().rev()));
            prop_assert_eq!(stream.top_id(), model.keys().next_back().copied());
            let one = model.get(&start).map(|parts| (start, parts.clone()));
            prop_assert_eq!(stream.get(start).map(range), one);
        }
        prop_assert_eq!(all(&stream), model.into_iter().collect::<Vec<_>>());
    }

    /// Where a node is full is seen by clients, so it must be where Redis's listpack is.
    #[test]
    fn a_node_knows_the_size_of_its_listpack(
        entries in vec((any::<(u8, u64)>(), parts()), 1..200),
    ) {
        let first = id(5, 1 << 40);
        let mut last = first;
        let mut listpack = packed::EMPTY.to_vec();
        let mut node: Option<Node> = None;
        for (number, ((ms, seq), parts)) in entries.iter().enumerate() {
            let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            let pairs = Args::from_slices(&slices);
            match &mut node {
                None => {
                    node = Some(Node::new(first, pairs, 0));
                    push_ints(&mut listpack, &[(parts.len() / 2) as i64]);
                    for field in slices.iter().step_by(2) {
                        packed::push_back(&mut listpack, field);
                    }
                    push_ints(&mut listpack, &[0]);
                }
                Some(node) => {
                    last = match u64::from(*ms) {
                        0 => id(last.ms, last.seq + 1),
                        ms => id(last.ms + ms, *seq),
                    };
                    node.push(last, pairs);
                }
            }
            let fields = |parts: &Parts| parts.iter().step_by(2).cloned().collect::<Vec<_>>();
            let same = fields(parts) == fields(&entries[0].1);
            let flags = if same { 2 } else { 0 };
            let seq = last.seq.wrapping_sub(first.seq) as i64;
            push_ints(&mut listpack, &[flags, (last.ms - first.ms) as i64, seq]);
            let mut elements = 3 + parts.len() / 2;
            if !same {
                push_ints(&mut listpack, &[(parts.len() / 2) as i64]);
                elements += 1 + parts.len() / 2;
            }
            let skipped = usize::from(same);
            for part in slices.iter().skip(skipped).step_by(1 + skipped) {
                packed::push_back(&mut listpack, part);
            }
            push_ints(&mut listpack, &[elements as i64]);
            let mut whole = listpack.clone();
            push_ints(&mut whole, &[number as i64 + 1, 0]);
            let size = node.as_ref().map(Node::listpack_bytes);
            prop_assert_eq!(size, Some(Packed::new(&whole).listpack_bytes()));
        }
    }

    #[test]
    fn a_group_and_its_consumers_agree(steps in vec((0..6_u8, 0..4_u8, 0..30_u64), 1..150)) {
        let mut stream = Stream::default();
        (1..=20).for_each(|ms| {
            append(&mut stream, id(ms, 0), &[b"f".to_vec(), b"v".to_vec()], USUAL);
        });
        stream.groups_mut().create(b"g", StreamId::MIN, None);
        let mut model: BTreeMap<StreamId, (u8, u64)> = BTreeMap::new();
        for (step, who, what) in steps {
            let name = [b'a' + who];
            let ids = stream.with_group(b"g", |group, stream| {
                let (consumer, _) = group.consumer_seen(&name, 7);
                let delivery = Delivery { consumer, count: 2, is_acknowledged: false, now_ms: 7 };
                match step {
                    0 => {
                        for given in group.deliver(stream, delivery) {
                            model.insert(given, (who, 1));
                        }
                    }
                    1 => {
                        let pending = Pending { consumer, delivered_ms: 7, deliveries: what };
                        group.assign(id(what, 0), pending);
                        model.insert(id(what, 0), (who, what));
                    }
                    2 => {
                        let was = group.acknowledge(id(what, 0)).is_some();
                        assert_eq!(was, model.remove(&id(what, 0)).is_some());
                    }
                    3 => {
                        for (given, is_there) in group.redeliver(stream, id(what, 0), delivery) {
                            let known = model.get_mut(&given).expect("it was pending");
                            known.1 += u64::from(is_there);
                            assert_eq!(known.0, who);
                        }
                    }
                    4 => {
                        let gone = group.remove_consumer(&name);
                        let before = model.len();
                        model.retain(|_, (owner, _)| *owner != who);
                        assert_eq!(gone, Some(before - model.len()));
                    }
                    _ => group.last_id = id(what, 0),
                }
                let owner = |pending: &Pending| group.consumer(pending.consumer).name[0] - b'a';
                let mut seen = 0;
                for consumer in group.consumers() {
                    seen += consumer.pending.len();
                    let owner = consumer.name[0] - b'a';
                    assert!(consumer.pending.iter().all(|id| model[id].0 == owner));
                }
                assert_eq!(seen, model.len());
                let known = |(id, pending): (&StreamId, &Pending)| {
                    (*id, (owner(pending), pending.deliveries))
                };
                group.pending().iter().map(known).collect::<Vec<_>>()
            });
            let expected = model.iter().map(|(id, known)| (*id, *known)).collect::<Vec<_>>();
            prop_assert_eq!(ids, Some(expected));
        }
        let with = stream.size_bytes();
        prop_assert!(stream.groups_mut().remove(b"g"));
        prop_assert!(stream.size_bytes() < with);
        prop_assert_eq!(stream.groups().size_bytes(), 0);
    }
}

fn push_ints(listpack: &mut Vec<u8>, numbers: &[i64]) {
    for number in numbers {
        packed::push_back(listpack, number.to_string().as_bytes());
    }
}

#[test]
fn ids_are_read_as_redis_reads_them() {
    let read = |text: &[u8]| StreamId::parse(text, 9).ok();
    for (text, expected) in [
        (&b"5"[..], Some((5, 9))),
        (b"5-0", Some((5, 0))),
        (b"18446744073709551615-18446744073709551615", Some((u64::MAX, u64::MAX))),
        (b"18446744073709551616-0", None),
        (b"0-18446744073709551616", None),
        (b"", None),
        (b"-", None),
        (b"+", None),
        (b"5-", None),
        (b"-5", None),
        (b"5-5-5", None),
        (b"5-*", None),
        (b"abc", None),
        (b"5a", None),
        // strtoull reads these.
        (b"007-01", Some((7, 1))),
        (b"+7-+1", Some((7, 1))),
        (b" 7-\t1", Some((7, 1))),
        (b"7 -1", None),
        (b"1- -1", Some((1, u64::MAX))),
        (b"1--1", None),
        (b"1\x005-2", Some((1, 9))),
    ] {
        let expected = expected.map(|(ms, seq)| id(ms, seq));
        assert_eq!(read(text), expected, "{}", String::from_utf8_lossy(text));
    }
    assert_eq!(read(&[b'0'; 127]), Some(id(0, 9)));
    assert_eq!(read(&[b'0'; 128]), None);
    assert_eq!(StreamId::parse_start(b"(1-5").ok(), Some(id(1, 6)));
    assert_eq!(StreamId::parse_end(b"(1-0").ok(), Some(id(0, u64::MAX)));
    assert!(StreamId::parse_start(b"(").is_err() && StreamId::parse_start(b"(-").is_err());
    for some in [id(1, 2), id(1_700_000_000_000, 12345), StreamId::MAX] {
        assert_eq!(some.reply().as_bytes(), Some(some.to_string().as_bytes()));
        assert_eq!(some.next().map_or(Some(some), StreamId::previous), Some(some));
    }
}

#[test]
fn entries_lie_closer_than_in_redis() {
    let (mut stream, mut redis_bytes) = (Stream::default(), 0);
    for number in 0..100_000_u64 {
        let parts = [b"myfield".to_vec(), b"data".to_vec()];
        append(&mut stream, id(1_700_000_000_000 + number / 100, number % 100), &parts, USUAL);
    }
    for node in &stream.nodes {
        redis_bytes += node.listpack_bytes();
    }
    assert!(stream.size_bytes() * 10 < redis_bytes * 9, "{} {redis_bytes}", stream.size_bytes());
    assert_eq!(stream.nodes(), 1000);
    assert_eq!(stream.nodes[0].listpack_bytes(), 1424);
}

/// Entries 1-0 to 3-0 and a group that has read nothing.
const THREE: &str = "xadd s 1 f v; xadd s 2 f v; xadd s 3 f v; xgroup create s g 0; ";
const THREE_LOGGED: &str = "XADD s 1-0 f v; XADD s 2-0 f v; XADD s 3-0 f v; xgroup create s g 0; ";
const THREE_RAISED: &str = "new s; xadd s; xadd s; xadd s; xgroup-create s";

#[test]
fn effects_name_their_outcome_and_events_are_redis_s() {
    for (commands, effects, events) in [
        ("xadd s * f v", "XADD s 1000000-0 f v", "new s; xadd s"),
        ("xadd s 5-* f v; xadd s 5-0 f v", "XADD s 5-0 f v", "new s; xadd s"),
        ("xadd s nomkstream 5 f v", "", ""),
        (
            "xadd s nomkstream 5 f v; xadd s maxlen ~ 7 5 f v",
            "XADD s MAXLEN = 1 5-0 f v",
            "new s; xadd s",
        ),
        (
            "xadd s 5 f v; xadd s nomkstream maxlen 1 6 f v; xadd s minid ~ 6 7 f v",
            "XADD s 5-0 f v; XADD s NOMKSTREAM MAXLEN = 1 6-0 f v; XADD s MINID = 5-0 7-0 f v",
            "new s; xadd s; xadd s; xtrim s; xadd s",
        ),
        (
            "xadd s 5 f v; xtrim s maxlen ~ 0 limit 0; xtrim s maxlen 0",
            "XADD s 5-0 f v; XTRIM s MAXLEN = 0",
            "new s; xadd s; xtrim s",
        ),
        (
            "xadd s 5 f v; xdel s 5 6; xdel s 5; xsetid s 7",
            "XADD s 5-0 f v; xdel s 5 6; xsetid s 7",
            "new s; xadd s; xdel s; xsetid s",
        ),
        (
            "xgroup create s g 0 mkstream; xgroup setid s g 5; xgroup createconsumer s g c; \
             xgroup createconsumer s g c; xgroup delconsumer s g c; xgroup delconsumer s g c; \
             xgroup destroy s g; xgroup destroy s g",
            "xgroup create s g 0 mkstream; xgroup setid s g 5; xgroup createconsumer s g c; \
             xgroup delconsumer s g c; xgroup destroy s g",
            "new s; xgroup-create s; xgroup-setid s; xgroup-createconsumer s; \
             xgroup-delconsumer s; xgroup-destroy s",
        ),
        ("xlen s; xread streams s 0", "", "keymiss s; keymiss s; keymiss s"),
    ] {
        assert_eq!(traces(commands), (effects.to_owned(), events.to_owned()), "{commands}");
    }
    let claim = |who: &str, id: u8, time: u32, count: u8, last: u8| {
        format!(
            "XCLAIM s g {who} 0 {id}-0 TIME {time} RETRYCOUNT {count} FORCE JUSTID LASTID {last}-0"
        )
    };
    let together = |effects: &[&str]| {
        let all = ["MULTI"].iter().chain(effects).chain(&["EXEC"]);
        all.map(|effect| (*effect).to_owned()).collect::<Vec<_>>()
    };
    let now = 1_000_000;
    for (commands, effects) in [
        (
            "xreadgroup group g a count 2 streams s >",
            together(&[&claim("a", 1, now, 1, 1), &claim("a", 2, now, 1, 2)]),
        ),
        ("xreadgroup group g a streams s 0", vec!["XGROUP CREATECONSUMER s g a".to_owned()]),
        (
            "xreadgroup group g a noack streams s >; xreadgroup group g a noack streams s >",
            together(&["XGROUP CREATECONSUMER s g a", "XGROUP SETID s g 3-0 ENTRIESREAD 3"]),
        ),
        (
            "xclaim s g a 0 2 9 force retrycount 7 time 5; xclaim s g b 0 2 lastid 3",
            vec![claim("a", 2, 5, 7, 0), claim("b", 2, now, 8, 3)],
        ),
        (
            "xclaim s g a 0 2 lastid 3; xclaim s g a 0 2 lastid 1",
            together(&["XGROUP SETID s g 3-0 ENTRIESREAD -1", "XGROUP CREATECONSUMER s g a"]),
        ),
        (
            "xreadgroup group g a count 2 streams s >; xdel s 1; xautoclaim s g b 0 0; \
             xack s g 1 2",
            [
                together(&[&claim("a", 1, now, 1, 1), &claim("a", 2, now, 1, 2)]),
                vec!["xdel s 1".to_owned()],
                together(&[&claim("a", 1, now, 1, 2), &claim("b", 2, now, 2, 2)]),
                vec!["xack s g 1 2".to_owned()],
            ]
            .concat(),
        ),
    ] {
        let (log, events) = traces(&format!("{THREE}{commands}"));
        let logged = format!("{THREE_LOGGED}{}", effects.join("; "));
        assert_eq!(log, logged.trim_end_matches("; "), "{commands}");
        assert!(
            events.starts_with(&format!("{THREE_RAISED}; xgroup-createconsumer s")),
            "{events}"
        );
    }
}
