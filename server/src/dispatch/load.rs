//! A data set that was read elsewhere takes the place of the live one.

use super::nested::Host;
use super::{Executor, blocking};
use crate::keyspace::access::Access;
use crate::keyspace::changes::Changes;
use crate::keyspace::dataset::DataSet;
use crate::keyspace::evict::Touch;
use crate::node::shared::Shared;
use std::sync::Arc;

impl Executor {
    /// Puts a data set in the place of everything there is, as one change: no client sees a part of
    /// either. Those who watch, track or wait for keys learn of it. Nothing is logged.
    ///
    /// `also` is done at the same instant, while every shard is held.
    pub fn replace(&mut self, data: DataSet, also: impl FnOnce(&Shared)) {
        self.replace_if(data, |node| {
            also(node);
            true
        });
    }

    /// The same if `admits` says so, while every shard is held; tells what it said.
    pub fn replace_if(&mut self, data: DataSet, admits: impl FnOnce(&Shared) -> bool) -> bool {
        self.begin_turn();
        let node = Arc::clone(&self.node);
        let touch = Touch::new(&self.settings, self.now_ms(), || self.random.u32(..));
        let held = node.keyspace.lock_all();
        let changes = Changes::new(false, node.wanted_events());
        let mut access = Access::new(&node.keyspace, held, 0, self.now_ms(), touch, changes);
        if !admits(&node) {
            return false;
        }
        access.replace(data);
        access.changes.logged = node.log.is_read();
        access.changes.flush();
        crate::propagate::publish(&node, &mut access.changes);
        let now_us = self.meter.now_us;
        let (settings, meter, random) = (&*self.settings, &mut self.meter, &mut self.random);
        blocking::serve_ready(Host { node: &node, settings, meter, random, now_us }, &mut access);
        crate::propagate::publish(&node, &mut access.changes);
        let (tally, memory_delta) = (access.tally, access.memory_delta());
        let replaced = access.take_large_garbage(|_| true);
        drop(access);
        node.reap(replaced);
        self.settle(memory_delta, tally);
        node.tracking.broadcast(&node);
        true
    }
}
