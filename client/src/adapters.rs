//! Where other crates meet this one.
//!
//! * [`tower_sessions`]: a store for the `tower-sessions` crate

#[cfg(feature = "tower-sessions")]
pub mod tower_sessions;
