//! DEBUG RELOAD: the data set is written to its file and read again, while nobody does anything.
//!
//! What was read takes the place of what is there only when all of it is right.

use crate::dispatch::call::{Call, CommandResult};
use crate::keyspace::dataset::DataSet;
use crate::keyspace::lock::Cover;
use crate::persistence::rdb::{Facts, LoadError, LoadOptions, load, put_all};
use crate::scripting::functions::Libraries;
use larder_protocol::{CommandError, Reply};
use std::fs::{self, File};
use std::io;
use std::path::Path;

const OPTIONS: CommandError = CommandError::from_static(
    "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
);
const NOT_SAVED: CommandError = CommandError::from_static("ERR");
const NOT_LOADED: CommandError =
    CommandError::from_static("ERR Error trying to load the RDB dump, check server logs");

/// What was wrong with a file that was to be loaded.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    File(#[from] io::Error),
    #[error("{0}")]
    Load(#[from] LoadError),
    #[error("{0}")]
    Functions(CommandError),
    #[error("a key that it has is there already")]
    Conflict,
}

/// DEBUG RELOAD \[MERGE\] \[NOFLUSH\] \[NOSAVE\]
pub(super) fn reload<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (mut flushes, mut saves, mut merges) = (true, true, false);
    for option in call.args.iter().skip(2) {
        match &*option.to_ascii_lowercase() {
            b"merge" => merges = true,
            b"noflush" => flushes = false,
            b"nosave" => saves = false,
            _ => return Err(OPTIONS),
        }
    }
    if call.db.cover_all(false) != Cover::Held {
        return Err(CommandError::from_static("ERR DEBUG RELOAD cannot wait for a script"));
    }
    let path = call.settings.dir.join(&call.settings.dbfilename);
    if saves && let Err(error) = save(call, &path) {
        tracing::warn!(%error, "DEBUG RELOAD cannot save the data set");
        return Err(NOT_SAVED);
    }
    match load_from(call, &path, flushes, merges) {
        Ok(()) => {
            tracing::warn!("DB reloaded by DEBUG RELOAD");
            Ok(Reply::Ok)
        }
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "DEBUG RELOAD: the file is not loaded");
            Err(NOT_LOADED)
        }
    }
}

/// Writes the data set beside the file, and puts it in its place.
fn save(call: &mut Call<'_>, path: &Path) -> io::Result<()> {
    let beside = path.with_extension(format!("reload-{}", std::process::id()));
    let facts = Facts {
        created_s: call.now_ms() / 1000,
        used_bytes: call.node.keyspace.memory().used_bytes(),
        history: None,
        is_aof_base: false,
    };
    let (libraries, _) = call.node.scripts.functions.current();
    let written = File::create(&beside)
        .and_then(|file| put_all(&mut call.db, (call.settings, &libraries), &facts, file));
    let renamed = written.and_then(|_| fs::rename(&beside, path));
    if renamed.is_err() {
        // It may not be there.
        let _ = fs::remove_file(&beside);
    }
    renamed
}

fn load_from(call: &mut Call<'_>, path: &Path, flushes: bool, merges: bool) -> Result<(), Failure> {
    let options = LoadOptions {
        settings: call.settings,
        now_ms: call.now_ms(),
        drops_due: !call.node.role.is_replica(),
        checks_sum: call.node.checks_payloads(),
    };
    let (keyspace, mut data) = (call.db.keyspace(), DataSet::default());
    let loaded = load(File::open(path)?, keyspace, &mut data, options)?;
    let scripts = &call.node.scripts;
    let change = scripts.functions.change();
    let texts = loaded.functions.iter().map(Vec::as_slice);
    let read = scripts.read_libraries(call.node, call.settings, texts);
    let mut libraries = read.map_err(Failure::Functions)?;
    if flushes {
        call.db.replace(data);
    } else {
        let mut joined = Libraries::clone(&scripts.functions.current().0);
        joined.join(std::mem::take(&mut libraries), merges).map_err(Failure::Functions)?;
        libraries = joined;
        merge(call, data, merges)?;
    }
    scripts.functions.replace(libraries, &change);
    call.db.changes.flush();
    Ok(())
}

/// Adds what was read to what is there.
fn merge(call: &mut Call<'_>, mut data: DataSet, replaces: bool) -> Result<(), Failure> {
    let (keyspace, mut entries) = (call.db.keyspace(), Vec::new());
    data.take_all(|db, entry| entries.push((db, entry)));
    let has_conflict = entries.iter().any(|(db, entry)| {
        let key = keyspace.key(entry.view().key());
        call.db.in_db(*db, |access| access.contains(key))
    });
    if has_conflict && !replaces {
        return Err(Failure::Conflict);
    }
    for (db, entry) in entries {
        let name = entry.view().key().to_vec();
        call.db.in_db(db, |access| {
            let key = keyspace.key(&name);
            access.remove(key);
            access.insert_entry(key, entry);
            access.touched(key);
        });
    }
    Ok(())
}
