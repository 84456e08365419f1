//! The syntax of directive values: how one is read, shown, and written back to a file.
//!
//! A row of the table names a kind and the type of its field. The kind knows nothing about the
//! directive it stands in. Texts of refusals are Redis's, to the letter: clients and tests read
//! them.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::RangeInclusive;

use super::grammar;

/// Why a value is refused: the part after the dash of `CONFIG SET failed (...) - `.
pub(crate) type Reason = Cow<'static, str>;

/// A line that CONFIG REWRITE writes for a directive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Name and value, as they stand in the file.
    pub(crate) text: String,
    /// Written even when the file does not mention the directive yet: the value is no default.
    pub(crate) force: bool,
}

/// How values of type `T` are spelled.
pub(crate) trait Kind<T: PartialEq> {
    /// Reads a value from its words.
    ///
    /// `old` is the value so far: some directives change a part of it. `repeated` says that the
    /// directive stood before in the files that are being read, so that `save` adds to it.
    fn parse(&self, words: &[&str], old: &T, repeated: bool) -> Result<T, Reason>;

    /// The value as CONFIG GET shows it.
    fn text(&self, value: &T) -> String;

    /// What CONFIG REWRITE leaves in the file. No line at all: mentions of it are dropped.
    fn lines(&self, name: &str, value: &T, default: &T) -> Vec<Line> {
        vec![Line { text: format!("{name} {}", self.text(value)), force: value != default }]
    }

    /// One word or short phrase for the help text.
    fn syntax(&self) -> String;
}

/// The word of a directive that takes exactly one.
pub(crate) fn one<'a>(words: &[&'a str]) -> Result<&'a str, Reason> {
    match words {
        [word] => Ok(word),
        _ => Err("wrong number of arguments".into()),
    }
}

/// Numbers that a field may hold.
pub(crate) trait Number: Copy + PartialEq {
    /// Widens, so that every range fits.
    fn wide(self) -> i128;
    /// Narrows, if it fits.
    fn narrow(wide: i128) -> Option<Self>;
}

macro_rules! numbers {
    ($($ty:ty)*) => {$(
        impl Number for $ty {
            fn wide(self) -> i128 {
                self as i128
            }
            fn narrow(wide: i128) -> Option<Self> {
                Self::try_from(wide).ok()
            }
        }
    )*};
}
numbers!(u16 u32 u64 usize i32 i64);

/// Largest value of Redis's `int` directives.
pub(crate) const INT_MAX: i128 = i32::MAX as i128;
/// Smallest value of Redis's `int` directives.
pub(crate) const INT_MIN: i128 = i32::MIN as i128;
/// Largest value of Redis's `unsigned int` directives.
pub(crate) const UINT_MAX: i128 = u32::MAX as i128;
/// Largest value of Redis's `long`, `long long`, `off_t` directives.
pub(crate) const LONG_MAX: i128 = i64::MAX as i128;
/// Largest value of Redis's `unsigned long long` directives.
pub(crate) const ULONG_MAX: i128 = u64::MAX as i128;

/// A whole number within a range, written in decimal.
pub(crate) struct Int(pub(crate) RangeInclusive<i128>);

/// A number of bytes within a range: `100`, `100k` (1000 each), `100kb` (1024 each), up to `gb`.
pub(crate) struct Memory(pub(crate) RangeInclusive<i128>);

/// File permissions, in octal.
pub(crate) struct Octal(pub(crate) RangeInclusive<i128>);

fn within<T: Number>(value: i128, range: &RangeInclusive<i128>) -> Result<T, Reason> {
    let inside = if range.contains(&value) { T::narrow(value) } else { None };
    inside.ok_or_else(|| {
        format!("argument must be between {} and {} inclusive", range.start(), range.end()).into()
    })
}

