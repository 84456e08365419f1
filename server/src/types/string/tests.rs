//! Tests of what strings do below the commands.

use super::lcs::{Run, bytes, length, runs};
use super::{overwrite, range_of};
use proptest::prelude::*;

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
