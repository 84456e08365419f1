//! Dump files as a whole: what stands around the keys, and how a file becomes a data set.
//!
//! A file is a header with facts about it, the functions, the keys of one database after the other,
//! and a checksum of all that. The same bytes are a full sync and the base of an append-only file.
//! What stands between these parts is here; values are the matter of [`crate::types::rdb`].

mod load;
mod save;

#[cfg(test)]
mod tests;

pub use larder_protocol::rdb::Error as LoadError;
pub use load::{Aux, LoadOptions, Loaded, load};
pub use save::{Facts, History, put_all, put_database, put_footer, put_functions, put_header};
