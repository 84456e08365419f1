//! The stream commands beside Redis: entries, groups, blocking reads, random commands.
//!
//! IDs are stated, since the clocks of two servers never agree. Where 7.2 answers otherwise than
//! the installed Redis, the script says what.

mod blocking;
mod entries;
mod groups;
