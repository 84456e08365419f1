//! Error replies counted by their code, for INFO errorstats.
//!
//! Codes are the first words of error texts (`ERR`, `WRONGTYPE`). Most come from our own table, but
//! scripts and DEBUG ERROR can make up any word, so their number is bounded: what comes after
//! [`CODES_MAX`] distinct codes is counted under [`OVERFLOW`].

use parking_lot::Mutex;
use std::collections::BTreeMap;

/// Distinct codes that are told apart, as many as Redis tells apart since 7.4.
pub const CODES_MAX: usize = 128;
/// The code of all that are not told apart.
pub const OVERFLOW: &str = "ERRORSTATS_OVERFLOW";

/// How often each error code was replied.
#[derive(Debug, Default)]
pub struct ErrorCounts {
    counts: Mutex<BTreeMap<String, u64>>,
}

impl ErrorCounts {
    /// Counts one error.
    pub fn add(&self, code: &str) {
        let mut counts = self.counts.lock();
        if let Some(count) = counts.get_mut(code) {
            *count += 1;
            return;
        }
        let code = if counts.len() < CODES_MAX { code } else { OVERFLOW };
        *counts.entry(code.to_owned()).or_default() += 1;
    }

    /// All codes with their counts, in the order of the codes.
    pub fn all(&self) -> Vec<(String, u64)> {
        self.counts.lock().iter().map(|(code, count)| (code.clone(), *count)).collect()
    }

    /// Forgets all counts.
    pub fn reset(&self) {
        self.counts.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_beyond_the_limit_are_counted_together() {
        let errors = ErrorCounts::default();
        for number in 0..CODES_MAX + 10 {
            errors.add(&format!("CODE{number}"));
        }
        errors.add("CODE0");
        let all = errors.all();
        assert_eq!(all.len(), CODES_MAX + 1);
        assert!(all.contains(&("CODE0".to_owned(), 2)));
        assert!(all.contains(&(OVERFLOW.to_owned(), 10)));
        errors.reset();
        assert!(errors.all().is_empty());
    }
}
