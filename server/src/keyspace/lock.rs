//! The locks of shards, and how commands that need several get along.
//!
//! Whoever waits for a shard while it holds others waits for a higher one: then no two can wait for
//! each other. Two things go beyond that, both for a script that uses keys it did not declare:
//!
//! * A shard that is free may be taken out of order, as that waits for nobody.
//! * A script that has already written cannot let go and begin anew. It may wait for every shard out
//!   of order, one such script at a time (`turn`): while it does, `wanted` asks those who wait for a
//!   shard and hold others to let go and stand aside until it has what it needs. Who holds shards
//!   without waiting for any comes to its end anyway.
//!
//! A thread that serves clients looks after them while it waits, in every way there is ([`wait`](super::wait)):
//! a script may hold shards for long.
//!
//! A debug build checks the order: it panics where another build might wait for ever.

use super::held::{Held, Shards};
use super::shard::Shard;
use super::wait::{self, LOOK, Wait};
use super::{Keyspace, SHARDS};
use crate::sync::{Mutex, MutexGuard};
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long one who holds shards waits for another before it looks whether it shall stand aside.
const PATIENCE: Duration = Duration::from_millis(1);
/// How long a script that may begin anew waits for a shard out of order: most holds are shorter.
const SHORT: Duration = Duration::from_micros(100);

/// A locked shard.
pub struct ShardGuard<'k> {
    shard: MutexGuard<'k, Shard>,
    #[cfg(all(debug_assertions, not(feature = "shuttle")))]
    _mark: order::Mark,
}

impl Deref for ShardGuard<'_> {
    type Target = Shard;

    #[inline(always)]
    fn deref(&self) -> &Shard {
        &self.shard
    }
}

impl DerefMut for ShardGuard<'_> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Shard {
        &mut self.shard
    }
}

impl ShardGuard<'_> {
    /// Lets go; who waits for the shard gets it before this thread can take it again.
    pub(super) fn unlock_fair(self) {
        #[cfg(not(feature = "shuttle"))]
        MutexGuard::unlock_fair(self.shard);
    }
}

/// A script's way to shards out of order.
#[derive(Default)]
pub(super) struct Escalation {
    /// Held by the one that waits out of order.
    turn: Mutex<()>,
    /// Whether somebody does.
    wanted: AtomicBool,
}

/// How asking for more shards ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cover {
    /// They are held.
    Held,
    /// They are not: let go of everything and begin anew with all shards.
    Again,
    /// They are not, and cannot be now: another script that has written waits as well.
    Refused,
}

