//! WATCH: who wants to know whether a key of a shard stays as it is.
//!
//! A watch stands in its key's shard, so it is placed and found under the lock that every change of
//! the key needs anyway. A change marks the watching client; EXEC looks at the mark while it holds the
//! shards of what it watches, so nothing comes in between.
//!
//! A key that was due when the watch was placed, and could not be removed then, counts as absent: that
//! it goes later is no change.
//!
//! Where nobody watches, a change looks at one pointer. Invariant: there is no map without a watch.

use crate::node::clients::Client;
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::sync::Arc;

/// The watches of one shard.
#[derive(Default)]
pub struct Watchers(Option<Box<ByKey>>);

type ByKey = HashMap<(usize, Box<[u8]>), Vec<Watch>, RandomState>;

struct Watch {
    client: Arc<Client>,
    /// Whether the key was due, but there, when the watch was placed.
    was_due: bool,
}

impl Watchers {
    /// Whether nobody watches here.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Lets a client watch a key; false when it does already.
    pub fn add(&mut self, db: usize, key: &[u8], client: &Arc<Client>, was_due: bool) -> bool {
        let watches = self.0.get_or_insert_default().entry((db, Box::from(key))).or_default();
        if watches.iter().any(|watch| Arc::ptr_eq(&watch.client, client)) {
            return false;
        }
        watches.push(Watch { client: Arc::clone(client), was_due });
        true
    }

    /// Ends a client's watch of a key; tells whether the key was due when it began.
    pub fn remove(&mut self, db: usize, key: &[u8], client: &Arc<Client>) -> Option<bool> {
        let by_key = self.0.as_mut()?;
        let name = (db, Box::from(key));
        let watches = by_key.get_mut(&name)?;
        let place = watches.iter().position(|watch| Arc::ptr_eq(&watch.client, client))?;
        let watch = watches.swap_remove(place);
        if watches.is_empty() {
            by_key.remove(&name);
            if by_key.is_empty() {
                self.0 = None;
            }
        }
        Some(watch.was_due)
    }

    /// Marks those who watch a key that was changed; `is_there` tells whether anything is left of it.
    #[cold]
    pub fn touch(&mut self, db: usize, key: &[u8], is_there: bool) {
        let Some(by_key) = &mut self.0 else { return };
        let Some(watches) = by_key.get_mut(&(db, Box::from(key))) else { return };
        for watch in watches {
            watch.touch(if is_there { Change::Value } else { Change::Gone });
        }
    }

    /// Marks those who watch keys of a database that is emptied or replaced by another one: `change`
    /// tells what that means for a key.
    pub fn touch_all(&mut self, db: usize, change: impl Fn(&[u8]) -> Change) {
        let Some(by_key) = &mut self.0 else { return };
        for ((number, key), watches) in by_key.iter_mut().filter(|((number, _), _)| *number == db) {
            debug_assert_eq!(*number, db);
            let change = change(key);
            watches.iter_mut().for_each(|watch| watch.touch(change));
        }
    }
}

/// What happened to a watched key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing that anybody could see.
    None,
    /// It holds something, maybe something else.
    Value,
    /// Something was there, and now something that is due.
    Due,
    /// Nothing was there, and now something that is due.
    Stale,
    /// It is gone.
    Gone,
}

impl Change {
    /// What it means for a key when other keys take the place of all there were: `is_live` tells
    /// whether it is among them, and not due.
    pub fn of(was_there: bool, is_live: Option<bool>) -> Self {
        match (was_there, is_live) {
            (false, None) => Self::None,
            (true, None) => Self::Gone,
            (_, Some(true)) => Self::Value,
            (true, Some(false)) => Self::Due,
            (false, Some(false)) => Self::Stale,
        }
    }
}

impl Watch {
    fn touch(&mut self, change: Change) {
        match (change, self.was_due) {
            (Change::None, _) | (Change::Due, true) => {}
            // Still as good as nothing.
            (Change::Stale, _) => self.was_due = true,
            (Change::Gone, true) => self.was_due = false,
            (Change::Value, _) | (Change::Due | Change::Gone, false) => self.client.touch(),
        }
    }
}
