//! DEBUG RELOAD: the data set goes through the dump file and back.

use crate::dispatch::call::{Call, CommandResult};
use crate::persistence::loading;
use larder_protocol::{CommandError, Reply};

/// DEBUG RELOAD [NOSAVE]
pub(super) fn reload<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let mut saves = true;
    for option in call.args.iter().skip(2) {
        if option.eq_ignore_ascii_case(b"nosave") {
            saves = false;
        } else if option.eq_ignore_ascii_case(b"merge") || option.eq_ignore_ascii_case(b"noflush") {
            return Err(CommandError::from_static(
                "ERR DEBUG RELOAD keeps nothing beside what it loads here",
            ));
        } else {
            return Err(CommandError::from_static(
                "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
            ));
        }
    }
    if !call.db.holds_nothing() {
        return Err(CommandError::from_static(
            "ERR DEBUG RELOAD cannot stand in a transaction or script here",
        ));
    }
    let node = call.node;
    while saves {
        node.snapshots.wait();
        match node.dump.save(node) {
            // Somebody else was faster.
            Err(error) if error == CommandError::SAVE_IN_PROGRESS => {}
            result => {
                result?;
                saves = false;
            }
        }
    }
    let path = call.settings.path(&call.settings.dbfilename);
    match loading::load_file(node, &path) {
        Ok(Some(_)) => {
            tracing::warn!("DB reloaded by DEBUG RELOAD");
            Ok(Reply::Ok)
        }
        failed => {
            let reason = failed.err().unwrap_or_else(|| "there is no file".to_owned());
            tracing::warn!("DEBUG RELOAD: {}: {reason}", path.display());
            Err(CommandError::from_static(
                "ERR Error trying to load the RDB dump, check server logs.",
            ))
        }
    }
}
