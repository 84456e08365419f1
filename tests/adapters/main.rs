//! The client's adapters for other crates, against Larder and stock Redis.

mod tower_sessions;
