//! Numbers against Redis's texts, and against their own inverse.

use proptest::prelude::*;

use super::*;
use crate::rdb::crc64::crc64;

#[test]
fn doubles_are_cast_as_by_the_processor() {
    let two_to = |power: i32| 2_f64.powi(power);
    for (value, bits) in [
        (0.0, 0),
        (1.9, 1),
        (-1.9, u64::MAX),
        (two_to(63), 1 << 63),
        (two_to(64) - 2048.0, u64::MAX - 2047),
        (two_to(64), 0),
        (f64::INFINITY, 0),
        (-two_to(63), 1 << 63),
        (-two_to(65), 1 << 63),
        (f64::NEG_INFINITY, 1 << 63),
        (f64::NAN, 1 << 63),
    ] {
        assert_eq!(cast_u64(value), bits, "{value}");
    }
}

#[test]
fn integers_are_canonical() {
    for (text, value) in [
        ("0", 0),
        ("7", 7),
        ("-1", -1),
        ("10", 10),
        ("9223372036854775807", i64::MAX),
        ("-9223372036854775808", i64::MIN),
    ] {
        assert_eq!(parse_i64(text.as_bytes()), Some(value), "{text}");
    }
    for text in [
        "",
        "-",
        "+",
        "+5",
        "007",
        "00",
        "-0",
        "-01",
        " 1",
        "1 ",
        "1.0",
        "1e3",
        "0x1",
        "--1",
        "1-",
        "a",
        "9223372036854775808",
        "-9223372036854775809",
        "99999999999999999999",
        "18446744073709551616",
        "1\0",
        "\u{0661}",
    ] {
        assert_eq!(parse_i64(text.as_bytes()), None, "{text}");
    }
    assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
    assert_eq!(parse_u64(b"18446744073709551616"), None);
    assert_eq!(parse_u64(b"184467440737095516150"), None);
    assert_eq!(parse_u64(b"-1"), None);
}

