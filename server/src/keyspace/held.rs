//! The shard locks of one command, and how a shard is found among them.

use super::shard::Shard;
use super::waiters::ShardSet;
use parking_lot::MutexGuard;

const COVERED: &str = "the lock plan covers every key that is used";

/// The shard locks a command holds.
pub enum Held<'k> {
    /// None: shards are locked one at a time while the command walks over them.
    None,
    /// The shard of the one key, or of keys that share it.
    One(usize, MutexGuard<'k, Shard>),
    /// Several, in ascending order.
    Several(Vec<(usize, MutexGuard<'k, Shard>)>),
    /// All of them, in order.
    All(Vec<MutexGuard<'k, Shard>>),
    /// Those of another access, in ascending order.
    Lent(Vec<(usize, &'k mut Shard)>),
}

impl Held<'_> {
    /// Whether anybody waits for a key of these shards.
    #[inline]
    pub fn has_waiters(&self) -> bool {
        match self {
            Self::None => false,
            Self::One(_, shard) => !shard.waiters.is_empty(),
            Self::Several(shards) => shards.iter().any(|(_, shard)| !shard.waiters.is_empty()),
            Self::All(shards) => shards.iter().any(|shard| !shard.waiters.is_empty()),
            Self::Lent(shards) => shards.iter().any(|(_, shard)| !shard.waiters.is_empty()),
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
            Self::None => {}
            Self::One(index, shard) => add(*index, shard),
            Self::Several(held) => held.iter().for_each(|(index, shard)| add(*index, shard)),
            Self::All(held) => held.iter().enumerate().for_each(|(at, shard)| add(at, shard)),
            Self::Lent(held) => held.iter().for_each(|(index, shard)| add(*index, shard)),
        }
        shards.iter().collect()
    }

    /// A held shard.
    ///
    /// # Panics
    /// When it is not held: a row's key specs lack a key that its handler uses.
    #[inline(always)]
    pub fn shard(&self, index: usize) -> &Shard {
        match self {
            Self::One(held, shard) if *held == index => shard,
            Self::Several(shards) => {
                let found = shards.binary_search_by_key(&index, |(held, _)| *held);
                &shards[found.expect(COVERED)].1
            }
            Self::All(shards) => &shards[index],
            Self::Lent(shards) => {
                let found = shards.binary_search_by_key(&index, |(held, _)| *held);
                shards[found.expect(COVERED)].1
            }
            Self::None | Self::One(..) => panic!("{COVERED}"),
        }
    }

    /// A held shard, to be changed.
    ///
    /// # Panics
    /// When it is not held.
    #[inline(always)]
    pub fn shard_mut(&mut self, index: usize) -> &mut Shard {
        match self {
            Self::One(held, shard) if *held == index => shard,
            Self::Several(shards) => {
                let found = shards.binary_search_by_key(&index, |(held, _)| *held);
                &mut shards[found.expect(COVERED)].1
            }
            Self::All(shards) => &mut shards[index],
            Self::Lent(shards) => {
                let found = shards.binary_search_by_key(&index, |(held, _)| *held);
                shards[found.expect(COVERED)].1
            }
            Self::None | Self::One(..) => panic!("{COVERED}"),
        }
    }

    /// The same shards for a command that runs within the one that holds them.
    pub fn lend(&mut self) -> Held<'_> {
        Held::Lent(match self {
            Self::None => Vec::new(),
            Self::One(index, shard) => vec![(*index, &mut **shard)],
            Self::Several(held) => held.iter_mut().map(|(at, shard)| (*at, &mut **shard)).collect(),
            Self::All(held) => {
                held.iter_mut().enumerate().map(|(at, shard)| (at, &mut **shard)).collect()
            }
            Self::Lent(held) => held.iter_mut().map(|(at, shard)| (*at, &mut **shard)).collect(),
        })
    }
}
