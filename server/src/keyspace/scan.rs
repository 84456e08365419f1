//! SCAN cursors.
//!
//! A cursor is a shard and a tag: "all keys whose hash lies before this were shown". A key's place
//! in that order never changes, so a key that stays in the database during a whole scan is shown,
//! and shown once, however often tables grow or shrink meanwhile. The server keeps nothing.

use super::SHARDS;
use super::access::Access;
use super::expire::is_live;
use super::shard::Db;
use crate::raw::{EntryRef, TAG_BITS};

/// Where a scan goes on. 0 begins a scan and ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(pub u64);

impl Access<'_> {
    /// Shows `visit` keys of the selected database from `cursor` on, until it was shown `count`
    /// keys or ten times as many places were looked at.
    ///
    /// Keys that are due are not shown but given beside the next cursor, for the caller to look them up,
    /// by which they go.
    pub fn scan(
        &mut self,
        cursor: Cursor,
        count: usize,
        mut visit: impl FnMut(EntryRef<'_>),
    ) -> (Cursor, Vec<Vec<u8>>) {
        let (db, now_ms) = (self.db(), self.now_ms());
        let mut shard = (cursor.0 >> TAG_BITS) as usize;
        let mut tag = cursor.0 as u32 & ((1 << TAG_BITS) - 1);
        let (mut shown, mut due) = (0, Vec::new());
        // Empty shards cost little and a database of few keys has many of them; with as many places
        // again for the keys themselves, one call goes through such a database.
        let mut places = count.saturating_mul(10).max(2 * SHARDS);
        while shard < SHARDS {
            let next = self.walk(shard, |shard| {
                let table = shard.db(db)?.table();
                let mut from = Some(tag);
                while let Some(tag) = from
                    && shown < count
                    && places > 0
                {
                    places -= 1;
                    from = table.scan(tag, |entry| {
                        if is_live(entry, now_ms) {
                            shown += 1;
                            visit(entry);
                        } else {
                            due.push(entry.key().to_vec());
                        }
                    });
                }
                from
            });
            match next {
                Some(next) => tag = next,
                None => (shard, tag) = (shard + 1, 0),
            }
            places = places.saturating_sub(1);
            if shown >= count || places == 0 {
                break;
            }
        }
        let is_over = shard >= SHARDS;
        (Cursor(if is_over { 0 } else { (shard as u64) << TAG_BITS | u64::from(tag) }), due)
    }

    /// Shows `visit` all keys of the selected database that are not due.
    pub fn each(&mut self, mut visit: impl FnMut(EntryRef<'_>)) {
        let (db, now_ms) = (self.db(), self.now_ms());
        for index in 0..SHARDS {
            self.walk(index, |shard| {
                let Some(db) = shard.db(db) else { return };
                for entry in db.table().iter() {
                    if is_live(entry, now_ms) {
                        visit(entry);
                    }
                }
            });
        }
    }

    /// A random key of the selected database that is not due, copied.
    ///
    /// Every key is as likely as any other, up to a few percent in databases so large that counting
    /// all shards for it would not pay.
    pub fn random_key(&mut self, random: &mut impl FnMut() -> u64) -> Option<Vec<u8>> {
        /// Draws before the keys are gone through in order, for databases of dead keys.
        const DRAWS: usize = 128;
        for _ in 0..DRAWS {
            let index = self.random_shard(random)?;
            let key = self.random_key_of(index, random);
            if key.is_some() {
                return key;
            }
        }
        let (db, now_ms) = (self.db(), self.now_ms());
        (0..SHARDS).find_map(|index| {
            self.walk(index, |shard| {
                let mut keys = shard.db(db)?.table().iter();
                keys.find(|entry| is_live(*entry, now_ms)).map(|entry| entry.key().to_vec())
            })
        })
    }

    /// A shard of the selected database, each as likely as it has keys; `None` without any key.
    fn random_shard(&mut self, random: &mut impl FnMut() -> u64) -> Option<usize> {
        /// Shards that stand for all when keys are many: one's chance is then off by the share that
        /// its own surplus has in their sum.
        const SAMPLE: usize = 64;
        /// Keys the sample must have on average per shard to be one.
        const KEYS_PER_SHARD: usize = 4;
        let db = self.db();
        let mut len = |index| self.walk(index, |shard| shard.db(db).map_or(0, Db::len));
        let sample: [_; SAMPLE] = std::array::from_fn(|_| {
            let index = below(SHARDS, random());
            (index, len(index))
        });
        let keys: usize = sample.iter().map(|(_, len)| len).sum();
        if keys >= SAMPLE * KEYS_PER_SHARD {
            return weighted(sample, below(keys, random()));
        }
        let all: Vec<_> = (0..SHARDS).map(|index| (index, len(index))).collect();
        let keys = all.iter().map(|(_, len)| len).sum();
        weighted(all, below(keys, random()))
    }

    /// A random key of one shard, unless the key that was drawn is due.
    fn random_key_of(&mut self, index: usize, random: &mut impl FnMut() -> u64) -> Option<Vec<u8>> {
        /// A table of one bucket may hold a single key in eight places; others are at least a
        /// quarter full.
        const DRAWS: usize = 64;
        let (db, now_ms) = (self.db(), self.now_ms());
        self.walk(index, |shard| {
            let table = shard.db(db)?.table();
            let entry = (0..DRAWS)
                .find_map(|_| table.at(below(table.places(), random())))
                .or_else(|| table.iter().nth(below(table.len(), random())))?;
            is_live(entry, now_ms).then(|| entry.key().to_vec())
        })
    }
}

/// A number below `end` (0 when that is 0) from 64 random bits.
fn below(end: usize, random: u64) -> usize {
    ((u128::from(random) * end as u128) >> 64) as usize
}

/// Where `at` falls when the items lie side by side, each as long as its weight.
fn weighted(items: impl IntoIterator<Item = (usize, usize)>, mut at: usize) -> Option<usize> {
    items.into_iter().find_map(|(item, weight)| {
        let here = at < weight;
        at = at.saturating_sub(weight);
        here.then_some(item)
    })
}

#[cfg(test)]
mod tests {
    use super::super::Keyspace;
    use super::super::changes::Changes;
    use super::super::evict::Touch;
    use super::super::held::Held;
    use super::super::notify::Classes;
    use super::*;
    use crate::raw::NewValue;

    const NOW_MS: i64 = 1_000_000;

    fn all<'k>(keyspace: &'k Keyspace) -> Access<'k> {
        let held = Held::All((0..SHARDS).map(|shard| keyspace.lock(shard)).collect());
        Access::new(keyspace, held, 0, NOW_MS, Touch::None(0), Changes::default())
    }

    fn none<'k>(keyspace: &'k Keyspace) -> Access<'k> {
        Access::new(keyspace, Held::None, 0, NOW_MS, Touch::None(0), Changes::default())
    }

    fn filled(keys: usize, deadline_ms: impl Fn(usize) -> Option<i64>) -> Keyspace {
        let keyspace = Keyspace::new(16);
        let mut access = all(&keyspace);
        for key in 0..keys {
            let bytes = key.to_string();
            access.insert(keyspace.key(bytes.as_bytes()), NewValue::Int(0), deadline_ms(key));
        }
        assert!(!access.changes.wanted.intersects(Classes::NEW));
        drop(access);
        keyspace
    }

    #[test]
    fn random_keys_favour_nobody() {
        // Ten shards a key, half a key a shard, and enough for a sample of shards to do.
        for keys in [100, 500, 5000] {
            let keyspace = filled(keys, |_| None);
            let mut access = none(&keyspace);
            let mut random = fastrand::Rng::with_seed(7);
            let draws = keys * 30;
            let mut drawn = vec![0_usize; keys];
            for _ in 0..draws {
                let key = access.random_key(&mut || random.u64(..)).unwrap();
                drawn[std::str::from_utf8(&key).unwrap().parse::<usize>().unwrap()] += 1;
            }
            assert!(drawn.iter().all(|count| *count > 0), "{keys} keys");
            // Keys that have their shard to themselves, or almost, come up no more often.
            let crowd = keys.div_ceil(SHARDS);
            let mut lonely = (0, 0);
            for (key, count) in drawn.iter().enumerate() {
                let shard = keyspace.key(key.to_string().as_bytes()).hash.shard();
                if access.walk(shard, |shard| shard.db(0).map_or(0, Db::len)) <= crowd {
                    lonely = (lonely.0 + 1, lonely.1 + count);
                }
            }
            let share = lonely.1 as f64 / lonely.0 as f64 / 30.0;
            assert!((0.9..1.1).contains(&share), "{keys} keys: {share}");
        }
    }

    #[test]
    fn keys_that_are_due_are_nowhere() {
        let keyspace = filled(1000, |key| (key > 0).then_some(NOW_MS - 1));
        let mut access = none(&keyspace);
        let mut random = fastrand::Rng::with_seed(7);
        assert_eq!(access.random_key(&mut || random.u64(..)), Some(b"0".to_vec()));
        let mut seen = Vec::new();
        access.each(|entry| seen.push(entry.key().to_vec()));
        assert_eq!(seen, [b"0"]);
        seen.clear();
        let mut cursor = Cursor(0);
        loop {
            cursor = access.scan(cursor, 10, |entry| seen.push(entry.key().to_vec())).0;
            if cursor == Cursor(0) {
                break;
            }
        }
        assert_eq!(seen, [b"0"]);
        assert_eq!(access.len(), 1000, "DBSIZE counts what nobody has removed yet");

        let empty = Keyspace::new(16);
        assert_eq!(none(&empty).random_key(&mut || random.u64(..)), None);
    }

    #[test]
    fn a_scan_shows_each_key_once_whatever_the_count() {
        let keyspace = filled(3000, |_| None);
        for count in [1, 10, 1000, usize::MAX] {
            let mut access = none(&keyspace);
            let (mut seen, mut cursor, mut calls) = (Vec::new(), Cursor(0), 0);
            loop {
                cursor = access.scan(cursor, count, |entry| seen.push(entry.key().to_vec())).0;
                calls += 1;
                if cursor == Cursor(0) {
                    break;
                }
            }
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), 3000, "count {count}");
            assert!(count < usize::MAX || calls == 1, "one call is enough for {count}");
        }
        assert_eq!(none(&keyspace).scan(Cursor(u64::MAX), 10, |_| ()).0, Cursor(0));
    }
}