#[test]
fn floats_as_strtod_reads_them() {
    for (text, value) in [
        ("0", 0.0),
        ("-0", -0.0),
        ("3", 3.0),
        ("+3", 3.0),
        ("007", 7.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("5.e1", 50.0),
        ("1e3", 1000.0),
        ("1E+3", 1000.0),
        ("1e-3", 0.001),
        ("0e999", 0.0),
        ("0.000e-999", 0.0),
        ("1e308", 1e308),
        ("5e-324", 5e-324),
        ("inf", f64::INFINITY),
        ("-INF", f64::NEG_INFINITY),
        ("+Infinity", f64::INFINITY),
        ("0x10", 16.0),
        ("-0X1p3", -8.0),
        ("0x1.8", 1.5),
        ("0x.8p1", 1.0),
        ("0x1.", 1.0),
        ("0x0p9999999999", 0.0),
        ("0x1p-1074", 5e-324),
        ("0x1.8p-1075", 5e-324),
        ("0x1.fffffffffffff7p1023", f64::MAX),
        ("0x1.00000000000008p0", 1.0),
        ("0x1.000000000000080000000000000000000001p0", 1.0 + f64::EPSILON),
        ("0x1.00000000000018p0", 1.0 + 2.0 * f64::EPSILON),
        ("0x100000000000000000000000000000000000p-140", 1.0),
    ] {
        let parsed = parse_f64(text.as_bytes()).unwrap_or(f64::NAN);
        assert_eq!(parsed.to_bits(), value.to_bits(), "{text} gave {parsed}");
    }
    for text in [
        "",
        " 1",
        "1 ",
        "\t1",
        "1\n",
        "nan",
        "-nan",
        "NaN",
        "nan(1)",
        "abc",
        "1e",
        "1e+",
        ".",
        "-",
        "+-1",
        "1.2.3",
        "1,5",
        "infi",
        "infinit",
        "in",
        "e5",
        "1e400",
        "-1e400",
        "1e-400",
        "0x",
        "0xg",
        "0x1p",
        "0x1p+",
        "0x1.8.1",
        "0x1p1024",
        "0x1.fffffffffffff8p1023",
        "0x1p-1075",
        "0x1p-99999999999",
        "1_0",
        "1\0",
        "x10",
        "1f",
    ] {
        assert_eq!(parse_f64(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn floats_as_redis_prints_them() {
    for (value, text) in [
        (0.0, "0"),
        (-0.0, "-0"),
        (3.0, "3"),
        (-3.0, "-3"),
        (0.1, "0.1"),
        (-1.5, "-1.5"),
        (3.0 + 1e-15, "3.000000000000001"),
        (17_179_869_184.5, "17179869184.5"),
        (1e15, "1000000000000000"),
        (1e18, "1000000000000000000"),
        (4_611_686_018_427_387_904.0, "4611686018427387904"),
        (4_611_686_018_427_388_928.0, "4611686018427389000"),
        (1e19, "1e+19"),
        (1e20, "1e+20"),
        (1.5e21, "1.5e+21"),
        (1e100, "1e+100"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (0.001, "0.001"),
        (0.000001, "0.000001"),
        (0.0000001, "1e-7"),
        (0.00001234, "1.234e-5"),
        (1.25e-5, "1.25e-5"),
        (5e-324, "5e-324"),
        (1234.56789012345, "1234.56789012345"),
        (74.175327652, "74.17532765199999"),
        (589603050.0801, "5.896030500801001e+8"),
        (36951.42470944866, "3.6951424709448664e+4"),
        (909_307_353_320_471.3, "909307353320471.2"),
        (5e22, "49999999999999996000000"),
        (-5e22, "-49999999999999996000000"),
        (1e21, "1e+21"),
        (1e22, "1e+22"),
        (1e23, "99999999999999990000000"),
        (8.41e21, "8409999999999999000000"),
        (97_017_548_528e9, "97017548528000010000"),
        (2.2250738585072014e-308, "2.2250738585072014e-308"),
        (0.00123456789, "0.00123456789"),
        (0.1 + 0.2, "0.30000000000000004"),
        (-2.0 / 3.0, "-0.6666666666666666"),
        (12345678.9, "12345678.9"),
        (f64::INFINITY, "inf"),
        (f64::NEG_INFINITY, "-inf"),
        (f64::NAN, "nan"),
    ] {
        let mut out = Vec::new();
        push_f64(&mut out, value);
        assert_eq!(String::from_utf8_lossy(&out), text, "{value:e}");
    }
}

/// Numbers of all magnitudes, 1863 of them with more digits than needed: what Redis 7.2.6 answers
/// when it is asked for them as scores, each with a newline behind it, has this checksum.
#[test]
fn many_floats_have_the_very_digits_of_redis() {
    let mut state = 0_u64;
    let (mut crc, mut count) = (0, 0);
    for round in 0..40_000 {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        let value = match round % 4 {
            0 => f64::from_bits(bits),
            1 => bits as f64 / 2_f64.powi((bits % 64) as i32),
            2 => (bits >> 32) as f64 / 10_f64.powi((bits % 8) as i32),
            _ => (bits >> 20) as f64 * 10_f64.powi((bits % 12) as i32),
        };
        if value.is_finite() {
            let mut text = Vec::new();
            push_f64(&mut text, value);
            text.push(b'\n');
            crc = crc64(crc, &text);
            count += 1;
        }
    }
    assert_eq!((count, crc), (39_997, 0xe7ef_c77e_50a8_f926));
}

#[test]
fn floats_as_redis_prints_them_where_it_looks_for_no_whole_numbers() {
    for (value, text) in [
        (0.0, "0"),
        (-0.0, "-0"),
        (-12.0, "-12"),
        (1e10, "1e+10"),
        (1234567890.0, "1234567890"),
        (0.5, "0.5"),
        (f64::NAN, "nan"),
        (-f64::NAN, "-nan"),
        (f64::NEG_INFINITY, "-inf"),
    ] {
        let mut out = Vec::new();
        push_f64_scientific(&mut out, value);
        assert_eq!(String::from_utf8_lossy(&out), text, "{value:e}");
    }
}

proptest! {
    #[test]
    fn integers_come_back(value: i64) {
        let mut out = Vec::new();
        push_i64(&mut out, value);
        prop_assert_eq!(parse_i64(&out), Some(value));
        prop_assert!(out.len() <= MAX_I64_BYTES);
        prop_assert_eq!(parse_u64(value.unsigned_abs().to_string().as_bytes()), Some(value.unsigned_abs()));
    }

    #[test]
    fn integers_agree_with_the_standard_library(text in "[-+]?[0-9]{0,21}") {
        let canonical = text.parse::<i64>().ok().filter(|value| value.to_string() == text);
        prop_assert_eq!(parse_i64(text.as_bytes()), canonical);
        let canonical = text.parse::<u64>().ok().filter(|value| value.to_string() == text);
        prop_assert_eq!(parse_u64(text.as_bytes()), canonical);
    }

    #[test]
    fn floats_come_back(bits: u64) {
        let value = f64::from_bits(bits);
        prop_assume!(!value.is_nan());
        let mut out = Vec::new();
        push_f64(&mut out, value);
        prop_assert!(out.len() <= MAX_F64_BYTES, "{}", out.escape_ascii());
        prop_assert_eq!(parse_f64(&out).map(f64::to_bits), Some(bits), "{}", out.escape_ascii());
    }

    #[test]
    fn hexadecimal_floats_come_back(bits: u64) {
        let value = f64::from_bits(bits & !(1 << 63));
        prop_assume!(value.is_finite() && value != 0.0);
        let (biased, fraction) = (value.to_bits() >> 52, value.to_bits() & ((1 << 52) - 1));
        let text = match biased {
            0 => format!("0x0.{fraction:013x}p-1022"),
            _ => format!("0x1.{fraction:013x}p{}", biased as i64 - 1023),
        };
        prop_assert_eq!(parse_f64(text.as_bytes()), Some(value), "{}", text);
    }

    #[test]
    fn reading_never_panics(text in prop::collection::vec(prop::sample::select(b"0123456789+-.eExXpPaAfFinty \0".to_vec()), 0..30)) {
        let _ = (parse_i64(&text), parse_u64(&text), parse_f64(&text));
    }
}
