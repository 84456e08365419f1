//! Client-side caching and MONITOR: who is told of which change, and when.

mod invalidation;
mod limits;
mod monitor;
