//! What a node tells about itself: counters, INFO, the slow log, the latency monitor.

pub mod errors;
pub mod footprint;
pub mod info;
pub mod latency;
pub mod process;
pub mod slowlog;
pub mod stats;
