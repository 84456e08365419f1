//! What a node tells about itself: counters, INFO, metrics, the slow log, the latency monitor.

pub mod errors;
pub mod footprint;
pub mod info;
pub mod latency;
pub mod metrics;
pub mod pressure;
pub mod process;
pub mod slowlog;
pub mod stats;
