//! A group: one primary and its replicas in several zones, which survives the loss of a node or of a
//! zone by itself.
//!
//! ```text
//! card      what members say of themselves when one follows the other
//! config    what the members have agreed on
//! event     what happened, in order
//! data      what the group needs of the node it decides about
//! link      requests from member to member, over connections that both ends made sure of
//! disk      what a member has to remember
//! endpoint  the group's two addresses: who connects is led to the primary, or to a replica
//! network   faults on demand between the members
//! ```

pub mod card;
pub mod config;
pub mod data;
pub mod disk;
pub mod endpoint;
pub mod event;
pub mod link;
pub mod network;
