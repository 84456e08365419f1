//! The client's adapters for other crates, against Larder and stock Redis.

mod published;
mod tower_sessions;
