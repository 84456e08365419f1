//! A replication group, as the server runs it: one member around a node, or all members in a process.
//!
//! ```text
//! face        what commands see of the group, and what they may ask
//! news        what clients are told when the group changed
//! member_settings  what a member has to know before it starts
//! placement   which nodes a group in this process has, and where
//! port        a port that stays a node's own while the node is not there
//! routes      where the endpoints lead
//! endpoints   the group's two addresses
//! ```

mod endpoints;
pub mod face;
pub mod member_settings;
pub mod news;
mod placement;
mod port;
mod routes;
