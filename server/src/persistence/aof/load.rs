//! Loading the set of files at the start: the base, then each increment, command by command.
//!
//! Commands run as they once did, but for two things: nothing counts as due, because what expired
//! was told as well, and no gate asks whether they may. A file that ends in the middle of a command
//! or of a transaction is what a crash leaves behind: its end is cut off, if `aof-load-truncated`
//! allows it and nothing follows it; a rewrite names the next file before it is written to. Whatever
//! else is wrong stops the start, with file and offset.
//!
//! A length in the file is compared, never allocated: the buffer grows with what was read.

use super::manifest::{Manifest, Names, Part, sync_folder};
use crate::acl::identity::Identity;
use crate::config::Settings;
use crate::dispatch::Executor;
use crate::keyspace::dataset::DataSet;
use crate::node::clients::{Client, Peer};
use crate::node::shared::Shared;
use crate::persistence::rdb::{self, LoadOptions};
use crate::session::Session;
use larder_protocol::{Args, Limits, Parsed, Parser};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Bytes read at once.
const READ_BYTES: usize = 1 << 20;
/// Commands between two looks at the clock.
const TURN_COMMANDS: usize = 256;
/// Lines in the log about commands that fail.
const FAILURES_TOLD: usize = 10;

/// What an effect may be; a node's own limits hold for what clients send.
const LIMITS: Limits = Limits {
    max_bulk_bytes: u32::MAX as usize,
    max_args: i32::MAX as usize,
    max_inline_bytes: 64 * 1024,
    unauthenticated: false,
};

/// Why the files cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file cannot be read or changed.
    #[error("the append only file {file} cannot be {what}: {error}")]
    Io {
        /// What could not be done with it.
        what: &'static str,
        /// To which file.
        file: String,
        /// Why.
        error: io::Error,
    },
    /// The base is no dump file as it should be.
    #[error("Error reading the RDB base file {file}, AOF loading aborted: {error}")]
    Base {
        /// Which one.
        file: String,
        /// Where, and what is wrong.
        error: rdb::LoadError,
    },
    /// What stands there is no command.
    #[error(
        "Bad file format reading the append only file {file} at offset {offset}: {reason}. Make a \
         backup, then try redis-check-aof --fix with its manifest"
    )]
    Format {
        /// In which file.
        file: String,
        /// Where the command begins.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// There is no such command.
    #[error("Unknown command '{name}' reading the append only file {file} at offset {offset}")]
    Unknown {
        /// Its name.
        name: String,
        /// In which file.
        file: String,
        /// Where it begins.
        offset: u64,
    },
    /// The file ends too early.
    #[error(
        "Unexpected end of file reading the append only file {file}, which is whole up to offset \
         {offset}. Make a backup, then try redis-check-aof --fix with its manifest, or set \
         aof-load-truncated to yes"
    )]
    Truncated {
        /// Which one.
        file: String,
        /// Up to where it is whole.
        offset: u64,
    },
    /// A file that others follow ends too early.
    #[error(
        "Fatal error: the truncated file is not the last file: {file} is whole up to offset {offset}"
    )]
    TruncatedWithin {
        /// Which one.
        file: String,
        /// Up to where it is whole.
        offset: u64,
    },
}

/// Takes over a file of the time before there were manifests, and gives the manifest.
///
/// Whatever step a crash comes after, the next start goes on from there.
///
/// # Errors
/// The folder or the manifest cannot be written, the file cannot be moved.
pub fn adopt_old_file(
    settings: &Settings,
    names: &Names,
    mut manifest: Manifest,
) -> io::Result<Manifest> {
    let old = settings.path(&names.stem);
    let is_begun = manifest.increments.is_empty()
        && manifest.base.as_ref().is_some_and(|base| base.name == names.stem)
        && !names.path(&names.stem).exists();
    if !old.is_file() || !(manifest.is_empty() || is_begun) {
        return Ok(manifest);
    }
    names.make_folder()?;
    manifest.adopt_base(&names.stem);
    manifest.store(names)?;
    fs::rename(&old, names.path(&names.stem))?;
    sync_folder(Some(&names.folder))?;
    sync_folder(Some(&settings.dir))?;
    tracing::info!(
        "migrated the old-style AOF file {} into {}",
        names.stem,
        names.folder.display()
    );
    Ok(manifest)
}

/// What was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Bytes of all files.
    pub total_bytes: u64,
    /// Bytes of the base.
    pub base_bytes: u64,
}

/// Bytes of the files that a manifest names.
///
/// # Errors
/// One is not there.
pub fn sizes(names: &Names, manifest: &Manifest) -> Result<Loaded, LoadError> {
    let base_bytes = bytes_of(names, manifest.base.iter())?;
    let increments = bytes_of(names, manifest.increments.iter())?;
    Ok(Loaded { total_bytes: base_bytes + increments, base_bytes })
}

