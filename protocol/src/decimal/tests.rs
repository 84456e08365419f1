//! Sums against texts that a C program with x87 `long double` printed, and against arithmetic laws.

use proptest::prelude::*;

use super::*;

fn sum(current: &str, increment: &str) -> Result<String, AddError> {
    add(current.as_bytes(), increment.as_bytes()).map(|text| String::from_utf8(text).unwrap())
}

#[test]
fn sums_that_users_rely_on() {
    for (current, increment, expected) in [
        ("0.1", "0.2", "0.3"),
        ("10.5", "0.1", "10.6"),
        ("10.6", "-5", "5.6"),
        ("5.0e3", "2.0e2", "5200"),
        ("3.0", "1.1", "4.1"),
        ("1", "0.25", "1.25"),
        ("0", "-1.1", "-1.1"),
        ("0", "123", "123"),
        ("0", "+.5", "0.5"),
        ("007", "1", "8"),
        ("1.1", "-1.1", "0"),
        ("-0", "0", "0"),
        ("0x10", "1", "17"),
    ] {
        assert_eq!(sum(current, increment).as_deref(), Ok(expected), "{current} + {increment}");
    }
}

#[test]
fn digits_of_the_80_bit_numbers() {
    for (current, increment, expected) in [
        // Where 64 bits end, the error shows as in Redis.
        ("429.69", "-89391.13", "-88961.44000000000000483"),
        ("54804.96", "0", "54804.96000000000000085"),
        ("588.7589630449822", "+0.0000000000407104716530737", "588.75896304502291051"),
        ("171e3", "-56430e10", "-564299999829000"),
        ("9223372036854775807", "1", "9223372036854775808"),
        ("18446744073709551615", "1", "18446744073709551616"),
        ("18446744073709551616", "1", "18446744073709551616"),
        ("18446744073709551616", "3", "18446744073709551620"),
        ("123456789012345678901234567890", "0", "123456789012345678899921813504"),
        ("63e-28", "0.000000000396627367486", "0.00000000039662737"),
        ("8.8e-12", "0", "0.0000000000088"),
        ("-5.41416e-16", "47415.88", "47415.87999999999999901"),
        ("66262353e-53", "-96778", "-96778"),
        ("1e-4951", "1", "bad"),
        ("2.6e-4951", "1", "1"),
        ("1e-17", "0", "0.00000000000000001"),
        ("4e-18", "0", "0"),
        ("-4e-18", "0", "0"),
    ] {
        let text = sum(current, increment).unwrap_or_else(|_| "bad".into());
        assert_eq!(text, expected, "{current} + {increment}");
    }
}

#[test]
fn what_is_no_sum() {
    for text in ["", " 1", "1 ", "abc", "nan", "1e", ".", "-", "0x", "1e5000", "1e-5000", "1\0"] {
        assert_eq!(sum("1", text), Err(AddError::IncrementNotFloat), "{text}");
        assert_eq!(sum(text, "1"), Err(AddError::CurrentNotFloat), "{text}");
    }
    let long = "1".repeat(MAX_TEXT_BYTES + 1);
    assert_eq!(sum("1", &long), Err(AddError::IncrementNotFloat));
    assert_eq!(sum("1", "-inf"), Err(AddError::IncrementInfinite));
    assert_eq!(sum("Infinity", "1"), Err(AddError::NotFinite));
    assert_eq!(sum("1.1e4932", "1.1e4932"), Err(AddError::NotFinite));
    assert_eq!(CommandError::from(AddError::NotFinite), CommandError::NAN_OR_INF);
    assert_eq!(CommandError::from(AddError::CurrentNotFloat), CommandError::NOT_FLOAT);
}

#[test]
fn extremes() {
    let largest = sum("1.1897314953572317650e4932", "0").unwrap();
    assert_eq!(largest.len(), 4933);
    assert!(largest.starts_with("118973149535723176"), "{}", &largest[..30]);
    // 5000 digits, of which the first 800 count, and a power far from 1.
    let long = format!("0.{}{}", "0".repeat(100), "9".repeat(4900));
    assert_eq!(sum("1", &long).as_deref(), Ok("1"));
    assert_eq!(sum(&"9".repeat(4000), &format!("-{}", "9".repeat(4000))).as_deref(), Ok("0"));
    assert_eq!(sum("1e99999999999999999999", "0"), Err(AddError::CurrentNotFloat));
    assert_eq!(sum("0e99999999999999999999", "1").as_deref(), Ok("1"));
}

#[test]
fn coordinates() {
    for (value, text) in [
        (13.361389338970184, "13.36138933897018433"),
        (-0.5, "-0.5"),
        (0.0, "0"),
        (-0.0, "0"),
        (1e20, "100000000000000000000"),
        (5e-324, "0"),
        (f64::INFINITY, ""),
    ] {
        assert_eq!(format_human_f64(value), text);
    }
}

proptest! {
    #[test]
    fn integers_are_exact(a in any::<i64>(), b in any::<i64>()) {
        // Both and their sum fit 64 bits of mantissa, sign apart.
        let expected = (i128::from(a) + i128::from(b)).to_string();
        prop_assert_eq!(sum(&a.to_string(), &b.to_string()).unwrap(), expected);
    }

    #[test]
    fn short_decimals_are_exact(a in -99_999_999_i64..=99_999_999, b in -99_999_999_i64..=99_999_999) {
        // Four decimals; the error of 64 bits lies beyond the 12 that are left of 17.
        let text = |v: i64| {
            let sign = if v < 0 { "-" } else { "" };
            format!("{sign}{}.{:04}", v.abs() / 10_000, v.abs() % 10_000)
        };
        let shown = sum(&text(a), &text(b)).unwrap().parse::<f64>().unwrap();
        prop_assert!((shown - (a + b) as f64 / 10_000.0).abs() < 1e-11, "{}", shown);
    }

    #[test]
    fn order_does_not_matter(
        a in "-?[0-9]{1,25}(\\.[0-9]{1,25})?(e-?[0-9]{1,2})?",
        b in "-?[0-9]{1,25}(\\.[0-9]{1,25})?(e-?[0-9]{1,3})?",
    ) {
        prop_assert_eq!(sum(&a, &b), sum(&b, &a));
    }

    #[test]
    fn both_ways_of_reading_agree(digits in 1_u64.., power in -18_i32..=18) {
        // Zeros in front of the exponent's digits change nothing, zeros behind the number take the
        // way of arbitrary precision.
        let short = format!("{digits}e{power}");
        let long = format!("{digits}.{}e{power}", "0".repeat(30));
        prop_assert_eq!(sum(&short, "0"), sum(&long, "0"));
    }

    #[test]
    fn the_text_of_an_f64_is_exact(bits: u64) {
        let value = f64::from_bits(bits);
        prop_assume!(value.is_finite() && value.abs() > 1e-10);
        let exact = format!("{value:.17}");
        let exact = exact.trim_end_matches('0').trim_end_matches('.');
        prop_assert_eq!(format_human_f64(value), exact);
    }

    #[test]
    fn nothing_panics(
        a in prop::collection::vec(prop::sample::select(b"0123456789+-.eExXpPaAfFinty ".to_vec()), 0..40),
        b in prop::collection::vec(prop::sample::select(b"0123456789+-.eExXpP".to_vec()), 0..40),
    ) {
        if let Ok(text) = add(&a, &b) {
            prop_assert!(add(&text, b"0").is_ok());
        }
    }
}
