//! What the command lines of the smaller programs have in common.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, value_parser};

use crate::peer::Peer;

const SERVERS: &str = "servers";

/// A count, 1 at least.
pub fn count(name: &'static str, what: &'static str, default: &'static str) -> Arg {
    let parser = value_parser!(u64).range(1..);
    Arg::new(name).long(name).help(what).value_parser(parser).default_value(default)
}

/// The count that was asked for.
pub fn read_count(options: &ArgMatches, name: &str) -> u64 {
    options.get_one(name).copied().unwrap_or(1)
}

/// The programs of servers, one at least.
pub fn servers() -> Arg {
    let servers = Arg::new(SERVERS).num_args(1..).required(true);
    servers.value_parser(value_parser!(PathBuf)).help("The servers' programs")
}

/// The servers that were asked for, named like their programs.
pub fn read_servers(options: &ArgMatches) -> Vec<Peer> {
    let programs = options.get_many::<PathBuf>(SERVERS).into_iter().flatten();
    programs.cloned().map(Peer::of).collect()
}