impl<T: Number> Kind<T> for Int {
    fn parse(&self, words: &[&str], _: &T, _: bool) -> Result<T, Reason> {
        let value = strict_integer(one(words)?)
            .ok_or(Reason::Borrowed("argument couldn't be parsed into an integer"))?;
        within(value.into(), &self.0)
    }

    fn text(&self, value: &T) -> String {
        value.wide().to_string()
    }

    fn syntax(&self) -> String {
        format!("{}..{}", self.0.start(), self.0.end())
    }
}

impl<T: Number> Kind<T> for Memory {
    fn parse(&self, words: &[&str], _: &T, _: bool) -> Result<T, Reason> {
        let bytes =
            memory(one(words)?).ok_or(Reason::Borrowed("argument must be a memory value"))?;
        within(bytes.into(), &self.0)
    }

    fn text(&self, value: &T) -> String {
        value.wide().to_string()
    }

    fn lines(&self, name: &str, value: &T, default: &T) -> Vec<Line> {
        let text = format!("{name} {}", memory_in_units(value.wide()));
        vec![Line { text, force: value != default }]
    }

    fn syntax(&self) -> String {
        "bytes".to_owned()
    }
}

impl<T: Number> Kind<T> for Octal {
    fn parse(&self, words: &[&str], _: &T, _: bool) -> Result<T, Reason> {
        let value = loose_integer(one(words)?, 8)
            .ok_or(Reason::Borrowed("argument couldn't be parsed as an octal number"))?;
        within(value.into(), &self.0).map_err(|_| {
            let (low, high) = (self.0.start(), self.0.end());
            format!("argument must be between {low:o} and {high:o} inclusive").into()
        })
    }

    fn text(&self, value: &T) -> String {
        format!("{:o}", value.wide())
    }

    fn syntax(&self) -> String {
        "octal".to_owned()
    }
}

/// `yes` or `no`.
pub(crate) struct YesNo;

impl Kind<bool> for YesNo {
    fn parse(&self, words: &[&str], _: &bool, _: bool) -> Result<bool, Reason> {
        let word = one(words)?;
        if word.eq_ignore_ascii_case("yes") {
            Ok(true)
        } else if word.eq_ignore_ascii_case("no") {
            Ok(false)
        } else {
            Err("argument must be 'yes' or 'no'".into())
        }
    }

    fn text(&self, value: &bool) -> String {
        if *value { "yes" } else { "no" }.to_owned()
    }

    fn syntax(&self) -> String {
        "yes|no".to_owned()
    }
}

/// A text that may be empty.
pub(crate) struct Text;

/// A text where empty means: not set. Such a line does not stay in a rewritten file.
pub(crate) struct OptionalText;

