//! HyperLogLogs: the same bytes as Redis's after the same commands, the same estimates.

mod hostile;

use larder_tests::{Rng, compare, compare_with};

#[test]
fn elements_are_added_and_counted() {
    compare(
        r#"
        PFADD a x y z
        GET a
        PFADD a x y z
        PFADD a
        PFCOUNT a
        GET a
        PFADD a w
        GET a
        PFCOUNT a
        PFADD b
        GET b
        PFCOUNT b
        GET b
        PFADD b "" "\x00\xff"
        PFCOUNT b
        PFCOUNT missing
        PFCOUNT a b missing
        PFCOUNT missing missing2
        EXISTS missing
        PFADD b "" x
        OBJECT ENCODING a
        TYPE a
        STRLEN a
        EXPIRE a 100
        PFADD a new
        @near 1 TTL a
        PFADD
        PFCOUNT
        PFMERGE
        "#,
    );
}

#[test]
fn every_step_gives_the_same_bytes() {
    let mut rng = Rng::new(11);
    let mut script = String::new();
    for number in 0..700 {
        script.push_str(&format!("PFADD a {}\nGET a\n", rng.below(2000)));
        if number % 50 == 0 {
            script.push_str("PFDEBUG DECODE a\nPFCOUNT a\nPFDEBUG ENCODING a\n");
        }
    }
    compare(&script);
}

#[test]
fn long_elements() {
    let mut rng = Rng::new(12);
    let mut script = String::new();
    for len in [1, 7, 8, 9, 15, 16, 17, 63, 64, 1000] {
        let element: String = rng.bytes(len).iter().map(|byte| format!("\\x{byte:02x}")).collect();
        script.push_str(&format!("PFADD a \"{element}\"\nGET a\n"));
    }
    compare(&script);
}

/// Adds `batches` times a hundred elements and looks at the value after each.
fn growth(key: &str, batches: usize) -> String {
    let mut rng = Rng::new(13);
    let mut script = String::new();
    for _ in 0..batches {
        script.push_str(&format!("PFADD {key}"));
        for _ in 0..100 {
            script.push_str(&format!(" {}", rng.bits()));
        }
        script.push_str(&format!("\nGET {key}\nPFCOUNT {key}\nPFDEBUG ENCODING {key}\n"));
    }
    script
}

#[test]
fn a_sparse_one_becomes_dense() {
    compare(&(growth("a", 60) + "PFDEBUG GETREG a\n"));
    for limit in ["0", "17", "22", "100", "12304", "100000"] {
        let batches = if limit.len() > 3 { 150 } else { 4 };
        compare_with(&["--hll-sparse-max-bytes", limit], &growth("a", batches));
    }
}

#[test]
fn several_are_merged() {
    let mut script = growth("large", 40) + &growth("small", 3);
    script.push_str(
        r#"
        PFADD other a b c d e f
        PFMERGE new
        GET new
        PFMERGE merged other small
        GET merged
        PFDEBUG ENCODING merged
        PFCOUNT merged
        PFCOUNT other small
        PFMERGE merged
        GET merged
        PFMERGE merged missing
        PFMERGE merged large missing other
        GET merged
        PFCOUNT merged
        PFCOUNT large small other
        PFMERGE large small other
        GET large
        PFMERGE other other
        GET other
        EXPIRE other 100
        PFMERGE other small
        @near 1 TTL other
        GET other
        "#,
    );
    compare(&script);
}

#[test]
fn a_merge_may_make_a_sparse_one_dense() {
    let mut script = String::new();
    for key in ["a", "b", "c", "d", "e", "f"] {
        script.push_str(&format!("PFADD {key}"));
        for number in 0..150 {
            script.push_str(&format!(" {key}{number}"));
        }
        script.push('\n');
    }
    for sources in ["a b", "a b c", "a b c d", "a b c d e f"] {
        script.push_str(&format!("PFMERGE m {sources}\nGET m\nPFCOUNT {sources}\n"));
    }
    for limit in ["500", "3000"] {
        compare_with(&["--hll-sparse-max-bytes", limit], &script);
    }
}

#[test]
fn debugging() {
    compare(
        r#"
        PFADD a 1 2 3
        PFDEBUG ENCODING a
        PFDEBUG decode a
        PFDEBUG TODENSE a
        PFDEBUG TODENSE a
        PFDEBUG ENCODING a
        PFDEBUG DECODE a
        GET a
        PFDEBUG GETREG a
        PFCOUNT a
        PFADD b 1 2 3
        PFCOUNT b
        PFDEBUG GETREG b
        GET b
        PFDEBUG ENCODING missing
        PFDEBUG bogus missing
        PFDEBUG bogus a
        PFDEBUG a
        PFDEBUG GETREG a b
        PFDEBUG
        PFSELFTEST
        PFSELFTEST x
        "#,
    );
}

#[test]
fn changes_are_counted() {
    let mut script = String::new();
    for (command, dirty) in [
        ("PFADD a", 1),
        ("PFADD a", 1),
        ("PFADD a x y z x", 4),
        ("PFADD b x", 6),
        ("PFCOUNT a", 7),
        ("PFCOUNT a", 7),
        ("PFCOUNT a b", 7),
        ("PFCOUNT missing", 7),
        ("PFMERGE b a", 8),
        ("PFMERGE b a", 9),
        ("PFDEBUG ENCODING b", 9),
        ("PFDEBUG TODENSE b", 10),
        ("PFDEBUG TODENSE b", 10),
        ("PFDEBUG GETREG b", 10),
        ("PFDEBUG GETREG a", 11),
    ] {
        script.push_str(&format!("@skip {command}\nINFO persistence\n"));
        script.push_str(&format!("=* *changes_since_last_save:{dirty}\\r*\n"));
    }
    compare(&script);
}
