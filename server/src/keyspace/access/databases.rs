//! Whole databases: emptied, exchanged, replaced. All of it needs all shards.

use super::Access;
use crate::keyspace::SHARDS;
use crate::keyspace::dataset::DataSet;
use crate::keyspace::garbage::Removed;
use crate::keyspace::shard::Db;
use crate::keyspace::waiters::ReadyKey;

impl Access<'_> {
    /// Takes everything out of a database; needs all shards. Gives the number of keys.
    ///
    /// What was taken is dropped after the locks, or given to the caller by `take_large_garbage`.
    pub fn clear(&mut self, db: usize) -> usize {
        let mut keys = 0;
        for index in 0..SHARDS {
            let keyspace = self.keyspace;
            let shard = self.shard(index);
            if !shard.watchers.is_empty() {
                shard.touch_emptied(keyspace, db);
            }
            let taken = shard.take(db);
            if !taken.is_empty() || taken.size_bytes() > 0 {
                keyspace.refresh_deadline(index, shard);
                keys += taken.len();
                self.memory_delta -= taken.size_bytes() as i64;
                if let Some(taken) = taken.surrender() {
                    self.garbage.add(Removed::Database(taken));
                }
            }
        }
        self.signal_all(db);
        keys
    }

    /// Puts a data set in the place of everything there is; needs all shards. Gives the number of
    /// keys that were there.
    ///
    /// Those who watch a key, and those who wait for one, learn of it as of any change.
    pub fn replace(&mut self, mut data: DataSet) -> usize {
        let (keyspace, now_ms, mut keys) = (self.keyspace, self.now_ms, 0);
        let mut databases = data.databases();
        for index in 0..SHARDS {
            let shard = self.shard(index);
            let used = shard.databases().count().max(data.databases());
            databases = databases.max(used);
            let mut replaced = Vec::new();
            for db in 0..used {
                if !shard.watchers.is_empty() {
                    shard.touch_loaded(keyspace, db, &data, now_ms);
                }
                let taken = shard.exchange(db, data.take(db, index));
                if taken.size_bytes() > 0 {
                    replaced.push(taken);
                }
            }
            keyspace.refresh_deadline(index, shard);
            let after: usize = shard.databases().map(Db::size_bytes).sum();
            self.memory_delta += after as i64;
            for taken in replaced {
                keys += taken.len();
                self.memory_delta -= taken.size_bytes() as i64;
                if let Some(taken) = taken.surrender() {
                    self.garbage.add(Removed::Database(taken));
                }
            }
        }
        (0..databases).for_each(|db| self.signal_all(db));
        keys
    }

    /// Exchanges two databases; needs all shards.
    pub fn swap(&mut self, first: usize, second: usize) {
        let (keyspace, now_ms) = (self.keyspace, self.now_ms);
        for index in 0..SHARDS {
            let shard = self.shard(index);
            if !shard.watchers.is_empty() {
                shard.touch_replaced(keyspace, first, second, now_ms);
                shard.touch_replaced(keyspace, second, first, now_ms);
            }
            shard.swap(first, second);
        }
        self.signal_all(first);
        self.signal_all(second);
    }

    /// Notes the keys of a database that may end somebody's wait; needs all shards.
    fn signal_all(&mut self, db: usize) {
        for index in 0..SHARDS {
            let keyspace = self.keyspace;
            let shard = self.shard(index);
            if shard.waiters.is_empty() {
                continue;
            }
            let keys: Vec<_> = shard.waiters.keys_of(db).map(<[u8]>::to_vec).collect();
            for key in keys {
                let known = keyspace.key(&key);
                let is_there = self.in_db(db, |access| access.view(known).is_some());
                // A key that comes later has its turn then.
                if is_there || self.waiters(known.hash).for_groups(db, &key) {
                    let hash = known.hash;
                    self.changes.add_ready(ReadyKey { db, key, hash });
                }
            }
        }
    }
}
