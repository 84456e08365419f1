//! Numbers as Redis reads and prints them.
//!
//! Integers are canonical: `+5`, `007`, `-0` and blanks are text, not numbers. That is what lets a
//! stored integer be kept as one and still give back the bytes that were stored. Floating point
//! numbers are read as C's `strtod` does, minus NaN, and printed with the digits of Redis (see
//! `fpconv`). The exact decimal arithmetic behind INCRBYFLOAT lives in [`decimal`].

use crate::decimal;
pub use crate::decimal::{AddError, format_human_f64};
use crate::fpconv;

/// Longest text of an integer: `-9223372036854775808`.
pub const MAX_I64_BYTES: usize = 20;

/// Room for any text [`push_f64`] appends: sign, 17 digits, leading zeros or exponent.
pub const MAX_F64_BYTES: usize = 32;

/// Reads a canonical decimal integer.
#[inline]
#[must_use]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    match text {
        [b'-', digits @ ..] => {
            let magnitude = parse_u64(digits)?;
            // "-0" is not canonical.
            (magnitude != 0).then_some(())?;
            0_i64.checked_sub_unsigned(magnitude)
        }
        digits => i64::try_from(parse_u64(digits)?).ok(),
    }
}

/// Reads a canonical decimal integer that is not negative.
#[inline]
#[must_use]
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    let (&first, rest) = text.split_first()?;
    let mut value = u64::from(digit(first)?);
    if value == 0 {
        return rest.is_empty().then_some(0);
    }
    if rest.len() < 19 {
        // Up to 19 digits always fit.
        for &byte in rest {
            value = value * 10 + u64::from(digit(byte)?);
        }
    } else {
        for &byte in rest {
            value = value.checked_mul(10)?.checked_add(u64::from(digit(byte)?))?;
        }
    }
    Some(value)
}

#[inline]
fn digit(byte: u8) -> Option<u8> {
    let value = byte.wrapping_sub(b'0');
    (value < 10).then_some(value)
}

/// Reads a floating point number as `strtod` does: decimal or hexadecimal, `inf` and `infinity` in
/// any case, with a sign if wanted. Refused: blanks, NaN, and values that overflow to infinity or
/// vanish to zero.
#[must_use]
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let unsigned = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
    if let [b'0', b'x' | b'X', digits @ ..] = unsigned {
        let value = decimal::hex_to_f64(digits)?;
        return Some(if text[0] == b'-' { -value } else { value });
    }
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let given_as_infinity = unsigned.first().is_some_and(u8::is_ascii_alphabetic);
    match value {
        _ if value.is_nan() => None,
        _ if value.is_infinite() && !given_as_infinity => None,
        _ if value == 0.0 && !is_decimal_zero(unsigned) => None,
        _ => Some(value),
    }
}

/// Whether a valid decimal text means zero, and not something too small to tell from it.
fn is_decimal_zero(text: &[u8]) -> bool {
    text.iter().take_while(|byte| !matches!(byte, b'e' | b'E')).all(|byte| b"0.".contains(byte))
}

/// The 64 bits that C makes of a double as an unsigned integer where Redis runs, on x86-64: two's
/// complement of a negative one, 0 from 2^64 on, and 2^63 for NaN and what is below -2^63.
#[must_use]
pub fn cast_u64(value: f64) -> u64 {
    const LIMIT: f64 = (1_u128 << 64) as f64;
    match value {
        LIMIT.. => 0,
        0.0.. => value as u64,
        _ if value.is_nan() => 1 << 63,
        _ => value as i64 as u64,
    }
}

/// Appends an integer.
#[inline]
pub fn push_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// The whole number that `value` is, if it is one that Redis prints as an integer: up to 2^62, so
/// without rounding. The bound is visible: 2^62 is printed to the last digit, the next `f64` with
/// fewer.
#[must_use]
pub fn whole(value: f64) -> Option<i64> {
    const MAX: f64 = (i64::MAX / 2) as f64;
    (value.abs() <= MAX && value.fract() == 0.0).then_some(value as i64)
}

/// Appends a floating point number with digits that read back as `value`, laid out as in Redis since
/// 7.2: whole numbers up to 2^62 without a point, others as plain decimals while they stay short
/// (`0.0001`, `1234.5`), with an exponent beyond (`1e+19`, `1e-7`).
pub fn push_f64(out: &mut Vec<u8>, value: f64) {
    match whole(value) {
        Some(number) if number != 0 => push_i64(out, number),
        _ if value.is_nan() => out.extend_from_slice(b"nan"),
        _ => fpconv::push(out, value),
    }
}

/// Appends a floating point number with 17 digits, as C prints it with `%.17g`: zeros at the end are
/// left out, an exponent below -4 or above 16 is written.
pub fn push_f64_exact(out: &mut Vec<u8>, value: f64) {
    const DIGITS: i64 = 17;
    if !value.is_finite() || value == 0.0 {
        return push_f64(out, value);
    }
    if value < 0.0 {
        out.push(b'-');
    }
    let scientific = format!("{:.*e}", DIGITS as usize - 1, value.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent = parse_i64(exponent.as_bytes()).unwrap_or(0);
    let digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
    let count = digits.iter().rposition(|&digit| digit != b'0').map_or(1, |last| last + 1);
    let digits = &digits[..count];
    let zeros = |out: &mut Vec<u8>, n: usize| out.resize(out.len() + n, b'0');
    match exponent {
        -4..=-1 => {
            out.extend_from_slice(b"0.");
            zeros(out, exponent.unsigned_abs() as usize - 1);
            out.extend_from_slice(digits);
        }
        0..DIGITS => {
            let whole = exponent as usize + 1;
            out.extend_from_slice(&digits[..count.min(whole)]);
            zeros(out, whole.saturating_sub(count));
            if count > whole {
                out.push(b'.');
                out.extend_from_slice(&digits[whole..]);
            }
        }
        _ => {
            out.push(digits[0]);
            if count > 1 {
                out.push(b'.');
                out.extend_from_slice(&digits[1..]);
            }
            out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
            if exponent.abs() < 10 {
                out.push(b'0');
            }
            push_i64(out, exponent.abs());
        }
    }
}

/// As [`push_f64`], but huge whole numbers have an exponent as well (`1e+10`), and what is no number
/// keeps its sign (`-nan`): what Redis has where it does not look for whole numbers first.
pub fn push_f64_scientific(out: &mut Vec<u8>, value: f64) {
    fpconv::push(out, value);
}

#[cfg(test)]
#[path = "number/tests.rs"]
mod tests;
