//! The dump file becomes the data set.
//!
//! The file is read into a data set of its own, which takes the place of the live one when it is whole:
//! a file that is not right costs nothing.

use super::rdb::{LoadOptions, Loaded, load};
use crate::keyspace::access::Access;
use crate::keyspace::changes::Changes;
use crate::keyspace::dataset::DataSet;
use crate::keyspace::evict::Touch;
use crate::node::shared::Shared;
use larder_protocol::encode::encode_command;
use larder_replication::{FrameKind, ReplicationId};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

/// How a load goes, and how the last one went.
#[derive(Default)]
pub struct Loading {
    is_active: AtomicBool,
    began_s: AtomicI64,
    total_bytes: AtomicU64,
    loaded_bytes: AtomicU64,
    /// Keys of the last dump file.
    pub keys: AtomicU64,
    /// Those of them that were due.
    pub expired: AtomicU64,
}

/// What INFO shows of a load.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// When it began, in seconds since the Unix epoch.
    pub began_s: i64,
    /// Bytes of the file.
    pub total_bytes: u64,
    /// Bytes that were read.
    pub loaded_bytes: u64,
}

impl Loading {
    /// Whether the data set is being loaded, so that there is nothing to serve yet.
    #[inline]
    pub fn is_active(&self) -> bool {
        self.is_active.load(Ordering::Relaxed)
    }

    /// Begins to load so many bytes.
    pub fn begin(&self, total_bytes: u64, now_s: i64) {
        self.began_s.store(now_s, Ordering::Relaxed);
        self.total_bytes.store(total_bytes, Ordering::Relaxed);
        self.loaded_bytes.store(0, Ordering::Relaxed);
        self.is_active.store(true, Ordering::Relaxed);
    }

    /// Adds bytes that were read.
    pub fn add(&self, bytes: u64) {
        self.loaded_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Ends the load.
    pub fn end(&self) {
        self.is_active.store(false, Ordering::Relaxed);
    }

    /// How far it is, while one is under way.
    pub fn progress(&self) -> Option<Progress> {
        self.is_active().then(|| Progress {
            began_s: self.began_s.load(Ordering::Relaxed),
            total_bytes: self.total_bytes.load(Ordering::Relaxed),
            loaded_bytes: self.loaded_bytes.load(Ordering::Relaxed),
        })
    }
}

/// A file that counts what is read of it.
struct Counted<'n> {
    file: File,
    loading: &'n Loading,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.file.read(buffer)?;
        self.loading.add(bytes as u64);
        Ok(bytes)
    }
}

/// Loads the dump file, if there is one, at the start of a node; `loading` is active.
///
/// # Errors
/// The file cannot be read, or is not right: where and why.
pub(crate) fn load_at_start(node: &Shared) -> Result<(), String> {
    let settings = node.config.load();
    if settings.dbfilename.is_empty() {
        return Ok(());
    }
    let path = settings.path(&settings.dbfilename);
    let began = node.clock.tick();
    match load_file(node, &path) {
        Ok(Some(loaded)) => {
            go_on(node, &loaded);
            let seconds = node.clock.since(began).as_secs_f64();
            tracing::info!(
                keys = loaded.keys,
                expired = loaded.expired,
                "DB loaded from disk: {seconds:.3} seconds"
            );
            Ok(())
        }
        Ok(None) => Ok(()),
        Err(error) => Err(format!("Fatal error loading the DB {}: {error}", path.display())),
    }
}

/// Lets those who replicated from this node, or whom it replicated from, go on where they were when
/// the file was made.
fn go_on(node: &Shared, loaded: &Loaded) {
    let aux = &loaded.aux;
    let id = aux.repl_id.as_deref().and_then(|id| ReplicationId::parse(id.as_bytes()));
    let (Some(id), Some(offset), Some(db)) = (id, aux.repl_offset, aux.repl_stream_db) else {
        return;
    };
    let expired = match (loaded.expired, &loaded.expired_keys) {
        (0, _) => &[][..],
        (_, Some(keys)) => keys,
        // Nobody hears of all keys that went while the file was loaded, so nobody may go on.
        (_, None) => return,
    };
    let size = node.config.load().repl_backlog_size_bytes;
    if node.role.is_replica() {
        node.log.adopt(id, offset, size);
        // The stream goes on in the database in which the file ends.
        node.log.append_raw(b"", FrameKind::Effect, db);
    } else {
        node.log.restore(id, offset, size);
        let mut frame = Vec::new();
        for (db, key) in expired {
            frame.clear();
            encode_command(&mut frame, [&b"DEL"[..], key].into_iter());
            node.log.append_frame(*db, &frame);
        }
    }
}

/// Loads a dump file in the place of everything there is; gives nothing when there is no file.
///
/// # Errors
/// The file cannot be read, or is not right; then everything stays as it was.
pub(crate) fn load_file(node: &Shared, path: &Path) -> Result<Option<Loaded>, String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let total_bytes = file.metadata().map_or(0, |metadata| metadata.len());
    node.loading.begin(total_bytes, node.clock.unix_ms().div_euclid(1000));
    let loaded = take(node, file);
    node.loading.end();
    loaded.map(Some)
}

fn take(node: &Shared, file: File) -> Result<Loaded, String> {
    let loading = &node.loading;
    let settings = node.config.load();
    let mut data = DataSet::default();
    let options = LoadOptions {
        settings: &settings,
        now_ms: node.clock.unix_ms(),
        drops_due: !node.role.is_replica(),
        checks_sum: true,
    };
    let loaded = load(Counted { file, loading }, &node.keyspace, &mut data, options);
    let loaded = loaded.map_err(|error| error.to_string())?;
    let texts = loaded.functions.iter().map(Vec::as_slice);
    let libraries = node.scripts.read_libraries(node, &settings, texts);
    let libraries = libraries.map_err(|error| error.to_string())?;
    loading.keys.store(loaded.keys, Ordering::Relaxed);
    loading.expired.store(loaded.expired, Ordering::Relaxed);
    put_in_place(node, data);
    let functions = &node.scripts.functions;
    functions.replace(libraries, &functions.change());
    Ok(loaded)
}

/// Puts a data set in the place of everything there is.
pub(super) fn put_in_place(node: &Shared, data: DataSet) {
    let now_ms = node.clock.unix_ms();
    let touch = Touch::new(&node.config.load(), now_ms, || 0);
    let held = node.keyspace.lock_all();
    let changes = Changes::new(false, node.wanted_events());
    let mut access = Access::new(&node.keyspace, held, 0, now_ms, touch, changes);
    access.replace(data);
    access.changes.flush();
    crate::propagate::publish(node, &mut access.changes);
    node.keyspace.memory().add(access.memory_delta());
    let replaced = access.take_large_garbage(|_| true);
    drop(access);
    node.reap(replaced);
}
