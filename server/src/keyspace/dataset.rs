//! A data set beside the live one: what a file or another server holds, until it takes its place.
//!
//! Nobody else sees it, so it has no locks; its shards are those of the keyspace that will take it,
//! with the same hashes. Dropped, it leaves no trace: a load that fails costs nothing.

use super::expire::is_live;
use super::shard::Db;
use super::{Key, SHARDS};
use crate::raw::{Entry, EntryRef};

/// The keys of all databases.
#[derive(Default)]
pub struct DataSet {
    /// By database, then by shard.
    databases: Vec<Box<[Db]>>,
    keys: u64,
}

impl DataSet {
    /// How many keys it has.
    pub fn keys(&self) -> u64 {
        self.keys
    }

    /// Bytes of all entries, tables and indexes.
    pub fn size_bytes(&self) -> usize {
        self.databases.iter().flatten().map(Db::size_bytes).sum()
    }

    /// Adds an entry under its key; gives the entry back when the key is there already.
    ///
    /// The key's hash must be that of the keyspace that will take the data set.
    ///
    /// # Errors
    /// The key is there already.
    #[inline]
    pub fn insert(&mut self, db: usize, key: Key<'_>, entry: Entry) -> Result<(), Entry> {
        if db >= self.databases.len() {
            self.make(db);
        }
        let part = &mut self.databases[db][key.hash.shard()];
        if part.find(key).is_some() {
            return Err(entry);
        }
        part.insert(key.hash, entry);
        self.keys += 1;
        Ok(())
    }

    #[cold]
    fn make(&mut self, db: usize) {
        self.databases.resize_with(db + 1, || (0..SHARDS).map(|_| Db::default()).collect());
    }

    /// Looks a key up.
    pub fn get(&self, db: usize, key: Key<'_>) -> Option<EntryRef<'_>> {
        let part = self.databases.get(db)?.get(key.hash.shard())?;
        Some(part.get(part.find(key)?))
    }

    /// Whether a key is there and not due.
    pub fn has(&self, db: usize, key: Key<'_>, now_ms: i64) -> Option<bool> {
        Some(is_live(self.get(db, key)?, now_ms))
    }

    /// How many databases were used.
    pub fn databases(&self) -> usize {
        self.databases.len()
    }

    /// Takes all entries out and hands them to `visit`, each with its database.
    pub fn take_all(&mut self, mut visit: impl FnMut(usize, Entry)) {
        for (number, shards) in std::mem::take(&mut self.databases).into_iter().enumerate() {
            shards.into_iter().for_each(|part| part.take_all(|entry| visit(number, entry)));
        }
        self.keys = 0;
    }

    /// Takes what it has of a database in a shard.
    pub(super) fn take(&mut self, db: usize, shard: usize) -> Db {
        let part = self.databases.get_mut(db).and_then(|shards| shards.get_mut(shard));
        part.map(std::mem::take).unwrap_or_default()
    }
}
