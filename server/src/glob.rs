//! Glob patterns as KEYS, SCAN, PSUBSCRIBE, CONFIG GET and ACL rules use them.
//!
//! `*`, `?`, `[abc]`, `[^a-z]` and `\x` mean what they mean in Redis, down to the odd cases: a
//! class that is never closed ends with the pattern, a range may be written backwards, and an
//! empty text matches the empty pattern only.
//!
//! The matcher does not recurse. It remembers the last `*` alone: when the text does not fit,
//! that star takes one byte more. Stars before it never need to be tried again, because a longer
//! match for them would leave less text for a part that did not fit in more.
//!
//! Invariant: one call takes at most [`MAX_STEPS`] steps beyond one pass over pattern and text,
//! whatever an attacker sends.

/// How many pattern elements one call may compare in all while a star is being stretched.
///
/// A pattern that needs more is made to cost time (a long key, a long pattern, almost equal): it
/// does not match, as in Redis a pattern with too many stars does not. At about a nanosecond a
/// step this is some milliseconds, the most that one key may hold its shard.
pub const MAX_STEPS: usize = 4 << 20;

/// How many stars a match may get past, stars side by side counted as one and a last star not at
/// all. As in Redis, a pattern with more does not match, even where it should.
const MAX_STARS: usize = 1000;

/// Whether `text` as a whole fits `pattern`; with `nocase`, ASCII letters match either case.
#[must_use]
pub fn glob_match(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let mut rest = pattern;
    let mut left = text;
    // Where to go on when the text does not fit: the pattern after the last star, and the text
    // that this star has not yet taken.
    let mut retry: Option<(&[u8], &[u8])> = None;
    let mut stars = 0;
    let mut budget = MAX_STEPS.saturating_add(text.len()).saturating_add(pattern.len());
    loop {
        if let [b'*', after @ ..] = rest {
            if after.is_empty() {
                return true;
            }
            if after[0] != b'*' {
                stars += 1;
                if stars > MAX_STARS {
                    return false;
                }
            }
            rest = after;
            retry = Some((after, left));
            continue;
        }
        budget = match budget.checked_sub(1) {
            Some(budget) => budget,
            None => return false,
        };
        let fits = match left {
            [] if rest.is_empty() => return true,
            // No star can help: it would leave still less text.
            [] => return false,
            [byte, after @ ..] => element(rest, *byte, nocase).map(|next| (next, after)),
        };
        if let Some((next, after)) = fits {
            (rest, left) = (next, after);
            continue;
        }
        match retry {
            Some((after_star, [_, later @ ..])) => {
                retry = Some((after_star, later));
                (rest, left) = (after_star, later);
            }
            _ => return false,
        }
    }
}

/// The pattern after its first element, when that element takes `byte`.
fn element(pattern: &[u8], byte: u8, nocase: bool) -> Option<&[u8]> {
    match pattern {
        [] => None,
        [b'?', next @ ..] => Some(next),
        [b'[', class @ ..] => {
            let (taken, next) = class_takes(class, byte, nocase);
            taken.then_some(next)
        }
        // A backslash that ends the pattern stands for itself.
        [b'\\', literal, next @ ..] | [literal, next @ ..] => {
            same(*literal, byte, nocase).then_some(next)
        }
    }
}

/// Whether the class that starts at `class` (after its `[`) takes `byte`, and the pattern after it.
fn class_takes(class: &[u8], byte: u8, nocase: bool) -> (bool, &[u8]) {
    let (negated, mut rest) = match class {
        [b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut found = false;
    loop {
        rest = match rest {
            // An escaped member is compared as it stands, whatever `nocase` says: so does Redis.
            [b'\\', literal, next @ ..] => {
                found |= *literal == byte;
                next
            }
            [b']', next @ ..] => return (found != negated, next),
            [] => return (found != negated, rest),
            [from, b'-', to, next @ ..] => {
                found |= in_range(*from, *to, byte, nocase);
                next
            }
            [literal, next @ ..] => {
                found |= same(*literal, byte, nocase);
                next
            }
        };
    }
}

fn same(a: u8, b: u8, nocase: bool) -> bool {
    a == b || (nocase && a.eq_ignore_ascii_case(&b))
}

/// Bounds in either order. Bytes from 128 up sort below ASCII, because Redis compares signed chars.
fn in_range(from: u8, to: u8, byte: u8, nocase: bool) -> bool {
    let (low, high) = if from as i8 <= to as i8 { (from, to) } else { (to, from) };
    let fold = |byte: u8| if nocase { byte.to_ascii_lowercase() as i8 } else { byte as i8 };
    (fold(low)..=fold(high)).contains(&fold(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        glob_match(pattern.as_bytes(), text.as_bytes(), false)
    }

    #[test]
    fn words_stars_and_question_marks() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("*", "", false),
            ("", "a", false),
            ("*", "a", true),
            ("a*", "a", true),
            ("a**", "a", true),
            ("a*b", "ab", true),
            ("a*b", "axxb", true),
            ("a*b", "axxbx", false),
            ("*a*b*c*", "xxaxxbxxcxx", true),
            ("*a*b*c*", "xxaxxcxxbxx", false),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("?", "", false),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("a\\", "a\\", true),
            ("abc", "abcd", false),
            ("abcd", "abc", false),
            ("*abc", "ababc", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern:?} on {text:?}");
        }
    }

    #[test]
    fn classes() {
        for (pattern, text, expected) in [
            ("h[ae]llo", "hello", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hello", false),
            ("h[^e]llo", "hallo", true),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("[]", "a", false),
            ("[^]", "a", true),
            ("[", "[", false),
            ("[^", "a", true),
            ("[abc", "c", true),
            ("[a\\]b]", "]", true),
            ("[\\-x]", "-", true),
            ("*[0-9]", "key:7", true),
            ("*[0-9]", "key:x", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern:?} on {text:?}");
        }
        assert!(glob_match(b"[a-\xff]", b"A", false), "signed order: \\xff is below 'A'");
    }

    #[test]
    fn either_case() {
        assert!(glob_match(b"MAX*", b"maxmemory", true));
        assert!(!glob_match(b"MAX*", b"maxmemory", false));
        assert!(glob_match(b"[A-C]x", b"bX", true));
        assert!(!glob_match(b"[\\A]", b"a", true), "an escaped member keeps its case");
    }

    #[test]
    fn an_abusive_pattern_ends_soon() {
        let pattern = [b"a*".repeat(50_000), b"b".to_vec()].concat();
        let text = b"a".repeat(1 << 20);
        assert!(!glob_match(&pattern, &text, false));
        let pattern = [b"*".to_vec(), b"a".repeat(100_000), b"b".to_vec()].concat();
        assert!(!glob_match(&pattern, &text, false));
    }

    #[test]
    fn a_match_gets_past_so_many_stars() {
        let text = b"a".repeat(5000);
        assert!(glob_match(&b"*?".repeat(MAX_STARS), &text, false));
        assert!(!glob_match(&b"*?".repeat(MAX_STARS + 1), &text, false));
        assert!(glob_match(&b"*".repeat(5000), &text, false));
    }
}
