//! A group: one primary and its replicas in several zones, which survives the loss of a node or of a
//! zone by itself.
//!
//! ```text
//! card      what members say of themselves when one follows the other
//! config    what the members have agreed on
//! event     what happened, in order
//! data      what the group needs of the node it decides about
//! ```

pub mod card;
pub mod config;
pub mod data;
pub mod event;
