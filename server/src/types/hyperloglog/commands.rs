//! The hyperloglog commands.
