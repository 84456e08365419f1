//! The shard locks of one command, and how a shard is found among them.

use super::SHARDS;
use super::lock::ShardGuard;
use super::shard::Shard;
use super::waiters::ShardSet;

const COVERED: &str = "the lock plan covers every key that is used";

/// The shard locks a command holds.
pub enum Held<'k> {
    /// None: shards are locked one at a time while the command walks over them.
    None,
    /// The shard of the one key, or of keys that share it.
    One(usize, ShardGuard<'k>),
    /// Several, in ascending order.
    Several(Vec<(usize, ShardGuard<'k>)>),
    /// All of them, in order.
    All(Vec<ShardGuard<'k>>),
    /// Those of the command within which this one runs.
    Lent(&'k mut (dyn Shards + 'k)),
}

/// Shards that are held.
pub trait Shards {
    /// Whether a shard is among them.
    fn holds(&self, index: usize) -> bool;

    /// A held shard.
    ///
    /// # Panics
    /// When it is not held: a row's key specs lack a key that its handler uses.
    fn shard(&self, index: usize) -> &Shard;

    /// A held shard, to be changed.
    ///
    /// # Panics
    /// When it is not held.
    fn shard_mut(&mut self, index: usize) -> &mut Shard;
}

impl Shards for Held<'_> {
    fn holds(&self, index: usize) -> bool {
        match self {
            Self::None => false,
            Self::One(held, _) => *held == index,
            Self::Several(shards) => shards.binary_search_by_key(&index, |(at, _)| *at).is_ok(),
            Self::All(_) => true,
            Self::Lent(shards) => shards.holds(index),
        }
    }

    #[inline(always)]
    fn shard(&self, index: usize) -> &Shard {
        match self {
            Self::One(held, shard) => {
                assert!(*held == index, "{COVERED}");
                shard
            }
            many => many.one_of_many(index),
        }
    }

    #[inline(always)]
    fn shard_mut(&mut self, index: usize) -> &mut Shard {
        match self {
            Self::One(held, shard) => {
                assert!(*held == index, "{COVERED}");
                shard
            }
            many => many.one_of_many_mut(index),
        }
    }
}

impl Held<'_> {
    /// As [`shard`](Shards::shard) for whoever holds more than one; apart, so that commands of one
    /// key, which look for it again and again, stay small.
    #[inline(never)]
    fn one_of_many(&self, index: usize) -> &Shard {
        match self {
            Self::Several(shards) => {
                let found = shards.binary_search_by_key(&index, |(held, _)| *held);
                &shards[found.expect(COVERED)].1
            }
            Self::All(shards) => &shards[index],
            Self::Lent(shards) => shards.shard(index),
            Self::None | Self::One(..) => panic!("{COVERED}"),
        }
    }

    #[inline(never)]
    fn one_of_many_mut(&mut self, index: usize) -> &mut Shard {
        match self {
            Self::Several(shards) => {
                let found = shards.binary_search_by_key(&index, |(held, _)| *held);
                &mut shards[found.expect(COVERED)].1
            }
            Self::All(shards) => &mut shards[index],
            Self::Lent(shards) => shards.shard_mut(index),
            Self::None | Self::One(..) => panic!("{COVERED}"),
        }
    }

    /// Whether all shards are held.
    pub fn holds_all(&self) -> bool {
        match self {
            Self::All(_) => true,
            Self::Several(held) => held.len() == SHARDS,
            Self::Lent(held) => (0..SHARDS).all(|shard| held.holds(shard)),
            Self::None | Self::One(..) => false,
        }
    }

    /// Whether anybody waits for a key of these shards. Who was lent them leaves that to the lender.
    #[inline]
    pub fn has_waiters(&self) -> bool {
        match self {
            Self::None | Self::Lent(_) => false,
            Self::One(_, shard) => !shard.waiters.is_empty(),
            Self::Several(shards) => shards.iter().any(|(_, shard)| !shard.waiters.is_empty()),
            Self::All(shards) => shards.iter().any(|shard| !shard.waiters.is_empty()),
        }
    }

    /// The shards that are held, and those that serving their waiters may need.
    pub fn with_waiters_shards(&self) -> Vec<usize> {
        let mut shards = ShardSet::default();
        let mut add = |index: usize, shard: &Shard| {
            shards.add(index);
            if !shards.is_full() {
                shard.waiters.add_shards(&mut shards);
            }
        };
        match self {
            Self::None | Self::Lent(_) => {}
            Self::One(index, shard) => add(*index, shard),
            Self::Several(held) => held.iter().for_each(|(index, shard)| add(*index, shard)),
            Self::All(held) => held.iter().enumerate().for_each(|(at, shard)| add(at, shard)),
        }
        shards.iter().collect()
    }

    /// The same shards for a command that runs within the one that holds them.
    #[inline]
    pub fn lend(&mut self) -> Held<'_> {
        match self {
            Self::None => Held::None,
            Self::Lent(shards) => Held::Lent(&mut **shards),
            held => Held::Lent(held),
        }
    }
}
