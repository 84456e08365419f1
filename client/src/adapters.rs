//! Where other crates meet this one.
//!
//! * `axum`: a layer and extractors that carry sessions
//! * `tower_sessions`: a store for the `tower-sessions` crate

#[cfg(feature = "axum")]
pub mod axum;
#[cfg(feature = "tower-sessions")]
pub mod tower_sessions;