impl Keyspace {
    /// Locks one shard, above all that this thread holds.
    #[inline]
    pub(crate) fn lock(&self, shard: usize) -> ShardGuard<'_> {
        #[cfg(all(debug_assertions, not(feature = "shuttle")))]
        order::check(self, shard);
        match self.shards[shard].try_lock() {
            Some(locked) => self.guard(shard, locked),
            None => self.wait(shard),
        }
    }

    /// Locks one shard for a command that holds none; nothing if that is to give up, which is noted.
    #[inline]
    pub(crate) fn lock_or_give_up(&self, shard: usize) -> Option<ShardGuard<'_>> {
        #[cfg(all(debug_assertions, not(feature = "shuttle")))]
        order::check(self, shard);
        match self.shards[shard].try_lock() {
            Some(locked) => Some(self.guard(shard, locked)),
            None => self.wait_or_give_up(shard),
        }
    }

    #[cold]
    fn wait_or_give_up(&self, shard: usize) -> Option<ShardGuard<'_>> {
        let mut wait = Wait::default();
        // One shard that it went without is enough: it does not wait for others.
        while !wait::has_given_up() {
            if let Some(guard) = self.try_lock_for(shard, LOOK) {
                return Some(guard);
            }
            if wait.look() {
                wait::give_up();
            }
        }
        None
    }

    /// Waits for a shard for as long as it takes.
    #[cold]
    fn wait(&self, shard: usize) -> ShardGuard<'_> {
        let mut wait = Wait::default();
        loop {
            if let Some(guard) = self.try_lock_for(shard, LOOK) {
                return guard;
            }
            wait.look();
        }
    }

    #[inline]
    fn guard<'k>(&'k self, _index: usize, shard: MutexGuard<'k, Shard>) -> ShardGuard<'k> {
        ShardGuard {
            shard,
            #[cfg(all(debug_assertions, not(feature = "shuttle")))]
            _mark: order::Mark::new(self, _index),
        }
    }

    fn try_lock_for(&self, shard: usize, patience: Duration) -> Option<ShardGuard<'_>> {
        Some(self.guard(shard, self.shards[shard].try_lock_for(patience)?))
    }

    /// As [`lock`](Self::lock), but gives up when `is_over` says so, which is asked now and then.
    #[inline]
    pub(crate) fn lock_unless(
        &self,
        shard: usize,
        is_over: impl Fn() -> bool,
    ) -> Option<ShardGuard<'_>> {
        #[cfg(all(debug_assertions, not(feature = "shuttle")))]
        order::check(self, shard);
        if let Some(locked) = self.shards[shard].try_lock() {
            return Some(self.guard(shard, locked));
        }
        self.wait_unless(shard, is_over)
    }

    #[cold]
    fn wait_unless(&self, shard: usize, is_over: impl Fn() -> bool) -> Option<ShardGuard<'_>> {
        let mut wait = Wait::default();
        loop {
            if let Some(guard) = self.try_lock_for(shard, LOOK) {
                return Some(guard);
            }
            if is_over() {
                return None;
            }
            wait.look();
        }
    }

    /// Locks any one shard that is free, for a thread that holds none; nothing if none is.
    pub(crate) fn lock_any(&self) -> Option<ShardGuard<'_>> {
        (0..SHARDS).find_map(|shard| Some(self.guard(shard, self.shards[shard].try_lock()?)))
    }

    /// Locks several shards, given in ascending order.
    pub(crate) fn lock_several(&self, shards: &[usize]) -> Held<'_> {
        self.lock_several_unless(shards, || false).unwrap_or(Held::None)
    }

    /// The same, but gives up when `is_over` says so.
    pub(crate) fn lock_several_unless(
        &self,
        shards: &[usize],
        is_over: impl Fn() -> bool,
    ) -> Option<Held<'_>> {
        Some(match shards {
            [] => Held::None,
            [shard] => Held::One(*shard, self.lock_unless(*shard, is_over)?),
            shards => {
                let shards = shards.iter().copied();
                let keep = |shard, guard| (shard, guard);
                Held::Several(self.lock_ascending(shards, is_over, keep)?)
            }
        })
    }

    /// Locks all shards.
    #[cold]
    pub(crate) fn lock_all(&self) -> Held<'_> {
        self.lock_all_unless(|| false).unwrap_or(Held::None)
    }

    /// The same, but gives up when `is_over` says so.
    #[cold]
    pub(crate) fn lock_all_unless(&self, is_over: impl Fn() -> bool) -> Option<Held<'_>> {
        self.lock_ascending(0..SHARDS, is_over, |_, guard| guard).map(Held::All)
    }

    fn lock_ascending<'k, T>(
        &'k self,
        shards: impl ExactSizeIterator<Item = usize> + Clone,
        is_over: impl Fn() -> bool,
        keep: impl Fn(usize, ShardGuard<'k>) -> T,
    ) -> Option<Vec<T>> {
        let mut guards = Vec::with_capacity(shards.len());
        'again: loop {
            for shard in shards.clone() {
                if guards.is_empty() {
                    guards.push(keep(shard, self.lock_unless(shard, &is_over)?));
                    continue;
                }
                #[cfg(all(debug_assertions, not(feature = "shuttle")))]
                order::check(self, shard);
                match self.shards[shard].try_lock() {
                    Some(locked) => guards.push(keep(shard, self.guard(shard, locked))),
                    None => match self.wait_for(shard, &is_over) {
                        Some(guard) => guards.push(keep(shard, guard)),
                        None if is_over() => return None,
                        None => {
                            guards.clear();
                            self.stand_aside(&is_over);
                            continue 'again;
                        }
                    },
                }
            }
            return Some(guards);
        }
    }

    /// Waits for a shard while others are held; gives up when somebody waits out of order.
    #[cold]
    fn wait_for(&self, shard: usize, is_over: impl Fn() -> bool) -> Option<ShardGuard<'_>> {
        let mut wait = Wait::default();
        loop {
            if let Some(guard) = self.try_lock_for(shard, PATIENCE) {
                return Some(guard);
            }
            if self.escalation.wanted.load(Ordering::Acquire) || is_over() {
                return None;
            }
            wait.look();
        }
    }

    /// Waits, holding nothing, until the one that waits out of order has what it needs, or it is over.
    fn stand_aside(&self, is_over: impl Fn() -> bool) {
        let mut wait = Wait::default();
        while self.escalation.turn.try_lock_for(LOOK).is_none() && !is_over() {
            wait.look();
        }
    }
}

