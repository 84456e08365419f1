//! SLOWLOG: the commands that took long.

use crate::commands::docs;
use crate::dispatch::call::{Call, CommandResult};
use crate::observe::slowlog::SlowEntry;
use larder_protocol::{CommandError, Reply};

/// Entries that GET shows when nobody says how many (as in Redis).
const DEFAULT_COUNT: usize = 10;
const COUNT: CommandError =
    CommandError::from_static("ERR count should be greater than or equal to -1");

/// SLOWLOG GET [count]
pub fn get<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    if call.args.len() > 3 {
        let container = String::from_utf8_lossy(call.args.at(0));
        return Err(CommandError::subcommand_syntax(call.args.at(1), &container));
    }
    let mut reader = call.args.reader(2);
    let mut count = DEFAULT_COUNT;
    if reader.has_next() {
        // What is no number is refused by the same words as what is too small.
        count = match reader.int_or(COUNT) {
            -1 => usize::MAX,
            given => usize::try_from(given).map_err(|_| COUNT)?,
        };
    }
    reader.finish()?;
    let max_len = call.node.config.load().slowlog_max_len;
    Ok(Reply::Array(call.node.slowlog.newest(count, max_len).into_iter().map(entry).collect()))
}

fn entry(entry: SlowEntry) -> Reply<'static> {
    Reply::Array(vec![
        Reply::Int(entry.id as i64),
        Reply::Int(entry.time_s),
        Reply::Int(i64::try_from(entry.duration_us).unwrap_or(i64::MAX)),
        Reply::array(entry.args),
        Reply::from(entry.address),
        Reply::from(entry.name),
    ])
}

/// SLOWLOG LEN
pub fn len<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let max_len = call.node.config.load().slowlog_max_len;
    Ok(Reply::from(call.node.slowlog.len(max_len)))
}

/// SLOWLOG RESET
pub fn reset<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    call.node.slowlog.reset();
    Ok(Reply::Ok)
}

/// SLOWLOG HELP
pub fn help<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(docs::help(
        call,
        &[
            "GET [<count>]",
            "    Show the newest entries, 10 unless told otherwise, all for -1. An entry is an",
            "    id, a Unix time, a duration in microseconds, the arguments, the client's address",
            "    and the client's name.",
            "LEN",
            "    Tell how many entries there are.",
            "RESET",
            "    Forget all entries.",
        ],
    ))
}
