//! Publish and subscribe: what subscribers are told, in which order, and what they may do meanwhile.

mod channels;
mod slow;
