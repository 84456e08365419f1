//! The append-only file across processes: what survives a kill, a full disk, and who else reads it.

mod crash;
mod disk;
mod peers;
mod rewrite;
mod waits;

use larder_tests::{Conn, Server};

/// Directives of a node whose replies wait for the disk.
const ALWAYS: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

/// The increment that a server writes to.
fn increment(server: &Server) -> std::path::PathBuf {
    let set = server.dir().join("appendonlydir");
    let manifest =
        std::fs::read_to_string(set.join("appendonly.aof.manifest")).expect("a manifest");
    let line = manifest.lines().last().expect("a line");
    set.join(line.split(' ').nth(1).expect("a name"))
}

/// The digest of all databases.
fn digest(conn: &mut Conn) -> String {
    conn.run("DEBUG DIGEST").text()
}
