//! Sums of decimal numbers, as INCRBYFLOAT and HINCRBYFLOAT print them.
//!
//! Redis reads both texts into the 80-bit floating point numbers of x86, adds them and prints 17
//! decimals without trailing zeros. Users depend on the outcome: 0.1 + 0.2 is 0.3 there, while the
//! sum of two `f64` would show 0.30000000000000004. Rust has no such type, so this module has one:
//! a 64-bit mantissa with rounding to even after reading and after adding, which gives the very
//! digits of Redis on x86-64 (on ARM Redis computes with 113 bits, and prints the same for all but
//! the longest inputs).
//!
//! Ordinary numbers are handled in 128-bit integers. Only numbers with more than 19 digits, or far
//! from 1, need the arbitrary precision of `Big`; their length is bounded, so the work is.

use std::cmp::Ordering;
use std::fmt::Write;

use crate::error::CommandError;

/// Longest text read, as in Redis.
const MAX_TEXT_BYTES: usize = 5 * 1024 - 1;

/// Digits that are taken into account. Those after it only count as "a little more", which is
/// exact unless somebody writes the midpoint of two neighbouring numbers out to this length.
const MAX_DIGITS: usize = 800;

/// Decimals printed, and that power of ten.
const DECIMALS: usize = 17;
const DECIMAL_SCALE: u128 = 10_u128.pow(DECIMALS as u32);

/// Powers of two of the largest number, and of the smallest that does not vanish: half of what an
/// x87 register can hold, from where reading rounds up.
const MAX_EXPONENT: i64 = 16383;
const MIN_EXPONENT: i64 = -16446;

/// Why there is no sum. Converted to a [`CommandError`] it reads as in INCRBYFLOAT; commands with
/// texts of their own match on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddError {
    /// The increment is no number.
    IncrementNotFloat,
    /// The current value is no number.
    CurrentNotFloat,
    /// The increment is infinite.
    IncrementInfinite,
    /// The sum is not finite.
    NotFinite,
}

impl From<AddError> for CommandError {
    fn from(error: AddError) -> Self {
        match error {
            AddError::IncrementNotFloat | AddError::CurrentNotFloat => CommandError::NOT_FLOAT,
            AddError::IncrementInfinite | AddError::NotFinite => CommandError::NAN_OR_INF,
        }
    }
}

/// The sum of two numbers given as text, as text.
///
/// ```
/// use larder_protocol::decimal::{AddError, add};
///
/// assert_eq!(add(b"0.1", b"0.2").as_deref(), Ok(&b"0.3"[..]));
/// assert_eq!(add(b"5.0e3", b"2.0e2").as_deref(), Ok(&b"5200"[..]));
/// assert_eq!(add(b"1", b"inf"), Err(AddError::IncrementInfinite));
/// ```
///
/// # Errors
///
/// [`AddError`], which says what was not a finite number.
pub fn add(current: &[u8], increment: &[u8]) -> Result<Vec<u8>, AddError> {
    let increment = Number::parse(increment).ok_or(AddError::IncrementNotFloat)?;
    let current = Number::parse(current).ok_or(AddError::CurrentNotFloat)?;
    let Number::Finite(increment) = increment else { return Err(AddError::IncrementInfinite) };
    let Number::Finite(current) = current else { return Err(AddError::NotFinite) };
    let sum = current.plus(increment);
    if sum.top() > MAX_EXPONENT {
        return Err(AddError::NotFinite);
    }
    Ok(sum.to_text().into_bytes())
}

/// A finite number with 17 decimals and without trailing zeros: the form in which Redis prints
/// coordinates. Empty for what is not finite.
#[must_use]
pub fn format_human_f64(value: f64) -> String {
    if !value.is_finite() {
        return String::new();
    }
    let bits = value.to_bits();
    let (biased, fraction) = ((bits >> 52) & 0x7ff, bits & ((1 << 52) - 1));
    let (mantissa, exponent) = match biased {
        0 => (fraction, -1074),
        _ => (fraction | 1 << 52, biased as i64 - 1075),
    };
    Extended::rounded(value.is_sign_negative(), u128::from(mantissa), exponent, false).to_text()
}

