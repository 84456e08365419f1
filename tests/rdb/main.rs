//! Dump files and payloads: ours and those of other servers.

mod arguments;
mod exchange;
mod hostile;
mod payloads;
mod populate;
