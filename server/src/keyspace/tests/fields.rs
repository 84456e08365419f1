//! Fields of hashes with deadlines, against a model that a child could check: every form of hash,
//! with and without the thread that clears what is due.

use super::effects::{Log, names};
use super::*;

/// What is in each hash: fields with value and deadline.
type Hashes = BTreeMap<String, BTreeMap<String, (i64, Option<i64>)>>;

const FIELDS: usize = 9;

#[derive(Clone, Debug)]
enum Move {
    Set {
        fields: Vec<String>,
        value: i64,
    },
    Increment {
        field: String,
    },
    /// HSETEX, with a span or keeping what is.
    SetEx {
        field: String,
        value: i64,
        span: Option<i64>,
    },
    /// HPEXPIRE, with a span that may lie in the past.
    Expire {
        fields: Vec<String>,
        span: i64,
        condition: &'static str,
    },
    Persist {
        fields: Vec<String>,
    },
    GetEx {
        field: String,
        span: Option<i64>,
    },
    Delete {
        fields: Vec<String>,
        command: &'static str,
    },
    Copy,
    Rename,
    Overwrite,
    Wait(i64),
}

fn field() -> impl Strategy<Value = String> {
    (0..FIELDS).prop_map(|number| match number {
        0 => "7".to_owned(),
        number => format!("field{number}"),
    })
}

fn movement() -> impl Strategy<Value = (String, Move)> {
    let key = prop::sample::select(vec!["a", "b"]).prop_map(str::to_owned);
    let fields = || prop::collection::vec(field(), 1..4);
    let span = || prop_oneof![6 => 1..300_i64, 1 => Just(0), 1 => Just(1 << 40)];
    let condition = prop::sample::select(vec!["", "NX ", "XX ", "GT ", "LT "]);
    let step = prop_oneof![
        6 => (fields(), 0..100_i64).prop_map(|(fields, value)| Move::Set { fields, value }),
        2 => field().prop_map(|field| Move::Increment { field }),
        3 => (field(), 0..100_i64, prop::option::of(span()))
            .prop_map(|(field, value, span)| Move::SetEx { field, value, span }),
        8 => (fields(), span(), condition)
            .prop_map(|(fields, span, condition)| Move::Expire { fields, span, condition }),
        2 => fields().prop_map(|fields| Move::Persist { fields }),
        2 => (field(), prop::option::of(span()))
            .prop_map(|(field, span)| Move::GetEx { field, span }),
        3 => (fields(), any::<bool>()).prop_map(|(fields, reads)| Move::Delete {
            fields,
            command: if reads { "HGETDEL" } else { "HDEL" },
        }),
        1 => Just(Move::Copy),
        1 => Just(Move::Rename),
        1 => Just(Move::Overwrite),
        5 => (1..120_i64).prop_map(Move::Wait),
    ];
    (key, step)
}

