//! A group: one primary and its replicas in several zones, which survives the loss of a node or of a
//! zone by itself.
//!
//! ```text
//! config    what the members have agreed on
//! event     what happened, in order
//! change    how that changes
//! voter     what a member promised, and when it last heard of the primary
//! rank      who becomes the primary
//! in_sync   which replicas count
//! data      what the group needs of the node it decides about
//! ports     what else a member is given from outside
//! consensus how the members agree
//! driver    one member: holds all of that together
//! link      requests from member to member, over connections that both ends made sure of
//! disk      what a member has to remember
//! endpoint  the group's two addresses: who connects is led to the primary, or to a replica
//! network   faults on demand between the members
//! ```

pub mod change;
pub mod config;
mod consensus;
pub mod data;
pub mod disk;
pub mod driver;
pub mod endpoint;
pub mod event;
pub mod in_sync;
pub mod link;
mod message;
pub mod network;
pub mod ports;
pub mod rank;
pub mod voter;

pub use consensus::ConsensusError;
pub use message::AskError;