fn bytes_of<'p>(names: &Names, parts: impl Iterator<Item = &'p Part>) -> Result<u64, LoadError> {
    let size = |part: &Part| {
        let error = |error| LoadError::Io { what: "measured", file: part.name.clone(), error };
        fs::metadata(names.path(&part.name)).map(|found| found.len()).map_err(error)
    };
    parts.map(size).sum()
}

/// Loads all files into the node's data set; `progress` is told of bytes that were read.
///
/// # Errors
/// A file is of no use; what was loaded up to there is in the data set.
pub fn load(
    node: &Arc<Shared>,
    names: &Names,
    manifest: &Manifest,
    progress: &mut dyn FnMut(u64),
) -> Result<Loaded, LoadError> {
    let mut loaded = sizes(names, manifest)?;
    let parts: Vec<&Part> = manifest.parts().collect();
    for (index, part) in parts.iter().copied().enumerate() {
        let started = node.clock.tick();
        let mut loader = Loader::new(node, names.path(&part.name), &part.name);
        let is_last = bytes_of(names, parts[index + 1..].iter().copied())? == 0;
        let cut = loader.load(is_last, progress)?;
        loaded.total_bytes = loaded.total_bytes.saturating_sub(cut);
        let kind = if manifest.base.as_ref() == Some(part) { "base" } else { "incr" };
        let took = node.clock.since(started).as_secs_f32();
        tracing::info!("DB loaded from {kind} file {}: {took:.3} seconds", part.name);
    }
    Ok(loaded)
}

/// Loads all files in place of the data set.
///
/// # Errors
/// As [`load`].
pub fn reload(node: &Arc<Shared>, names: &Names, manifest: &Manifest) -> Result<(), LoadError> {
    let mut loader = Loader::new(node, PathBuf::new(), "");
    for words in [&[&b"FLUSHALL"[..]][..], &[b"FUNCTION", b"FLUSH"]] {
        loader.executor.begin_turn();
        loader.run(Args::from_slices(words))?;
    }
    drop(loader);
    load(node, names, manifest, &mut |bytes| node.loading.add(bytes)).map(drop)
}

/// Loads one file.
struct Loader {
    executor: Executor,
    session: Session,
    path: PathBuf,
    name: String,
    /// Where the command begins that is read now.
    offset: u64,
    /// Where the transaction begins that is open now.
    transaction: u64,
    failures: usize,
}

/// A source that tells how much was read of it.
struct Told<'t, R> {
    source: R,
    progress: &'t mut dyn FnMut(u64),
}

impl<R: Read> Read for Told<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        (self.progress)(read as u64);
        Ok(read)
    }
}

/// How far the bytes at hand got.
enum Step {
    /// A command or a comment that was so long.
    Took(usize),
    /// There is not enough.
    More,
}

impl Loader {
    fn new(node: &Arc<Shared>, path: PathBuf, name: &str) -> Self {
        let client = Client::new(node.clients.next_id(), Peer::InProcess, -1, node.clock.unix_ms());
        let owner = Identity::of_owner(&node.acl.users);
        let session = Session::new(Arc::new(client), owner);
        Self {
            executor: Executor::new(Arc::clone(node)),
            session: Session { may_block: false, applies: true, ..session },
            path,
            name: name.to_owned(),
            offset: 0,
            transaction: 0,
            failures: 0,
        }
    }

    fn io(&self, what: &'static str) -> impl FnOnce(io::Error) -> LoadError {
        let file = self.name.clone();
        move |error| LoadError::Io { what, file, error }
    }

    /// Loads the file; gives how many bytes were cut off its end.
    fn load(&mut self, is_last: bool, progress: &mut dyn FnMut(u64)) -> Result<u64, LoadError> {
        let mut file = File::open(&self.path).map_err(self.io("opened"))?;
        let size = file.metadata().map_err(self.io("measured"))?.len();
        if size == 0 {
            return Ok(0);
        }
        let bytes = self.dump(&mut file, progress)?;
        self.commands(&mut file, bytes, progress)?;
        if self.session.transaction.is_open() {
            tracing::warn!("Revert incomplete MULTI/EXEC transaction in AOF file {}", self.name);
            self.offset = self.transaction;
        }
        match size.saturating_sub(self.offset) {
            0 => Ok(0),
            rest => self.cut(is_last).map(|()| rest),
        }
    }

