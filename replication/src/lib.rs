//! Larder's replication stream: ids, offsets and the log of effects.
//!
//! The log is the single ordered list of what changed the data set, in the protocol that replicas
//! and the append-only file read. This crate moves bytes and offsets; it never sees a value.
//!
//! ```text
//! replid    the name of a history
//! frames    what one command leaves, on its way to the log
//! log       the order of everything, and the position in it
//! backlog   the latest bytes, for replicas that are behind
//! reader    how far one replica is
//! psync     who may go on where it was
//! timeline  when offsets were reached, for those who ask how late somebody is
//! group     who is primary, and who may say so
//! pace      timers that fall together
//! ```

mod backlog;
mod frames;
pub mod group;
mod log;
pub mod pace;
pub mod psync;
mod reader;
pub mod replica;
mod replid;
mod timeline;

pub use frames::Frames;
pub use log::{BacklogState, EffectLog, FrameKind, History, Lineage, Position, Sink};
pub use reader::{Piece, Reader};
pub use replid::ReplicationId;
pub use timeline::Timeline;