impl<'k> Held<'k> {
    /// Takes shards, given in ascending order, that may not be held yet.
    ///
    /// `may_begin_anew` tells that nothing was changed so far under this hold.
    pub fn cover(
        &mut self,
        keyspace: &'k Keyspace,
        shards: &[usize],
        may_begin_anew: bool,
    ) -> Cover {
        let missing = |held: &Self| -> Vec<usize> {
            shards.iter().copied().filter(|shard| !held.holds(*shard)).collect()
        };
        let mut wanted = missing(self);
        if wanted.is_empty() {
            return Cover::Held;
        }
        if matches!(self, Self::None) {
            *self = keyspace.lock_several(shards);
            return Cover::Held;
        }
        if matches!(self, Self::Lent(_)) {
            return Cover::Refused;
        }
        wanted.retain(|shard| match keyspace.try_lock_for(*shard, SHORT) {
            Some(guard) => {
                self.add(*shard, guard);
                false
            }
            None => true,
        });
        match (wanted.is_empty(), may_begin_anew) {
            (true, _) => Cover::Held,
            (false, true) => Cover::Again,
            (false, false) => self.escalate(keyspace),
        }
    }

    /// As [`cover`](Self::cover), for all shards there are.
    pub fn cover_all(&mut self, keyspace: &'k Keyspace, may_begin_anew: bool) -> Cover {
        if self.holds_all() {
            return Cover::Held;
        }
        match self {
            Self::None => {
                *self = keyspace.lock_all();
                Cover::Held
            }
            Self::Lent(_) => Cover::Refused,
            _ if may_begin_anew => Cover::Again,
            _ => self.escalate(keyspace),
        }
    }

    /// Takes all shards, waiting for those that others hold, whatever is held.
    ///
    /// All, so that this one never has to wait again.
    #[cold]
    fn escalate(&mut self, keyspace: &'k Keyspace) -> Cover {
        let escalation = &keyspace.escalation;
        let Some(_turn) = escalation.turn.try_lock() else { return Cover::Refused };
        escalation.wanted.store(true, Ordering::Release);
        for shard in 0..SHARDS {
            if !self.holds(shard) {
                self.add(shard, keyspace.wait(shard));
            }
        }
        escalation.wanted.store(false, Ordering::Release);
        if let Self::Several(guards) = self {
            let guards = std::mem::take(guards).into_iter();
            *self = Self::All(guards.map(|(_, guard)| guard).collect());
        }
        Cover::Held
    }

    fn add(&mut self, shard: usize, guard: ShardGuard<'k>) {
        let mut guards = match std::mem::replace(self, Self::None) {
            Self::One(held, guard) => vec![(held, guard)],
            Self::Several(guards) => guards,
            other @ (Self::None | Self::All(_) | Self::Lent(_)) => {
                *self = other;
                return;
            }
        };
        let place = guards.partition_point(|(held, _)| *held < shard);
        guards.insert(place, (shard, guard));
        *self = Self::Several(guards);
    }
}

#[cfg(all(debug_assertions, not(feature = "shuttle")))]
mod order {
    //! Which shards this thread holds.

    use crate::keyspace::Keyspace;
    use std::cell::RefCell;

    thread_local! {
        static HELD: RefCell<Vec<(usize, usize)>> = const { RefCell::new(Vec::new()) };
    }

    fn name(keyspace: &Keyspace, shard: usize) -> (usize, usize) {
        (std::ptr::from_ref(keyspace).addr(), shard)
    }

    /// Panics when the thread holds this shard or a higher one.
    pub(super) fn check(keyspace: &Keyspace, shard: usize) {
        let (place, _) = name(keyspace, shard);
        let above = |held: &&(usize, usize)| held.0 == place && held.1 >= shard;
        let above = HELD.with_borrow(|held| held.iter().find(above).copied());
        if let Some((_, held)) = above {
            panic!("shard {shard} is asked for while shard {held} is held");
        }
    }

    /// Notes a held shard while it lives.
    pub(super) struct Mark((usize, usize));

    impl Mark {
        pub(super) fn new(keyspace: &Keyspace, shard: usize) -> Self {
            let name = name(keyspace, shard);
            HELD.with_borrow_mut(|held| held.push(name));
            Self(name)
        }
    }

    impl Drop for Mark {
        fn drop(&mut self) {
            HELD.with_borrow_mut(|held| {
                if let Some(place) = held.iter().rposition(|held| *held == self.0) {
                    held.swap_remove(place);
                }
            });
        }
    }
}