    /// Takes the dump that the file begins with, if it does, in place of the data set; gives what was
    /// read of what is behind it.
    fn dump(
        &mut self,
        file: &mut File,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Vec<u8>, LoadError> {
        let mut begin = Vec::new();
        let marks = [&b"REDIS"[..], b"VALKEY"];
        let longest = marks.iter().map(|mark| mark.len()).max().unwrap_or_default();
        (&mut *file).take(longest as u64).read_to_end(&mut begin).map_err(self.io("read"))?;
        if !marks.iter().any(|mark| begin.starts_with(mark)) {
            progress(begin.len() as u64);
            return Ok(begin);
        }
        let (node, settings) = (Arc::clone(self.executor.node()), self.executor.settings().clone());
        let options = LoadOptions {
            settings: &settings,
            now_ms: node.clock.unix_ms(),
            drops_due: false,
            checks_sum: true,
        };
        let mut data = DataSet::default();
        let mut source = Told { source: begin.as_slice().chain(&mut *file), progress };
        let loaded = rdb::load(&mut source, &node.keyspace, &mut data, options)
            .map_err(|error| LoadError::Base { file: self.name.clone(), error })?;
        self.executor.replace(data, |_| {});
        for text in &loaded.functions {
            self.run(Args::from_slices(&[b"FUNCTION", b"LOAD", b"REPLACE", text]))?;
        }
        self.offset = loaded.bytes;
        Ok(loaded.unread)
    }

    /// Runs all whole commands of the file, of which some bytes are read already; `offset` is then
    /// behind the last one.
    fn commands(
        &mut self,
        file: &mut dyn Read,
        mut bytes: Vec<u8>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), LoadError> {
        let (mut at, mut parser) = (0, Parser::new());
        let mut count = 0;
        self.executor.begin_turn();
        loop {
            match self.next(&mut parser, &bytes[at..])? {
                Step::Took(taken) => {
                    at += taken;
                    self.offset += taken as u64;
                    count += 1;
                    if count % TURN_COMMANDS == 0 {
                        self.executor.begin_turn();
                    }
                }
                Step::More => {
                    bytes.drain(..at);
                    at = 0;
                    let read = file
                        .take(READ_BYTES as u64)
                        .read_to_end(&mut bytes)
                        .map_err(self.io("read"))?;
                    if read == 0 {
                        return Ok(());
                    }
                    progress(read as u64);
                }
            }
        }
    }

    /// Runs the command at the beginning of `bytes`.
    fn next(&mut self, parser: &mut Parser, bytes: &[u8]) -> Result<Step, LoadError> {
        match bytes.first() {
            None => return Ok(Step::More),
            // A mark of time, or what else a later version may say.
            Some(b'#') => {
                let end = bytes.iter().position(|byte| *byte == b'\n');
                return match end {
                    Some(end) => Ok(Step::Took(end + 1)),
                    None if bytes.len() > LIMITS.max_inline_bytes => {
                        Err(self.format("a comment without an end"))
                    }
                    None => Ok(Step::More),
                };
            }
            Some(b'*') => {}
            Some(_) => return Err(self.format("a command begins with '*'")),
        }
        match parser.parse(bytes, &LIMITS) {
            Ok(Parsed::Incomplete) => Ok(Step::More),
            Ok(Parsed::Empty { .. }) => Err(self.format("a command without a name")),
            Ok(Parsed::Command { consumed }) => {
                self.run(parser.args(bytes))?;
                Ok(Step::Took(consumed))
            }
            Err(error) => Err(self.format(&error.to_string())),
        }
    }

    fn run(&mut self, args: Args<'_>) -> Result<(), LoadError> {
        let Ok(command) = self.executor.look_up(args) else {
            return Err(LoadError::Unknown {
                name: String::from_utf8_lossy(args.at(0)).chars().take(128).collect(),
                file: self.name.clone(),
                offset: self.offset,
            });
        };
        let was_open = self.session.transaction.is_open();
        if let Err(error) = self.executor.apply(&mut self.session, command, args) {
            self.failures += 1;
            if self.failures <= FAILURES_TOLD {
                let (file, offset) = (&self.name, self.offset);
                tracing::warn!("{} at offset {offset} of {file}: {error}", command.full_name);
            }
        }
        if !was_open && self.session.transaction.is_open() {
            self.transaction = self.offset;
        }
        let delay_us = self.executor.settings().key_load_delay_us;
        if delay_us > 0 {
            std::thread::sleep(Duration::from_micros(delay_us as u64));
        }
        Ok(())
    }

    fn format(&self, reason: &str) -> LoadError {
        LoadError::Format {
            file: self.name.clone(),
            offset: self.offset,
            reason: reason.to_owned(),
        }
    }

    /// Takes away what is behind `offset`.
    fn cut(&self, is_last: bool) -> Result<(), LoadError> {
        let (file, offset) = (self.name.clone(), self.offset);
        if !self.executor.settings().aof_load_truncated {
            return Err(LoadError::Truncated { file, offset });
        }
        if !is_last {
            return Err(LoadError::TruncatedWithin { file, offset });
        }
        tracing::warn!("Truncating the AOF {file} at offset {offset}, its end is incomplete");
        let cut = || -> io::Result<()> {
            let file = OpenOptions::new().write(true).open(&self.path)?;
            file.set_len(offset)?;
            file.sync_all()
        };
        cut().map_err(self.io("truncated"))?;
        tracing::warn!("AOF {file} loaded anyway because aof-load-truncated is enabled");
        Ok(())
    }
}