/// Reads what follows `0x` as C's `strtod` does. Nothing for invalid text, and for values that
/// overflow to infinity or vanish to zero.
pub(crate) fn hex_to_f64(digits: &[u8]) -> Option<f64> {
    let (mantissa, exponent, sticky) = parse_hex(digits)?;
    if mantissa == 0 {
        return Some(0.0);
    }
    let top = exponent.saturating_add(i64::from(127 - mantissa.leading_zeros()));
    if !(-1080..=1023).contains(&top) {
        return None;
    }
    // The last bit an f64 of this size has.
    let last = (top - 52).max(-1074);
    let rounded = match u32::try_from(last - exponent) {
        Ok(shift) => shift_rounded(mantissa, shift, sticky),
        // No more than 52 places: the result has 53 bits.
        Err(_) => mantissa << (exponent - last),
    };
    // Each step is exact, because the result is.
    let mut value = rounded as f64;
    let mut left = last;
    while left != 0 {
        let step = left.clamp(-1000, 1000);
        value *= f64::from_bits(((step + 1023) as u64) << 52);
        left -= step;
    }
    (value.is_finite() && value != 0.0).then_some(value)
}

enum Number {
    Finite(Extended),
    Infinite,
}

impl Number {
    fn parse(text: &[u8]) -> Option<Self> {
        if text.len() > MAX_TEXT_BYTES {
            return None;
        }
        let (negative, digits) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        if digits.eq_ignore_ascii_case(b"inf") || digits.eq_ignore_ascii_case(b"infinity") {
            return Some(Number::Infinite);
        }
        let (value, zero) = match digits {
            [b'0', b'x' | b'X', hex @ ..] => {
                let (mantissa, exponent, sticky) = parse_hex(hex)?;
                (Extended::rounded(negative, mantissa, exponent, sticky), mantissa == 0)
            }
            _ => {
                let decimal = Decimal::parse(digits)?;
                (decimal.to_extended(negative), decimal.is_zero())
            }
        };
        // Out of range: no number for Redis, rather than infinite or zero.
        let in_range = zero || (MIN_EXPONENT..=MAX_EXPONENT).contains(&value.top());
        in_range.then_some(Number::Finite(value))
    }
}

/// `mantissa * 2^exponent`. The mantissa's top bit is set, unless the number is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extended {
    negative: bool,
    mantissa: u64,
    exponent: i64,
}

impl Extended {
    const ZERO: Extended = Extended { negative: false, mantissa: 0, exponent: 0 };

    /// `value * 2^exponent` in 64 bits. `sticky` says that the true value is a little larger; it
    /// comes only with values of more than 65 bits.
    fn rounded(negative: bool, value: u128, exponent: i64, sticky: bool) -> Self {
        if value == 0 {
            return Self::ZERO;
        }
        let bits = 128 - value.leading_zeros();
        if bits <= 64 {
            let up = 64 - bits;
            let mantissa = (value << up) as u64;
            return Extended { negative, mantissa, exponent: exponent - i64::from(up) };
        }
        let down = bits - 64;
        let rounded = shift_rounded(value, down, sticky);
        let exponent = exponent.saturating_add(i64::from(down));
        match u64::try_from(rounded) {
            Ok(mantissa) => Extended { negative, mantissa, exponent },
            Err(_) => {
                Extended { negative, mantissa: 1 << 63, exponent: exponent.saturating_add(1) }
            }
        }
    }

    /// Power of two of the top bit; far below every number for zero.
    fn top(self) -> i64 {
        if self.mantissa == 0 { i64::MIN } else { self.exponent.saturating_add(63) }
    }

    fn plus(self, other: Self) -> Self {
        let (large, small) =
            match (self.exponent, self.mantissa).cmp(&(other.exponent, other.mantissa)) {
                _ if other.mantissa == 0 => return self,
                _ if self.mantissa == 0 => return other,
                Ordering::Less => (other, self),
                _ => (self, other),
            };
        // Two bits above for the carry, 62 below to round from.
        const GUARD: u32 = 62;
        let distance = u32::try_from(large.exponent - small.exponent).unwrap_or(u32::MAX);
        let wide = u128::from(small.mantissa) << GUARD;
        let aligned = wide.checked_shr(distance).unwrap_or(0);
        let sticky = aligned.checked_shl(distance).unwrap_or(0) != wide;
        let whole = u128::from(large.mantissa) << GUARD;
        let sum = if large.negative == small.negative {
            whole + aligned
        } else {
            // A lost remainder makes the true difference a little less: one less, a little more.
            whole - aligned - u128::from(sticky)
        };
        Self::rounded(large.negative, sum, large.exponent - i64::from(GUARD), sticky)
    }