/// A hash in the model, and the command that does the same to the node.
fn apply(hashes: &mut Hashes, key: &str, step: &Move, now_ms: i64) -> String {
    let other = if key == "a" { "b" } else { "a" };
    let named = |fields: &[String]| format!("FIELDS {} {}", fields.len(), fields.join(" "));
    let hash = hashes.entry(key.to_owned()).or_default();
    // A deadline of this very millisecond means at once.
    let expire = |hash: &mut BTreeMap<String, (i64, Option<i64>)>, field: &str, span: i64| {
        if span == 0 {
            hash.remove(field);
        } else if let Some((_, deadline)) = hash.get_mut(field) {
            *deadline = Some(now_ms + span);
        }
    };
    let command = match step {
        Move::Set { fields, value } => {
            let mut command = format!("HSET {key}");
            for field in fields {
                hash.insert(field.clone(), (*value, None));
                command += &format!(" {field} {value}");
            }
            command
        }
        Move::Increment { field } => {
            hash.entry(field.clone()).or_default().0 += 1;
            format!("HINCRBY {key} {field} 1")
        }
        Move::SetEx { field, value, span } => {
            hash.entry(field.clone()).or_default().0 = *value;
            let ending = span.map_or("KEEPTTL".to_owned(), |span| format!("PX {span}"));
            if let Some(span) = *span {
                expire(hash, field, span);
            }
            format!("HSETEX {key} {ending} FIELDS 1 {field} {value}")
        }
        Move::Expire { fields, span, condition } => {
            for field in fields {
                let Some((_, before)) = hash.get(field) else { continue };
                let at = now_ms + span;
                let holds = match (*condition, *before) {
                    ("NX ", before) => before.is_none(),
                    ("XX ", before) => before.is_some(),
                    ("GT ", before) => before.is_some_and(|before| at > before),
                    ("LT ", before) => before.is_none_or(|before| at < before),
                    _ => true,
                };
                if holds {
                    expire(hash, field, *span);
                }
            }
            format!("HPEXPIRE {key} {span} {condition}{}", named(fields))
        }
        Move::Persist { fields } => {
            for field in fields {
                hash.entry(field.clone()).and_modify(|(_, deadline)| *deadline = None);
            }
            format!("HPERSIST {key} {}", named(fields))
        }
        Move::GetEx { field, span: Some(span) } => {
            expire(hash, field, *span);
            format!("HGETEX {key} PX {span} FIELDS 1 {field}")
        }
        Move::GetEx { field, span: None } => {
            hash.entry(field.clone()).and_modify(|(_, deadline)| *deadline = None);
            format!("HGETEX {key} PERSIST FIELDS 1 {field}")
        }
        Move::Delete { fields, command } => {
            hash.retain(|field, _| !fields.contains(field));
            let fields = if *command == "HDEL" { fields.join(" ") } else { named(fields) };
            format!("{command} {key} {fields}")
        }
        Move::Copy => {
            let copy = hash.clone();
            if !copy.is_empty() {
                hashes.insert(other.to_owned(), copy);
            }
            format!("COPY {key} {other} REPLACE")
        }
        Move::Rename => {
            if !hash.is_empty() {
                let moved = std::mem::take(hash);
                hashes.insert(other.to_owned(), moved);
            }
            format!("RENAME {key} {other}")
        }
        Move::Overwrite => {
            hash.clear();
            hash.insert("field1".to_owned(), (1, None));
            // What was there goes whole, with its deadlines.
            format!("SET {key} string\nDEL {key}\nHSET {key} field1 1")
        }
        Move::Wait(_) => String::new(),
    };
    hashes.retain(|_, hash| !hash.is_empty());
    command
}

/// Forgets what is due.
fn purge(hashes: &mut Hashes, now_ms: i64) {
    for hash in hashes.values_mut() {
        hash.retain(|_, (_, deadline)| deadline.is_none_or(|deadline| deadline >= now_ms));
    }
    hashes.retain(|_, hash| !hash.is_empty());
}

fn number(reply: &Reply<'_>) -> i64 {
    match reply {
        Reply::Int(number) => *number,
        other => std::str::from_utf8(other.as_bytes().unwrap()).unwrap().parse().unwrap(),
    }
}

