//! Streams against a plain map.
