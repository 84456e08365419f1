//! A primary becomes a replica, a replica another's, or a primary.
//!
//! All of it happens while all shards are held: whoever holds a shard sees one role, what a primary
//! wrote is in its log before it becomes a replica, and of a former primary's stream nothing is applied
//! once its replica is a primary itself.

use super::shared::Shared;
use crate::config::PrimaryAddress;
use crate::keyspace::access::Access;

impl Shared {
    /// Becomes the replica of a primary; `access` holds all shards.
    pub fn follow_within(&self, access: &Access<'_>, primary: PrimaryAddress) {
        debug_assert!(access.holds_all());
        self.follow(primary);
    }

    /// Becomes a primary; false when it is one already. `access` holds all shards.
    pub fn promote_within(&self, access: &Access<'_>) -> bool {
        debug_assert!(access.holds_all());
        self.turn_primary()
    }

    /// Becomes a primary, for who holds no shard; false when it is one already.
    pub fn promote(&self) -> bool {
        let _all = self.keyspace.lock_all();
        self.turn_primary()
    }

    /// The same with the replica of a primary.
    pub(super) fn follow(&self, primary: PrimaryAddress) {
        self.role.set_primary(primary.clone(), self.clock.unix_ms());
        self.log.set_follows(true);
        self.config.update(|settings| settings.replicaof = Some(primary));
        for client in self.clients.all() {
            // Who waits for a key would wait for what only the primary can do.
            client.turn_out();
        }
    }

    fn turn_primary(&self) -> bool {
        if !self.role.is_replica() {
            return false;
        }
        self.role.unset_primary();
        self.log.shift_ids();
        self.config.update(|settings| settings.replicaof = None);
        true
    }
}
