//! MULTI, EXEC, DISCARD, WATCH, UNWATCH, compared with a real server.

mod history;
mod queue;
mod rows;
mod scripts;
mod serialisable;
mod watch;