    fn to_text(self) -> String {
        let mut text = String::new();
        if self.negative {
            text.push('-');
        }
        if self.exponent > 64 {
            Big::from(u128::from(self.mantissa)).shifted(self.exponent as usize).print(&mut text);
            return text;
        }
        let scaled = match u32::try_from(-self.exponent) {
            Ok(shift) => shift_rounded(u128::from(self.mantissa) * DECIMAL_SCALE, shift, false),
            Err(_) => {
                let whole = u128::from(self.mantissa) << self.exponent;
                // Writing to a string cannot fail.
                let _ = write!(text, "{whole}");
                return text;
            }
        };
        if scaled == 0 {
            return "0".into();
        }
        let (whole, fraction) = (scaled / DECIMAL_SCALE, scaled % DECIMAL_SCALE);
        let _ = write!(text, "{whole}.{fraction:0DECIMALS$}");
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
        text
    }
}

/// `value / 2^shift`, to the nearest integer, a tie to the even one. `sticky` says that the true
/// value is a little larger.
fn shift_rounded(value: u128, shift: u32, sticky: bool) -> u128 {
    match shift {
        0 => value,
        // Even the largest value is less than half then, but for shift 128, where callers have at
        // least six bits of headroom.
        128.. => 0,
        _ => {
            let quotient = value >> shift;
            let rest = value & ((1 << shift) - 1);
            let half = 1 << (shift - 1);
            let up = match rest.cmp(&half) {
                Ordering::Less => false,
                Ordering::Equal => sticky || quotient & 1 == 1,
                Ordering::Greater => true,
            };
            quotient + u128::from(up)
        }
    }
}

/// Mantissa, power of two, and whether there was more, of the hexadecimal number after `0x`.
fn parse_hex(text: &[u8]) -> Option<(u128, i64, bool)> {
    let (mut mantissa, mut exponent, mut sticky) = (0_u128, 0_i64, false);
    let (mut any, mut point) = (false, false);
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        let Some(digit) = char::from(*byte).to_digit(16) else {
            if *byte == b'.' && !point {
                point = true;
                rest = after;
                continue;
            }
            break;
        };
        any = true;
        if mantissa >> 120 == 0 {
            mantissa = mantissa << 4 | u128::from(digit);
            exponent -= if point { 4 } else { 0 };
        } else {
            sticky |= digit != 0;
            exponent += if point { 0 } else { 4 };
        }
        rest = after;
    }
    exponent = exponent.saturating_add(match rest {
        [] => 0,
        [b'p' | b'P', power @ ..] => parse_exponent(power)?,
        _ => return None,
    });
    any.then_some((mantissa, exponent, sticky))
}

/// An exponent with its sign; what does not fit is as good as the largest that does.
fn parse_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    // Far outside every range, and small enough to add a few more.
    const LIMIT: i64 = 1_000_000;
    let mut value = 0;
    for byte in digits {
        value = (value * 10 + i64::from(char::from(*byte).to_digit(10)?)).min(LIMIT);
    }
    (!digits.is_empty()).then_some(if negative { -value } else { value })
}

/// A decimal number as written: `digits * 10^exponent`.
struct Decimal {
    /// Significant digits, as numbers from 0 to 9. The first is not 0.
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    fn parse(text: &[u8]) -> Option<Self> {
        let mut decimal = Decimal { digits: Vec::with_capacity(text.len().min(32)), exponent: 0 };
        let (mut any, mut point, mut more) = (false, false, false);
        let mut rest = text;
        while let [byte, after @ ..] = rest {
            match byte {
                b'0'..=b'9' => {
                    any = true;
                    let digit = byte - b'0';
                    let kept = decimal.digits.len() < MAX_DIGITS;
                    if kept && (digit != 0 || !decimal.digits.is_empty()) {
                        decimal.digits.push(digit);
                    }
                    more |= !kept && digit != 0;
                    decimal.exponent += i64::from(!kept) - i64::from(point);
                }
                b'.' if !point => point = true,
                _ => break,
            }
            rest = after;
        }
        if more {
            decimal.digits.push(1);
            decimal.exponent -= 1;
        }
        decimal.exponent += match rest {
            [] => 0,
            [b'e' | b'E', power @ ..] => parse_exponent(power)?,
            _ => return None,
        };
        any.then_some(decimal)
    }

    fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    fn to_extended(&self, negative: bool) -> Extended {
        let digits = &self.digits[..];
        // Powers of ten that certainly overflow or vanish are not worked out. The results stand for
        // themselves: out of range.
        match self.exponent + digits.len() as i64 {
            _ if self.is_zero() => return Extended::ZERO,
            5000.. => return Extended { negative, mantissa: 1 << 63, exponent: MAX_EXPONENT + 1 },
            ..-5000 => return Extended::ZERO,
            _ => {}
        }
        let power = self.exponent.unsigned_abs() as u32;
        // 10^18 has 60 bits: the quotient of a 128-bit number keeps enough to round from.
        if digits.len() <= 19 && power <= 18 {
            let value = digits.iter().fold(0, |value, &digit| value * 10 + u128::from(digit));
            let ten = 10_u128.pow(power);
            if self.exponent >= 0 {
                return Extended::rounded(negative, value * ten, 0, false);
            }
            let up = value.leading_zeros();
            let value = value << up;
            return Extended::rounded(negative, value / ten, -i64::from(up), value % ten != 0);
        }
        let mut value = Big::default();
        for &digit in digits {
            value.multiply_add(10, u32::from(digit));
        }
        let mut ten = Big::from(1);
        if self.exponent >= 0 {
            value.multiply_power_of_ten(power);
        } else {
            ten.multiply_power_of_ten(power);
        }
        let (quotient, exponent, sticky) = value.divide(ten);
        Extended::rounded(negative, quotient, exponent, sticky)
    }
}

/// A natural number of any size, the lowest 32 bits first, without leading zeros.
#[derive(Clone, Debug, Default)]
struct Big(Vec<u32>);

impl From<u128> for Big {
    fn from(mut value: u128) -> Self {
        let mut words = Vec::with_capacity(4);
        while value != 0 {
            words.push(value as u32);
            value >>= 32;
        }
        Big(words)
    }
}

impl Big {
    fn bits(&self) -> usize {
        self.0.last().map_or(0, |top| self.0.len() * 32 - top.leading_zeros() as usize)
    }

    fn multiply_add(&mut self, factor: u32, summand: u32) {
        let mut carry = u64::from(summand);
        for word in &mut self.0 {
            carry += u64::from(*word) * u64::from(factor);
            *word = carry as u32;
            carry >>= 32;
        }
        if carry != 0 {
            self.0.push(carry as u32);
        }
    }

    fn multiply_power_of_ten(&mut self, power: u32) {
        for _ in 0..power / 9 {
            self.multiply_add(1_000_000_000, 0);
        }
        self.multiply_add(10_u32.pow(power % 9), 0);
    }

    fn shifted(self, places: usize) -> Self {
        let mut words = vec![0; places / 32];
        let mut carry = 0;
        for word in self.0 {
            let wide = u64::from(word) << (places % 32);
            words.push(wide as u32 | carry);
            carry = (wide >> 32) as u32;
        }
        if carry != 0 {
            words.push(carry);
        }
        Big(words)
    }

    fn at_least(&self, other: &Big) -> bool {
        let by_length = self.0.len().cmp(&other.0.len());
        by_length.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev())).is_ge()
    }

    /// Takes away `other`, which is not larger.
    fn subtract(&mut self, other: &Big) {
        let mut borrow = false;
        for (index, word) in self.0.iter_mut().enumerate() {
            let (less, first) = word.overflowing_sub(other.0.get(index).copied().unwrap_or(0));
            let (less, second) = less.overflowing_sub(u32::from(borrow));
            *word = less;
            borrow = first || second;
        }
        self.trim();
    }

    fn double(&mut self) {
        self.multiply_add(2, 0);
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    /// The first 67 or 68 bits of `self / divisor`, the power of two they stand for, and whether
    /// there are more. Both numbers are above zero.
    fn divide(self, divisor: Big) -> (u128, i64, bool) {
        let (own, others) = (self.bits(), divisor.bits());
        let mut rest = self.shifted(others.saturating_sub(own));
        let divisor = divisor.shifted(own.saturating_sub(others));
        // Equally long now: the first bit of the quotient is 1 or 0, the second is 1 at least then.
        let mut quotient = 0;
        for _ in 0..68 {
            quotient <<= 1;
            if rest.at_least(&divisor) {
                rest.subtract(&divisor);
                quotient |= 1;
            }
            rest.double();
        }
        (quotient, own as i64 - others as i64 - 67, rest.bits() != 0)
    }

    fn print(mut self, out: &mut String) {
        let mut groups = Vec::new();
        while self.bits() != 0 {
            let mut rest = 0;
            for word in self.0.iter_mut().rev() {
                let wide = rest << 32 | u64::from(*word);
                *word = (wide / 1_000_000_000) as u32;
                rest = wide % 1_000_000_000;
            }
            self.trim();
            groups.push(rest);
        }
        let mut groups = groups.into_iter().rev();
        // Writing to a string cannot fail.
        let _ = write!(out, "{}", groups.next().unwrap_or(0));
        for group in groups {
            let _ = write!(out, "{group:09}");
        }
    }
}

#[cfg(test)]
#[path = "decimal/tests.rs"]
mod tests;
