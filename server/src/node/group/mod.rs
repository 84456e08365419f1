//! A replication group, as the server runs it: one member around a node, or all members in a process.
//!
//! ```text
//! embed            a whole group inside this process
//! member           one member, as a process of its own runs it
//! member_settings  what a member has to know before it starts, out of its settings
//! placement        which nodes a group in this process has, and where
//! timing           how fast the loss of a primary is noticed
//! supervisor       one member through all its lives
//! life             one of them: node, driver and link
//! observer         what the members in this process know together
//! routes           where the endpoints lead
//! endpoints        the group's two addresses
//! scratch          the folder of a group that was given none
//! port             a port that stays a node's own while the node is not there
//! face             what commands see of the group, and what they may ask
//! news             what clients are told when the group changed
//! recovery         a node that comes back tells so
//! rolling          all nodes start anew, one after another
//! view             a group at a moment, for programs that run one
//! ```

mod embed;
mod endpoints;
pub mod face;
mod life;
mod member;
mod member_settings;
pub mod news;
mod observer;
mod placement;
mod port;
mod recovery;
mod rolling;
mod routes;
mod scratch;
mod supervisor;
#[cfg(test)]
mod tests;
mod timing;
mod view;

pub use embed::{Group, GroupBuilder, GroupError};
pub use larder_replication::group::event::{Event, Source};
pub use member::{GroupMember, MemberShutdown};
pub use timing::Timing;
pub use view::{GroupView, NodeRole, NodeView};
