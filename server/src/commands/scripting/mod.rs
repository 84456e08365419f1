//! Commands that run scripts and functions, and that manage them.
//!
//! How they run is [`scripting`](crate::scripting)'s matter.
//!
//! ```text
//! eval       EVAL, EVALSHA, FCALL and their forms that only read
//! script     SCRIPT and its subcommands      function   FUNCTION and its subcommands
//! table      the rows
//! ```

pub mod eval;
pub mod function;
pub mod script;
pub mod table;
