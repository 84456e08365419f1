//! What clients of a cluster say to its nodes. This node is in none, and says so.

pub mod table;

use crate::dispatch::call::{Call, CommandResult};
use larder_protocol::CommandError;

/// ASKING, CLUSTER and all below it, READONLY, READWRITE
pub fn disabled<'c>(_: &'c mut Call<'_>) -> CommandResult<'c> {
    Err(CommandError::CLUSTER_DISABLED)
}
