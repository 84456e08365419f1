//! What a node alone has beyond a fork is kept in a file before its data is replaced.
//!
//! A primary that was cut off may have written what its group never got. When it comes back it takes
//! the new primary's data; the end of its own log, from the fork on, goes to a file of commands first,
//! as the append-only file has them. Invariant: the data is replaced only when the file is on the
//! disk, and no file takes the place of an older one.

use super::{MemberEvent, Membership};
use crate::node::shared::Shared;
use larder_protocol::encode::encode_command;
use larder_replication::group::card::Origin;
use larder_replication::psync::fork;
use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

/// Bytes copied at a time.
const CHUNK_BYTES: usize = 256 * 1024;
/// Files of one node and epoch.
const FILES: u32 = 10_000;
/// What a frame begins with that says of which database the next ones speak.
const SELECT: &[u8] = b"*2\r\n$6\r\nSELECT\r\n$";

/// The part of a log that its primary does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tail {
    from: u64,
    to: u64,
    is_whole: bool,
}

impl Membership {
    /// Keeps what this node has and `origin` has not.
    ///
    /// # Errors
    /// The file cannot be written; the data must stay.
    pub(in crate::node) fn keep_lost_writes(
        &self,
        node: &Shared,
        origin: &Origin,
    ) -> io::Result<()> {
        let Some(tail) = tail(node, origin) else { return Ok(()) };
        let (replid, epoch) = {
            let state = self.state.lock();
            let replid = node.log.replid();
            // A sync that failed is tried again; the file is there.
            if state.kept == Some((replid, tail.to)) {
                return Ok(());
            }
            (replid, state.epoch_at(node.log.offset()))
        };
        match self.write_tail(node, &tail, epoch) {
            Ok(path) => {
                tracing::warn!(
                    path = %path.display(), from = tail.from, to = tail.to,
                    "writes that the group never got are kept in a file"
                );
                self.state.lock().kept = Some((replid, tail.to));
                let Tail { from, to, is_whole } = tail;
                self.tell(MemberEvent::LostWrites { path, from, to, is_whole });
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, "cannot keep the writes that the group never got");
                if !std::mem::replace(&mut self.state.lock().is_unsaved, true) {
                    self.tell(MemberEvent::LostWritesUnsaved { reason: error.to_string() });
                }
                Err(error)
            }
        }
    }

    fn write_tail(&self, node: &Shared, tail: &Tail, epoch: u64) -> io::Result<PathBuf> {
        let dir = &self.options.lost_writes_dir;
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let name = format!("lost-writes-{}-{epoch}", self.options.node);
        let mut number = 1;
        let (path, mut file) = loop {
            let name =
                if number == 1 { format!("{name}.aof") } else { format!("{name}-{number}.aof") };
            let path = dir.join(name);
            match File::options().write(true).create_new(true).open(&path) {
                Ok(file) => break (path, file),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < FILES => {
                    number += 1;
                }
                Err(error) => return Err(error),
            }
        };
        let written = copy(node, tail, &mut file).and_then(|()| {
            file.sync_all()?;
            File::open(dir)?.sync_all()
        });
        if let Err(error) = written {
            // Half of it would only mislead.
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        Ok(path)
    }
}

/// What this node's log has that the other one has not, as far as it is there.
fn tail(node: &Shared, origin: &Origin) -> Option<Tail> {
    let (to, backlog) = (node.log.offset(), node.log.backlog()?);
    let fork = fork(&node.log.lineage(), &origin.lineage);
    // Without a common history everything is lost, from the first byte on.
    let lost_from = fork.unwrap_or(0);
    let from = lost_from.max(backlog.start);
    (from < to).then_some(Tail { from, to, is_whole: from == lost_from })
}

fn copy(node: &Shared, tail: &Tail, file: &mut File) -> io::Result<()> {
    let mut select = Vec::new();
    let db = db_before(node, tail.from).to_string();
    encode_command(&mut select, [&b"SELECT"[..], db.as_bytes()].into_iter());
    file.write_all(&select)?;
    let mut at = tail.from;
    while at < tail.to {
        let mut chunk = Vec::new();
        let most = CHUNK_BYTES.min((tail.to - at) as usize);
        let end = node.log.read_from(at, most, |piece| chunk.extend_from_slice(piece.as_slice()));
        let end = end.filter(|end| *end > at).ok_or(io::ErrorKind::UnexpectedEof)?;
        file.write_all(&chunk)?;
        at = end;
    }
    Ok(())
}

/// The database that the log speaks of at an offset: that of the last SELECT before it, as far as it
/// is there.
fn db_before(node: &Shared, offset: u64) -> u64 {
    let start = node.log.backlog().map_or(offset, |backlog| backlog.start);
    let (mut at, mut window, mut db) = (start, Vec::new(), 0);
    while at < offset {
        let most = CHUNK_BYTES.min((offset - at) as usize);
        let read = node.log.read_from(at, most, |piece| window.extend_from_slice(piece.as_slice()));
        let Some(end) = read.filter(|end| *end > at) else { break };
        at = end;
        db = last_select(&window).unwrap_or(db);
        // One that lies across two pieces.
        let kept = window.len().saturating_sub(2 * SELECT.len() + 32);
        window.drain(..kept);
    }
    db
}

fn last_select(bytes: &[u8]) -> Option<u64> {
    let at = bytes.windows(SELECT.len()).rposition(|window| window == SELECT)?;
    let rest = &bytes[at + SELECT.len()..];
    // The length of the number, and the number.
    let mut lines = rest.split(|byte| *byte == b'\r');
    let (_, digits) = (lines.next()?, lines.next()?);
    std::str::from_utf8(digits.strip_prefix(b"\n")?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_database_before_a_place_is_found() {
        let log = b"*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*1\r\n$4\r\nPING\r\n*2\r\n$6\r\nSELECT\r\n$2\r\n12\r\nx";
        assert_eq!(last_select(log), Some(12));
        assert_eq!(last_select(&log[..40]), Some(3));
        assert_eq!(last_select(b"*2\r\n$6\r\nSELECT\r\n$1"), None);
        assert_eq!(last_select(b"PING"), None);
    }
}
