//! The library face of the server: a node in this process, and the parts its threads share.

pub mod balance;
pub mod clients;
pub(crate) mod control;
pub(crate) mod embed;
mod expiry;
pub mod failover;
pub mod group;
mod http;
mod link;
mod local;
pub mod member;
pub mod pause;
pub mod rest;
pub mod role;
pub mod shared;
pub mod shutdown;
pub mod stuck;
mod turn;
pub mod workers;

pub use embed::{Builder, Node, StartError, StopSignal};
pub use local::Local;
