//! MULTI, EXEC, DISCARD, WATCH, UNWATCH, compared with a real server.

mod history;
mod queue;
mod serialisable;
mod watch;