/// A text that some rule must like.
pub(crate) struct CheckedText(pub(crate) fn(&str) -> Result<(), &'static str>);

/// An [`OptionalText`] that some rule must like.
pub(crate) struct CheckedOptionalText(pub(crate) fn(&str) -> Result<(), &'static str>);

fn quoted_line(name: &str, value: &str, force: bool) -> Line {
    Line { text: format!("{name} {}", grammar::quote(value.as_bytes())), force }
}

impl Kind<String> for Text {
    fn parse(&self, words: &[&str], _: &String, _: bool) -> Result<String, Reason> {
        one(words).map(str::to_owned)
    }

    fn text(&self, value: &String) -> String {
        value.clone()
    }

    fn lines(&self, name: &str, value: &String, default: &String) -> Vec<Line> {
        vec![quoted_line(name, value, value != default)]
    }

    fn syntax(&self) -> String {
        "text".to_owned()
    }
}

impl Kind<String> for OptionalText {
    fn parse(&self, words: &[&str], _: &String, _: bool) -> Result<String, Reason> {
        one(words).map(str::to_owned)
    }

    fn text(&self, value: &String) -> String {
        value.clone()
    }

    fn lines(&self, name: &str, value: &String, _: &String) -> Vec<Line> {
        if value.is_empty() { vec![] } else { vec![quoted_line(name, value, true)] }
    }

    fn syntax(&self) -> String {
        "text".to_owned()
    }
}

impl Kind<String> for CheckedText {
    fn parse(&self, words: &[&str], old: &String, repeated: bool) -> Result<String, Reason> {
        (self.0)(one(words)?)?;
        Text.parse(words, old, repeated)
    }

    fn text(&self, value: &String) -> String {
        Text.text(value)
    }

    fn lines(&self, name: &str, value: &String, default: &String) -> Vec<Line> {
        Text.lines(name, value, default)
    }

    fn syntax(&self) -> String {
        Text.syntax()
    }
}

impl Kind<String> for CheckedOptionalText {
    fn parse(&self, words: &[&str], old: &String, repeated: bool) -> Result<String, Reason> {
        (self.0)(one(words)?)?;
        OptionalText.parse(words, old, repeated)
    }

    fn text(&self, value: &String) -> String {
        OptionalText.text(value)
    }

    fn lines(&self, name: &str, value: &String, default: &String) -> Vec<Line> {
        OptionalText.lines(name, value, default)
    }

    fn syntax(&self) -> String {
        OptionalText.syntax()
    }
}

/// A type whose values are words of a fixed list.
pub(crate) trait Choice: Copy + PartialEq + 'static {
    /// Word and value. When several words mean one value, the first is the one shown.
    const WORDS: &'static [(&'static str, Self)];
}

/// One word of a fixed list.
pub(crate) struct OneOf;

/// `argument(s) must be one of the following: a, b`.
pub(crate) fn not_one_of(words: impl IntoIterator<Item = &'static str>) -> Reason {
    let mut text = "argument(s) must be one of the following: ".to_owned();
    for (index, word) in words.into_iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}{word}");
    }
    text.into()
}

impl<T: Choice> Kind<T> for OneOf {
    fn parse(&self, words: &[&str], _: &T, _: bool) -> Result<T, Reason> {
        let word = one(words)?;
        T::WORDS
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(word))
            .map(|(_, value)| *value)
            .ok_or_else(|| not_one_of(T::WORDS.iter().map(|(known, _)| *known)))
    }

    fn text(&self, value: &T) -> String {
        T::WORDS
            .iter()
            .find(|(_, known)| known == value)
            .map_or("unknown", |(word, _)| *word)
            .to_owned()
    }

    fn syntax(&self) -> String {
        let words: Vec<&str> = T::WORDS.iter().map(|(word, _)| *word).collect();
        words.join("|")
    }
}

/// A decimal number as Redis's protocol writes it: no blanks, no plus, no leading zeros.
fn strict_integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let canonical = match digits.as_bytes() {
        [b'0'] => text == "0",
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if canonical { text.parse().ok() } else { None }
}

/// A number as C's `strtoll` reads one: leading blanks and a sign are welcome, nothing at all is 0.
pub(crate) fn loose_integer(text: &str, radix: u32) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    let text = text.trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    i64::from_str_radix(text, radix).ok()
}

/// Bytes from `12`, `12b`, `12k`, `12kb`, `12m`, `12mb`, `12g`, `12gb`, in either case.
///
/// Digits may be missing, which means 0, as in Redis. What does not fit 64 bits is refused; Redis
/// wraps around silently there.
pub(crate) fn memory(text: &str) -> Option<u64> {
    let unit_at = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(unit_at)?;
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1_000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    let count: u64 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    count.checked_mul(factor)
}

/// Bytes in the largest of gb, mb, kb that divides them, as CONFIG REWRITE writes them.
pub(crate) fn memory_in_units(bytes: i128) -> String {
    let fits = |unit: i128| bytes != 0 && bytes % unit == 0;
    [(1 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb")]
        .into_iter()
        .find(|(unit, _)| fits(*unit))
        .map_or_else(|| bytes.to_string(), |(unit, name)| format!("{}{name}", bytes / unit))
}