fn elements(reply: Reply<'static>) -> Vec<Reply<'static>> {
    match reply {
        Reply::Array(elements) => elements,
        Reply::Map(pairs) => pairs.into_iter().flat_map(|(name, value)| [name, value]).collect(),
        other => panic!("{other:?}"),
    }
}

/// What the node says is in its hashes.
fn observed(local: &mut Local) -> Hashes {
    let mut hashes = Hashes::new();
    for key in ["a", "b"] {
        let mut hash = BTreeMap::new();
        for pair in elements(run(local, &format!("HGETALL {key}"))).chunks_exact(2) {
            let field = String::from_utf8(pair[0].as_bytes().unwrap().to_vec()).unwrap();
            let told = elements(run(local, &format!("HPEXPIRETIME {key} FIELDS 1 {field}")));
            let deadline = Some(number(&told[0])).filter(|deadline| *deadline != -1);
            hash.insert(field, (number(&pair[1]), deadline));
        }
        let len = Reply::from(hash.len());
        assert_eq!(run(local, &format!("HLEN {key}")), len);
        assert_eq!(run(local, &format!("EXISTS {key}")), Reply::from(!hash.is_empty()));
        let scanned = elements(run(local, &format!("HSCAN {key} 0 COUNT 100"))).remove(1);
        assert_eq!(elements(scanned).len(), 2 * hash.len());
        assert_eq!(elements(run(local, &format!("HRANDFIELD {key} 100"))).len(), hash.len());
        if !hash.is_empty() {
            hashes.insert(key.to_owned(), hash);
        }
    }
    hashes
}

/// A node whose hashes are small up to so many fields.
fn node_with(clock: &Clock, small: usize) -> (Node, Local) {
    let node = still(clock).start().unwrap();
    let mut local = node.local();
    succeed(&mut local, &format!("CONFIG SET hash-max-listpack-entries {small}"));
    (node, local)
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn fields_live_as_long_as_they_were_told(
        steps in prop::collection::vec(movement(), 1..120),
        small in prop::sample::select(vec![0, 4, 512_usize]),
        active_expire in any::<bool>(),
    ) {
        let clock = Clock::manual(START_MS);
        let (node, mut local) = node_with(&clock, small);
        if !active_expire {
            expire_only_on_access(&node);
        }
        let log = Log::of(&node);
        let mut hashes = Hashes::new();
        for (key, step) in &steps {
            let now_ms = clock.unix_ms();
            let commands = apply(&mut hashes, key, step, now_ms);
            commands.lines().for_each(|command| drop(run(&mut local, command)));
            if let Move::Wait(ms) = step {
                clock.advance(*ms);
                purge(&mut hashes, now_ms + ms);
            }
            prop_assert_eq!(observed(&mut local), hashes.clone(), "after {} {:?}", commands, step);
        }
        // Whoever applies the log has the same, though time stood still for it.
        let (_copy, mut applied) = node_with(&Clock::manual(START_MS), small);
        for command in log.take() {
            let words: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
            let reply = applied.call(&words);
            prop_assert!(!matches!(reply, Reply::Error(_)), "{:?}", reply);
        }
        prop_assert_eq!(observed(&mut applied), hashes);
        succeed(&mut local, "FLUSHALL");
        drop(local);
        let shared = Arc::clone(node.shared());
        node.shutdown();
        audit(&shared.keyspace);
        prop_assert_eq!(shared.keyspace.memory().data_bytes(), shared.keyspace.startup_bytes());
    }

    /// The figures that shards keep of hashes are those of what is in them.
    #[test]
    fn every_field_deadline_is_indexed(
        steps in prop::collection::vec(movement(), 1..200),
        small in prop::sample::select(vec![0, 4, 512_usize]),
    ) {
        let clock = Clock::manual(START_MS);
        let (node, mut local) = node_with(&clock, small);
        expire_only_on_access(&node);
        let mut hashes = Hashes::new();
        for (key, step) in &steps {
            apply(&mut hashes, key, step, clock.unix_ms())
                .lines()
                .for_each(|command| drop(run(&mut local, command)));
            if let Move::Wait(ms) = step {
                clock.advance(*ms);
            }
            purge(&mut hashes, clock.unix_ms());
        }
        drop(local);
        audit(&node.shared().keyspace);
    }
}

#[test]
fn fields_that_nobody_looks_at_expire_as_well() {
    for small in [0, 512] {
        let clock = Clock::manual(START_MS);
        let (node, mut local) = node_with(&clock, small);
        let mut events = node.events();
        for number in 0..300 {
            succeed(&mut local, &format!("HSET h{number} a 1 b 2 c 3"));
            succeed(&mut local, &format!("HPEXPIRE h{number} 10 FIELDS 2 a b"));
            succeed(&mut local, &format!("HPEXPIRE h{number} 30 FIELDS 1 c"));
        }
        // One of which many fields fall due together: more than a batch.
        for number in 0..1000 {
            succeed(&mut local, &format!("HSETEX large PX 10 FIELDS 1 f{number} v"));
        }
        let fields = || node.shared().stats.totals().expired_fields;
        clock.advance(11);
        let begun = std::time::Instant::now();
        while fields() < 1600 {
            assert!(begun.elapsed().as_secs() < 60, "{} fields", fields());
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert_eq!(run(&mut local, "DBSIZE"), Reply::Int(300), "c has 19 ms to live");
        clock.advance(20);
        while fields() < 1900 {
            assert!(begun.elapsed().as_secs() < 60, "{} fields", fields());
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        drop(local);
        let shared = Arc::clone(node.shared());
        node.shutdown();
        audit(&shared.keyspace);
        let mut told = names(&mut events);
        told.retain(|event| event.ends_with(" h7"));
        let life = ["new@0 h7", "hset@0 h7", "hexpire@0 h7", "hexpire@0 h7"];
        assert_eq!(told, [&life[..], &["hexpired@0 h7", "hexpired@0 h7", "del@0 h7"]].concat());
    }
}

#[test]
fn events_and_effects_of_fields() {
    let clock = Clock::manual(START_MS);
    let (node, mut local) = node_with(&clock, 512);
    expire_only_on_access(&node);
    let (log, mut events) = (Log::of(&node), node.events());
    succeed(&mut local, "HSET h x 1");
    log.take();
    let at = |ms: i64| START_MS + ms;
    // What the command is, what becomes of it in the log, what it announces; as Redis 8 does.
    for (command, effect, told) in [
        ("HSET h a 1 b 2", "HSET h a 1 b 2".to_owned(), "hset"),
        ("HEXPIRE h 10 FIELDS 2 a z", format!("HPEXPIREAT h {} FIELDS 1 a", at(10_000)), "hexpire"),
        ("HEXPIRE h 10 NX FIELDS 1 a", String::new(), ""),
        ("HPEXPIRE h 5 LT FIELDS 2 b a", format!("HPEXPIREAT h {} FIELDS 2 b a", at(5)), "hexpire"),
        ("HINCRBY h a 1", "HINCRBY h a 1".to_owned(), "hincrby"),
        ("HINCRBYFLOAT h a 1", "HSETEX h KEEPTTL FIELDS 1 a 3".to_owned(), "hincrbyfloat"),
        ("HINCRBYFLOAT h x 1", "HSET h x 2".to_owned(), "hincrbyfloat"),
        ("HPERSIST h FIELDS 2 a x", "HPERSIST h FIELDS 2 a x".to_owned(), "hpersist"),
        ("HPERSIST h FIELDS 1 a", String::new(), ""),
        ("HGETEX h FIELDS 1 a", String::new(), ""),
        ("HGETEX h EX 1 FIELDS 1 a", format!("HPEXPIREAT h {} FIELDS 1 a", at(1000)), "hexpire"),
        ("HGETEX h PERSIST FIELDS 2 a x", "HPERSIST h FIELDS 1 a".to_owned(), "hpersist"),
        ("HGETEX h EX 0 FIELDS 1 a", "HDEL h a".to_owned(), "hdel"),
        ("HSETEX h FIELDS 1 a 1", "HSET h a 1".to_owned(), "hset"),
        (
            "HSETEX h FNX PX 7 FIELDS 1 c 1",
            format!("HSETEX h PXAT {} FIELDS 1 c 1", at(7)),
            "hset hexpire",
        ),
        ("HSETEX h FNX FIELDS 1 c 1", String::new(), ""),
        ("HSETEX h KEEPTTL FIELDS 1 c 2", "HSETEX h KEEPTTL FIELDS 1 c 2".to_owned(), "hset"),
        ("HSETEX h EX 0 FIELDS 1 c 2", "HDEL h c".to_owned(), "hset hdel"),
        ("HGETDEL h FIELDS 2 a z", "HDEL h a".to_owned(), "hdel"),
        ("HEXPIRE h 0 FIELDS 2 b x", "HDEL h b x".to_owned(), "hdel del"),
    ] {
        names(&mut events);
        succeed(&mut local, command);
        assert_eq!(log.take_text().join("\n"), effect, "{command}");
        let told: Vec<_> = told.split_whitespace().map(|name| format!("{name}@0 h")).collect();
        assert_eq!(names(&mut events), told, "{command}");
    }
    // What is due goes before anything else happens.
    for (command, effect, told) in [
        ("HGET h a", vec!["HDEL h a"], vec!["hexpired"]),
        ("HSET h a 1", vec!["HDEL h a", "HSET h a 1"], vec!["hexpired", "hset"]),
        ("HINCRBY h a 1", vec!["HDEL h a", "HINCRBY h a 1"], vec!["hexpired", "hincrby"]),
        ("HDEL h a", vec!["HDEL h a"], vec!["hexpired"]),
    ] {
        run(&mut local, "DEL h");
        run(&mut local, "HSET h a 5 b 5");
        run(&mut local, "HPEXPIRE h 10 FIELDS 1 a");
        clock.advance(11);
        (_, _) = (log.take(), names(&mut events));
        run(&mut local, command);
        let mut logged = log.take_text();
        if effect.len() > 1 {
            assert_eq!(logged.remove(0), "MULTI", "{command}");
            assert_eq!(logged.pop().as_deref(), Some("EXEC"), "{command}");
        }
        assert_eq!(logged, effect, "{command}");
        let told: Vec<_> = told.into_iter().map(|name| format!("{name}@0 h")).collect();
        assert_eq!(names(&mut events), told, "{command}");
    }
    run(&mut local, "DEL h");
    run(&mut local, "HSET h a 5 b 5");
    run(&mut local, "HPEXPIRE h 10 FIELDS 2 a b");
    clock.advance(11);
    (_, _) = (log.take(), names(&mut events));
    assert_eq!(run(&mut local, "TYPE h"), Reply::Simple("none"));
    assert_eq!(log.take_text(), ["MULTI", "HDEL h b", "HDEL h a", "EXEC"]);
    assert_eq!(names(&mut events), ["hexpired@0 h", "del@0 h", "keymiss@0 h"]);
}
