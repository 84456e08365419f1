//! MULTI, EXEC, DISCARD, WATCH, UNWATCH, compared with a real server.

mod queue;
mod watch;
