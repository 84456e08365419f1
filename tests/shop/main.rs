//! The web shop of `client/examples/shop`, as its customers see it: over HTTP on SQLite, PostgreSQL and
//! MariaDB, and in a real browser, while the zone of the primary loses its power.
//!
//! The databases and the browser are those of Debian's packages, started here in folders of their own.
//! The tests belong to the shop's package, so that cargo hands them its program.

mod browser;
mod database;
mod http;
mod journey;
mod process;
