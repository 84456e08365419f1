//! Numbers as C prints and reads them: `%.14g` and `strtod`.

use larder_protocol::number::push_i64;

/// Appends a number with up to `precision` significant digits, as C's `%.*g` does.
pub(super) fn general(out: &mut Vec<u8>, value: f64, precision: usize) {
    let precision = precision.max(1);
    if value.is_nan() {
        return out.extend_from_slice(if value.is_sign_negative() { b"-nan" } else { b"nan" });
    }
    // Integers are what most numbers are.
    if value.fract() == 0.0 && value.abs() < 10f64.powi(precision.min(15) as i32) {
        if value == 0.0 && value.is_sign_negative() {
            out.push(b'-');
        }
        return push_i64(out, value as i64);
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let magnitude = value.abs();
    if magnitude.is_infinite() {
        return out.extend_from_slice(b"inf");
    }
    let text = format!("{:.*e}", precision - 1, magnitude);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
    let count = digits.iter().rposition(|digit| *digit != b'0').map_or(1, |last| last + 1);
    let digits = &digits[..count];
    if exponent < -4 || exponent >= precision as i32 {
        out.push(digits[0]);
        if count > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        let sign = if exponent < 0 { '-' } else { '+' };
        out.extend_from_slice(format!("e{sign}{:02}", exponent.abs()).as_bytes());
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + exponent.unsigned_abs() as usize - 1, b'0');
        out.extend_from_slice(digits);
    } else {
        let whole = exponent as usize + 1;
        out.extend_from_slice(&digits[..count.min(whole)]);
        out.resize(out.len() + whole.saturating_sub(count), b'0');
        if count > whole {
            out.push(b'.');
            out.extend_from_slice(&digits[whole..]);
        }
    }
}

/// Reads the number that a text begins with, as C's `strtod` does: decimal, hexadecimal, infinity or
/// none; with its length.
pub(super) fn parse_prefix(text: &[u8]) -> Option<(f64, usize)> {
    let negative = text.first() == Some(&b'-');
    let signed = usize::from(negative || text.first() == Some(&b'+'));
    let rest = &text[signed..];
    let starts =
        |word: &[u8]| rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    let (magnitude, len) = if starts(b"infinity") {
        (f64::INFINITY, 8)
    } else if starts(b"inf") {
        (f64::INFINITY, 3)
    } else if starts(b"nan") {
        (f64::NAN, 3)
    } else if starts(b"0x")
        && let Some(found) = parse_hexadecimal(rest)
    {
        found
    } else {
        parse_decimal(rest)?
    };
    Some((if negative { -magnitude } else { magnitude }, signed + len))
}

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// The length of an exponent at the beginning of `text`, marked by `mark`.
fn exponent(text: &[u8], mark: u8) -> usize {
    if text.first().is_none_or(|byte| byte | 0x20 != mark) {
        return 0;
    }
    let signed = usize::from(matches!(text.get(1), Some(b'+' | b'-')));
    match digits(text.get(1 + signed..).unwrap_or_default()) {
        0 => 0,
        digits => 1 + signed + digits,
    }
}

fn parse_decimal(text: &[u8]) -> Option<(f64, usize)> {
    let whole = digits(text);
    let mut len = whole;
    if text.get(len) == Some(&b'.') {
        let fraction = digits(&text[len + 1..]);
        if whole + fraction == 0 {
            return None;
        }
        len += 1 + fraction;
    } else if whole == 0 {
        return None;
    }
    len += exponent(&text[len..], b'e');
    let number = std::str::from_utf8(&text[..len]).ok()?.parse().ok()?;
    Some((number, len))
}

fn parse_hexadecimal(text: &[u8]) -> Option<(f64, usize)> {
    let digit = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let (mut at, mut value, mut scale, mut seen) = (2, 0.0_f64, 0_i32, false);
    while let Some(digit) = digit(at) {
        value = value * 16.0 + f64::from(digit);
        (at, seen) = (at + 1, true);
    }
    if text.get(at) == Some(&b'.') {
        let mut after = at + 1;
        while let Some(digit) = digit(after) {
            value = value * 16.0 + f64::from(digit);
            scale = scale.saturating_sub(4);
            (after, seen) = (after + 1, true);
        }
        at = after;
    }
    if !seen {
        return None;
    }
    let power = exponent(&text[at..], b'p');
    if power > 0 {
        let power_text = std::str::from_utf8(&text[at + 1..at + power]).ok()?;
        scale = scale.saturating_add(power_text.parse::<i32>().unwrap_or(i32::MAX));
    }
    Some((value * 2f64.powi(scale.clamp(-5000, 5000)), at + power))
}

#[cfg(test)]
mod tests {
    use super::{general, parse_prefix};

    #[test]
    fn printed_as_c_prints() {
        let cases = [
            (0.1, 14, "0.1"),
            (1e14, 14, "1e+14"),
            (123_456_789.125, 14, "123456789.125"),
            (1.0 / 3.0, 14, "0.33333333333333"),
            (1e-5, 14, "1e-05"),
            (0.0001, 14, "0.0001"),
            (-0.0, 14, "-0"),
            (1234.5, 2, "1.2e+03"),
            (99.9, 2, "1e+02"),
            (f64::INFINITY, 14, "inf"),
        ];
        for (value, precision, text) in cases {
            let mut out = Vec::new();
            general(&mut out, value, precision);
            assert_eq!(String::from_utf8_lossy(&out), text);
        }
    }

    #[test]
    fn read_as_c_reads() {
        assert_eq!(parse_prefix(b"-5e3,"), Some((-5000.0, 4)));
        assert_eq!(parse_prefix(b"1e"), Some((1.0, 1)));
        assert_eq!(parse_prefix(b"0x1fp1"), Some((62.0, 6)));
        assert_eq!(parse_prefix(b"0x"), Some((0.0, 1)));
        assert_eq!(parse_prefix(b"-.5"), Some((-0.5, 3)));
        assert_eq!(parse_prefix(b"+inf"), Some((f64::INFINITY, 4)));
        assert_eq!(parse_prefix(b"."), None);
        assert_eq!(parse_prefix(b"-"), None);
    }
}
