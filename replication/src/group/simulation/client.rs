//! Clients: they write values that nobody wrote before and read, wherever a primary lets them.

use super::judge::{Call, Record};
use super::node::{Places, Served};
use super::world::World;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// One write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Op {
    pub(super) key: u8,
    pub(super) value: u64,
}

/// Keys that there are.
pub(super) const KEYS: u8 = 4;
const PATIENCE: Duration = Duration::from_millis(1500);

/// One client at a place of its own.
pub(super) struct Client {
    pub(super) world: Arc<World>,
    pub(super) places: Places,
    pub(super) place: usize,
    pub(super) record: Arc<Record>,
}

impl Client {
    /// Calls one after the other, until it is over: what was asked for and is not known would look like
    /// what nobody asked for.
    pub(super) async fn run(self) {
        let nodes: Vec<usize> = self.places.values().copied().collect();
        let mut node = nodes[0];
        for number in 0.. {
            let (pause_ms, key, is_write) = self
                .world
                .random(|random| (random.u64(5..60), random.u8(0..KEYS), random.u8(0..100) < 55));
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            if self.record.is_over.load(Ordering::Relaxed) {
                return;
            }
            let value = (self.place as u64) << 32 | number;
            let value = is_write.then_some(value);
            let invoked = self.world.now();
            let called = tokio::time::timeout(PATIENCE, self.call(node, key, value)).await;
            let served = called.unwrap_or(Served::Unknown);
            let returned = self.world.now();
            self.record.called(Call { key, value, invoked, returned, served });
            if !matches!(served, Served::Done(_)) {
                node = self.hint(node).unwrap_or_else(|| {
                    self.world.random(|random| nodes[random.usize(0..nodes.len())])
                });
            }
        }
    }

    async fn call(&self, node: usize, key: u8, value: Option<u64>) -> Served {
        let world = &self.world;
        let data = world.data(node).filter(|_| world.is_up(node));
        let Some(data) = data else { return Served::Refused };
        if !world.travel(self.place, node).await {
            return Served::Unknown;
        }
        let served = data.call(key, value).await;
        match world.travel(node, self.place).await {
            true => served,
            false => Served::Unknown,
        }
    }

    /// Who is the primary, as the node knows that refused.
    fn hint(&self, node: usize) -> Option<usize> {
        let is_believed = self.world.random(|random| random.u8(0..4) > 0);
        let status = self.world.handle(node).filter(|_| is_believed)?.status();
        let primary = status.borrow().config.primary.clone()?;
        self.places.get(&primary).copied().filter(|&hinted| hinted != node)
    }
}
