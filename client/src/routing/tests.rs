//! Which node a read goes to.
