//! Strings that look like HyperLogLogs: cut off, overwritten, made up.

use larder_tests::{Rng, compare, quoted};

/// Everything that can be done with what lies under `h`, each time from the same bytes.
fn probe(bytes: &[u8]) -> String {
    let value = quoted(bytes);
    let mut script = String::new();
    for command in [
        "PFCOUNT h",
        "PFCOUNT h good",
        "PFCOUNT missing h",
        "PFADD h",
        "PFADD h a",
        "PFADD h a b c d e f g h i j k l m n o p",
        "PFMERGE h good",
        "PFMERGE h",
        "PFMERGE m h",
        "PFMERGE m good h",
        "PFDEBUG ENCODING h",
        "PFDEBUG DECODE h",
        "PFDEBUG TODENSE h",
        "PFDEBUG bogus h",
    ] {
        script.push_str(&format!("SET h {value}\n{command}\nGET h\nDEL m\n"));
    }
    script
}

fn all(values: &[Vec<u8>]) -> String {
    let probes: String = values.iter().map(|value| probe(value)).collect();
    format!("PFADD good x y z\n{probes}")
}

fn sparse(opcodes: &[u8]) -> Vec<u8> {
    [b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80", opcodes].concat()
}

#[test]
fn not_even_a_header() {
    let dense = |len: usize| [&b"HYLL"[..], &vec![0; len - 4]].concat();
    compare(&all(&[
        b"".to_vec(),
        b"12345".to_vec(),
        b"HYLL".to_vec(),
        b"HYLL\x01\0\0\0\0\0\0\0\0\0\0".to_vec(),
        b"hyll\x01\0\0\0\0\0\0\0\0\0\0\x80\x7f\xff".to_vec(),
        b"HYLL\x02\0\0\0\0\0\0\0\0\0\0\x80\x7f\xff".to_vec(),
        b"HYLL\xff\0\0\0\0\0\0\0\0\0\0\x80\x7f\xff".to_vec(),
        dense(16),
        dense(12303),
        dense(12304),
        dense(12305),
    ]));
}

#[test]
fn runs_that_lie() {
    compare(&all(&[
        sparse(b""),
        sparse(b"\0"),
        sparse(b"\x7f\xff"),
        sparse(b"\x7f\xfe"),
        sparse(b"\x7f"),
        sparse(b"\x40"),
        sparse(b"\x7f\xff\x7f\xff"),
        sparse(b"\x7f\xff\x80"),
        sparse(b"\x7f\xff\xff"),
        sparse(b"\x7f\xff\0"),
        sparse(b"\x7f\xfb\x83"),
        sparse(b"\x7f\xfb\xff\xff"),
        sparse(b"\x7f\xfd\x83"),
        sparse(b"\xff\xff\xff\xff"),
        sparse(&[0xff; 4096]),
        sparse(&[0xff; 4097]),
        sparse(&[0x80; 16384]),
        sparse(&[0x00; 16384]),
        sparse(&[0x40; 16384]),
        sparse(&[0x40, 0].repeat(16384)),
        sparse(&[0x3f; 256]),
        sparse(&[0x7f; 999]),
        sparse(b"\x5f\xff\xfc\x40\x00\x40\x00\x5f"),
        // A cardinality that is up to date is believed, whatever follows.
        b"HYLL\x01\0\0\0\x07\0\0\0\0\0\0\0garbage".to_vec(),
        b"HYLL\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\x7f".to_vec(),
    ]));
}

#[test]
fn dense_registers_beyond_what_a_hash_gives() {
    for byte in [0xff, 0xaa, 0x11] {
        let mut bytes = b"HYLL\0\0\0\0\0\0\0\0\0\0\0\x80".to_vec();
        bytes.resize(12304, byte);
        compare(&all(&[bytes]));
    }
}

#[test]
fn one_byte_overwritten() {
    let mut script = String::from("PFADD good x y z\n");
    for offset in 0..26 {
        for byte in ["\\x00", "\\x3f", "\\x40", "\\x7f", "\\x80", "\\xff"] {
            script.push_str("DEL h\nPFADD h a b c\n");
            script.push_str(&format!("SETRANGE h {offset} \"{byte}\"\n"));
            script.push_str("PFCOUNT h\nPFADD h d e f g\nPFMERGE good h\nPFCOUNT h good\nGET h\n");
        }
    }
    compare(&script);
}

#[test]
fn random_runs() {
    let mut rng = Rng::new(5);
    let mut script = String::from("PFADD good x y z\n");
    for _ in 0..150 {
        let (mut opcodes, mut left) = (Vec::new(), 16384_usize);
        // Mostly of the right length, so that the commands get beyond the first look.
        while left > 0 && rng.below(400) > 0 {
            let (len, opcode): (usize, &[u8]) = match rng.below(3) {
                0 => (64, &[0x3f]),
                1 => (1025, &[0x44, 0x00]),
                _ => (2, &[0x81 | (left as u8 & 0x7c)]),
            };
            opcodes.extend_from_slice(if len <= left { opcode } else { &[0x00] });
            left -= if len <= left { len } else { 1 };
        }
        script.push_str(&format!("SET h {}\n", quoted(&sparse(&opcodes))));
        for _ in 0..5 {
            script.push_str(&format!("PFADD h {}\nGET h\n", rng.bits()));
        }
        script.push_str("PFCOUNT h\nPFMERGE good h\n");
    }
    compare(&script);
}

#[test]
fn other_types_are_refused() {
    compare(
        r#"
        RPUSH a x
        PFADD good x
        PFADD a x
        PFADD a
        PFCOUNT a
        PFCOUNT a good
        PFCOUNT good a
        PFMERGE a
        PFMERGE a good
        PFMERGE good a
        PFMERGE new a
        EXISTS new
        PFDEBUG ENCODING a
        PFDEBUG bogus a
        "#,
    );
}
