//! Tests of strings below the commands, and of what the commands leave in the log and say to
//! subscribers. Their replies are compared with Redis's from outside.

use super::lcs::{Run, bytes, length, runs};
use super::{overwrite, range_of};
use crate::types::tests::traces;
use proptest::prelude::*;

#[test]
fn effects_are_absolute_and_events_are_redis_s() {
    for (commands, effects, events) in [
        ("set k v", "set k v", "new k; set k"),
        ("set k v nx get", "set k v nx", "keymiss k; new k; set k"),
        ("set k v xx; set k v get xx", "", "keymiss k"),
        ("set k v ex 5", "SET k v PXAT 1005000", "new k; set k; expire k"),
        ("set k v px 5 get", "SET k v PXAT 1000005", "keymiss k; new k; set k; expire k"),
        ("set k v exat 5000", "SET k v PXAT 5000000", "new k; set k; expire k"),
        ("set k v pxat 5000000", "set k v pxat 5000000", "new k; set k; expire k"),
        ("setex k 5 v", "SET k v PXAT 1005000", "new k; set k; expire k"),
        ("psetex k 5 v", "SET k v PXAT 1000005", "new k; set k; expire k"),
        ("setnx k v; setnx k w", "setnx k v", "new k; set k"),
        ("getset k v", "SET k v", "keymiss k; new k; set k"),
        ("set k v; getdel k; getdel k", "set k v; DEL k", "new k; set k; del k; keymiss k"),
        ("set k v; getex k", "set k v", "new k; set k"),
        ("set k v; getex k ex 5", "set k v; PEXPIREAT k 1005000", "new k; set k; expire k"),
        ("set k v; getex k pxat 5", "set k v; DEL k", "new k; set k; del k"),
        ("set k v; getex k persist", "set k v", "new k; set k"),
        (
            "set k v pxat 1000001; getex k persist",
            "set k v pxat 1000001; PERSIST k",
            "new k; set k; expire k; persist k",
        ),
        ("append k v; append k w", "append k v; append k w", "new k; append k; append k"),
        (
            "setrange k 1 v; setrange k 1 v",
            "setrange k 1 v; setrange k 1 v",
            "new k; setrange k; setrange k",
        ),
        ("mset a 1 b 2 a 3", "mset a 1 b 2 a 3", "new a; set a; new b; set b; set a"),
        (
            "msetnx a 1; msetnx a 1 b 2; msetnx c 1 b 2",
            "msetnx a 1; msetnx c 1 b 2",
            "new a; set a; new c; set c; new b; set b",
        ),
        ("incr k; decrby k 5; incrby k x", "incr k; decrby k 5", "new k; incrby k; incrby k"),
        (
            "incrbyfloat k 0.5; incrbyfloat k 1",
            "SET k 0.5 KEEPTTL; SET k 1.5 KEEPTTL",
            "new k; incrbyfloat k; incrbyfloat k",
        ),
        (
            "set k v pxat 1; get k",
            "set k v pxat 1; DEL k",
            "new k; set k; expire k; expired k; keymiss k",
        ),
        (
            "mget a b; strlen a; lcs a b",
            "",
            "keymiss a; keymiss b; keymiss a; keymiss a; keymiss b",
        ),
    ] {
        assert_eq!(traces(commands), (effects.to_owned(), events.to_owned()), "{commands}");
    }
}

#[test]
fn ranges_are_clipped() {
    for (start, end, range) in [
        (0, -1, Some(0..5)),
        (0, 0, Some(0..1)),
        (-3, -2, Some(2..4)),
        (-100, 2, Some(0..3)),
        (3, 100, Some(3..5)),
        (5, 100, None),
        (3, 2, None),
        (-1, -3, None),
        (0, -100, Some(0..1)),
        (i64::MIN, i64::MAX, Some(0..5)),
        (i64::MAX, i64::MIN, None),
        (i64::MIN, i64::MIN, Some(0..1)),
    ] {
        assert_eq!(range_of(5, start, end), range, "{start}..={end}");
    }
    assert_eq!(range_of(0, 0, -1), None);
    assert_eq!(range_of(0, i64::MIN, i64::MAX), None);
}

#[test]
fn overwriting_fills_gaps_and_grows() {
    for (before, offset, value, after) in [
        ("", 0, "a", &b"a"[..]),
        ("", 3, "a", b"\0\0\0a"),
        ("abc", 1, "X", b"aXc"),
        ("abc", 1, "XYZ", b"aXYZ"),
        ("abc", 3, "d", b"abcd"),
        ("abc", 5, "d", b"abc\0\0d"),
        ("abc", 2, "", b"abc"),
    ] {
        let mut bytes = before.as_bytes().to_vec();
        assert_eq!(overwrite(&mut bytes, offset, value.as_bytes()), Ok(()));
        assert_eq!(bytes, after, "{value} at {offset} of {before}");
    }
}

#[test]
fn memory_that_cannot_be_had_is_an_error() {
    let mut bytes = b"abc".to_vec();
    assert!(overwrite(&mut bytes, usize::MAX, b"x").is_err());
    assert!(overwrite(&mut bytes, usize::MAX / 2, b"x").is_err());
    assert_eq!(bytes, b"abc");
}

#[test]
fn a_growing_string_gets_room_ahead_but_not_twice_its_size() {
    let mut bytes = vec![0; 64 << 20];
    overwrite(&mut bytes, 64 << 20, b"x").expect("64 MB can be had");
    let ahead = bytes.capacity() - bytes.len();
    assert!(ahead > 0 && ahead < 8 << 20, "{ahead}");
}

#[test]
fn the_runs_of_two_strings() {
    let found = runs(b"ohmytext", b"mynewtext");
    assert_eq!(found, [Run { a: 4, b: 5, len: 4 }, Run { a: 2, b: 0, len: 2 }]);
    assert_eq!(bytes(b"ohmytext", &found), b"mytext");
    assert_eq!(runs(b"", b"abc"), []);
    assert_eq!(runs(b"abc", b""), []);
    assert_eq!((length(b"", b""), length(b"a", b"b")), (0, 0));
}

/// The textbook form: the whole table of lengths, and Redis's way back through it.
fn textbook(a: &[u8], b: &[u8]) -> Vec<(usize, usize)> {
    let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            table[i][j] = if a[i - 1] == b[j - 1] {
                table[i - 1][j - 1] + 1
            } else {
                table[i - 1][j].max(table[i][j - 1])
            };
        }
    }
    let (mut i, mut j, mut matches) = (a.len(), b.len(), Vec::new());
    while i > 0 && j > 0 {
        if a[i - 1] == b[j - 1] {
            (i, j) = (i - 1, j - 1);
            matches.push((i, j));
        } else if table[i - 1][j] > table[i][j - 1] {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    matches
}

proptest! {
    #[test]
    fn bits_find_what_the_table_finds(
        a in "[a-d]{0,200}",
        b in "[a-d]{0,200}",
    ) {
        let (a, b) = (a.as_bytes(), b.as_bytes());
        let expected = textbook(a, b);
        let found = runs(a, b);
        let matches: Vec<_> = found
            .iter()
            .flat_map(|run| (0..run.len).rev().map(|at| (run.a + at, run.b + at)))
            .collect();
        prop_assert_eq!(&matches, &expected);
        prop_assert_eq!(length(a, b), expected.len());
        prop_assert_eq!(bytes(a, &found).len(), expected.len());
        for pair in found.windows(2) {
            prop_assert!(pair[1].a + pair[1].len < pair[0].a || pair[1].b + pair[1].len < pair[0].b);
        }
    }
}
