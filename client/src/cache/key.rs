//! Names of things in the data set.
//!
//! `{namespace:key}` is a value, the same with `#l` the lease on it, with `#f` its fence. The braces
//! keep the three in one slot. `{namespace}#t:tag` is a tag's generation, `{namespace}#d` when a tag
//! was last dropped.

use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// Longer keys are replaced by their hash.
const LONGEST: usize = 1024;
/// What a hash begins with; so does no other key.
const HASHED: &str = "sha256-";

/// What a cached value is found by. Two keys that differ have to write different bytes.
pub trait CacheKey {
    /// Appends the bytes of the key.
    fn write(&self, out: &mut Vec<u8>);
}

impl<T: CacheKey + ?Sized> CacheKey for &T {
    fn write(&self, out: &mut Vec<u8>) {
        (**self).write(out);
    }
}

impl CacheKey for str {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
}

impl CacheKey for String {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
}

impl CacheKey for [u8] {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

impl CacheKey for Vec<u8> {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

macro_rules! integers {
    ($($integer:ty),*) => {$(
        impl CacheKey for $integer {
            fn write(&self, out: &mut Vec<u8>) {
                let mut text = [0; 40];
                let mut at = text.len();
                let mut rest = self.unsigned_abs_wide();
                loop {
                    at -= 1;
                    text[at] = b'0' + (rest % 10) as u8;
                    rest /= 10;
                    if rest == 0 {
                        break;
                    }
                }
                #[allow(unused_comparisons)]
                if *self < 0 {
                    at -= 1;
                    text[at] = b'-';
                }
                out.extend_from_slice(&text[at..]);
            }
        }

        impl Wide for $integer {
            #[allow(unused_comparisons, clippy::cast_sign_loss, clippy::cast_possible_truncation)]
            fn unsigned_abs_wide(self) -> u128 {
                if self < 0 { (self as i128).unsigned_abs() } else { self as u128 }
            }
        }
    )*};
}

/// An integer without its sign.
trait Wide {
    fn unsigned_abs_wide(self) -> u128;
}

integers!(u8, u16, u32, u64, usize, i8, i16, i32, i64, isize, u128);

/// Parts are kept apart by their lengths, so that no two tuples look alike.
impl<A: CacheKey, B: CacheKey> CacheKey for (A, B) {
    fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        self.0.write(out);
        let length = out.len() - start;
        out.push(b':');
        self.1.write(out);
        out.push(b'~');
        length.write(out);
    }
}

/// Makes the names of one namespace.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// `{namespace:`
    prefix: Vec<u8>,
    namespace: String,
}

/// A value's name.
pub(super) type Key = Vec<u8>;

impl Names {
    pub(super) fn new(namespace: &str) -> Self {
        Self { prefix: format!("{{{namespace}:").into_bytes(), namespace: namespace.to_owned() }
    }

    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    pub(super) fn value(&self, key: &(impl CacheKey + ?Sized)) -> Key {
        let mut name = Vec::with_capacity(self.prefix.len() + 32);
        name.extend_from_slice(&self.prefix);
        key.write(&mut name);
        let own = &name[self.prefix.len()..];
        if own.len() > LONGEST || own.starts_with(HASHED.as_bytes()) {
            let hash = Sha256::digest(&name[self.prefix.len()..]);
            name.truncate(self.prefix.len());
            let mut text = String::with_capacity(71);
            text.push_str(HASHED);
            for byte in hash {
                // Writing to a string does not fail.
                let _ = write!(text, "{byte:02x}");
            }
            name.extend_from_slice(text.as_bytes());
        }
        name.push(b'}');
        name
    }

    /// The value that a name belongs to, its lease's among them; `None` for other namespaces and
    /// other things.
    pub(super) fn value_of<'n>(&self, name: &'n [u8]) -> Option<&'n [u8]> {
        if !name.starts_with(&self.prefix) {
            return None;
        }
        Some(name.strip_suffix(b"#l").or_else(|| name.strip_suffix(b"#f")).unwrap_or(name))
    }

    pub(super) fn tag(&self, tag: &str) -> Key {
        format!("{{{}}}#t:{tag}", self.namespace).into_bytes()
    }

    /// The tag that a name is the generation of.
    pub(super) fn tag_of<'n>(&self, name: &'n [u8]) -> Option<&'n str> {
        let rest = name.strip_prefix(b"{")?.strip_prefix(self.namespace.as_bytes())?;
        std::str::from_utf8(rest.strip_prefix(b"}#t:")?).ok()
    }

    pub(super) fn last_drop(&self) -> Key {
        format!("{{{}}}#d", self.namespace).into_bytes()
    }

    /// A pattern for SCAN that fits all values of the namespace, their leases and fences.
    pub(super) fn pattern(&self) -> Vec<u8> {
        let mut pattern = Vec::new();
        for byte in &self.prefix {
            if matches!(byte, b'*' | b'?' | b'[' | b']' | b'\\') {
                pattern.push(b'\\');
            }
            pattern.push(*byte);
        }
        pattern.push(b'*');
        pattern
    }
}

/// The lease on a value.
pub(super) fn lease(value: &[u8]) -> Key {
    [value, b"#l"].concat()
}

/// The fence of a value.
pub(super) fn fence(value: &[u8]) -> Key {
    [value, b"#f"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(key: impl CacheKey) -> String {
        let mut out = Vec::new();
        key.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn keys_are_readable() {
        assert_eq!(text(0_u8), "0");
        assert_eq!(text(i64::MIN), "-9223372036854775808");
        assert_eq!(text(u128::MAX), u128::MAX.to_string());
        assert_eq!(text("user"), "user");
        let names = Names::new("users");
        assert_eq!(names.value(&17_u32), b"{users:17}");
        assert_eq!(lease(b"{users:17}"), b"{users:17}#l");
        assert_eq!(names.value_of(b"{users:17}#l"), Some(&b"{users:17}"[..]));
        assert_eq!(names.value_of(b"{users2:17}"), None);
    }

    #[test]
    fn tuples_that_differ_look_different() {
        assert_ne!(text(("a", "b:c")), text(("a:b", "c")));
        assert_ne!(text((1_u8, 11_u8)), text((11_u8, 1_u8)));
    }

    #[test]
    fn long_keys_are_hashed() {
        let names = Names::new("n");
        let long = names.value(&"k".repeat(5000));
        assert!(long.len() < 100);
        assert_ne!(long, names.value(&"k".repeat(5001)));
        // Nor can one be asked for by the hash of another.
        let hash = std::str::from_utf8(&long[b"{n:".len()..long.len() - 1]).unwrap();
        assert_ne!(names.value(hash), long);
    }
}
