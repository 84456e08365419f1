//! Integers of 1 to 64 bits at any bit of a string: what BITFIELD works on.
//!
//! An integer's highest bit comes first, and it need not begin or end with a byte. Overflows are
//! found as Redis finds them, which shows in one place: SET of a value so far below a signed type
//! that the distance to its maximum exceeds 64 bits counts as too large, not as too small.

use std::ops::Range;

/// Bytes that 64 bits touch when they begin inside a byte.
const WINDOW_BYTES: usize = 9;

/// An integer type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Type {
    /// Whether it has a sign.
    pub signed: bool,
    /// How many bits it has: 1 to 64, to 63 without a sign.
    pub bits: u32,
}

/// What happens to a value that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overflow {
    /// Its high bits are lost.
    Wrap,
    /// The nearest value that fits takes its place.
    Saturate,
    /// Nothing is written.
    Fail,
}

/// What is done with an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Get,
    Set(i64, Overflow),
    Add(i64, Overflow),
}

/// One operation of BITFIELD.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub action: Action,
    pub kind: Type,
    /// Where the integer begins, in bits.
    pub offset: usize,
}

impl Type {
    /// The integer at an offset; bits beyond the end are clear.
    pub(super) fn read(self, bytes: &[u8], offset: usize) -> i64 {
        let window = window(bytes, offset);
        let aligned = window << (offset % 8);
        // The shift back decides whether the sign fills the bits above.
        match self.signed {
            true => (aligned as i128 >> (128 - self.bits)) as i64,
            false => (aligned >> (128 - self.bits)) as i64,
        }
    }

    /// Puts an integer at an offset; the bytes must reach as far.
    pub(super) fn write(self, bytes: &mut [u8], offset: usize, value: i64) {
        let place = |aligned: u128| aligned << (128 - self.bits) >> (offset % 8);
        let changed = window(bytes, offset) & !place(u128::MAX) | place(value as u128);
        let range = touched(bytes, offset);
        let len = range.len();
        bytes[range].copy_from_slice(&changed.to_be_bytes()[..len]);
    }

    /// The sum of a value and an increment, made fit; `None` when that is not wanted.
    fn add(self, value: i64, increment: i64, overflow: Overflow) -> Option<i64> {
        let sum = value.wrapping_add(increment);
        let exceeded = if self.signed {
            self.exceeded_signed(value, increment)
        } else {
            self.exceeded_unsigned(value, increment)
        };
        match (exceeded, overflow) {
            (None, _) => Some(sum),
            (Some(_), Overflow::Wrap) => Some(self.wrapped(sum)),
            (Some(limit), Overflow::Saturate) => Some(limit),
            (Some(_), Overflow::Fail) => None,
        }
    }

    /// The limit that a sum is beyond.
    fn exceeded_signed(self, value: i64, increment: i64) -> Option<i64> {
        let max = i64::MAX >> (64 - self.bits);
        let min = -max - 1;
        let (up, down) = (max.wrapping_sub(value), min.wrapping_sub(value));
        let narrow = self.bits < 64;
        if value > max || (increment > up && (narrow || (value >= 0 && increment > 0))) {
            Some(max)
        } else if value < min || (increment < down && (narrow || (value < 0 && increment < 0))) {
            Some(min)
        } else {
            None
        }
    }

    /// The limit that a sum is beyond; a negative value is one above all limits.
    fn exceeded_unsigned(self, value: i64, increment: i64) -> Option<i64> {
        let max = i64::MAX >> (63 - self.bits);
        if value < 0 || value > max || increment > max - value {
            Some(max)
        } else if increment < -value {
            Some(0)
        } else {
            None
        }
    }

    /// A value without the bits that do not fit.
    fn wrapped(self, value: i64) -> i64 {
        let above = 64 - self.bits;
        match self.signed {
            true => value << above >> above,
            false => ((value as u64) << above >> above) as i64,
        }
    }
}

impl Step {
    /// The last bit that it touches.
    pub(super) fn last_bit(self) -> usize {
        self.offset + self.kind.bits as usize - 1
    }

    /// The integer that it reads.
    pub(super) fn read(self, bytes: &[u8]) -> i64 {
        self.kind.read(bytes, self.offset)
    }

    /// Runs it; the bytes must reach as far as it writes. Gives the integers before and after;
    /// `None` when it did not fit.
    pub(super) fn run(self, bytes: &mut [u8]) -> Option<(i64, i64)> {
        let before = self.read(bytes);
        let after = match self.action {
            Action::Get => return Some((before, before)),
            Action::Set(value, overflow) => self.kind.add(value, 0, overflow)?,
            Action::Add(increment, overflow) => self.kind.add(before, increment, overflow)?,
        };
        self.kind.write(bytes, self.offset, after);
        Some((before, after))
    }
}

/// The bytes that an integer at an offset may touch, as far as there are any.
fn touched(bytes: &[u8], offset: usize) -> Range<usize> {
    let start = (offset / 8).min(bytes.len());
    start..bytes.len().min(start + WINDOW_BYTES)
}

/// The same bytes at the upper end of a number, zeros behind them.
fn window(bytes: &[u8], offset: usize) -> u128 {
    let mut window = [0; size_of::<u128>()];
    let range = touched(bytes, offset);
    window[..range.len()].copy_from_slice(&bytes[range]);
    u128::from_be_bytes(window)
}
