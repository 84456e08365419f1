//! ACL: users and their rules, what was denied, what would be.
//!
//! ```text
//! users   SETUSER GETUSER DELUSER LIST USERS WHOAMI LOAD SAVE
//! log     LOG                  here: CAT GENPASS DRYRUN HELP
//! ```

pub mod log;
pub mod table;
pub mod users;

use crate::acl::check::dry_run;
use crate::commands::connection::quoting;
use crate::commands::row::Categories;
use crate::commands::{self, docs};
use crate::config::operating_system_text;
use crate::dispatch::call::{Call, CommandResult};
use larder_protocol::{CommandError, Reply, number};
use std::io;

/// Bits that a password may have (as in Redis).
const PASSWORD_MAX_BITS: i64 = 4096;
/// Bits that it has unless somebody asks for another number.
const PASSWORD_BITS: i64 = 256;

/// ACL CAT [category]
pub fn cat<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    match call.args.len() {
        2 => Ok(Reply::array(Categories::NAMES.iter().map(|(_, name)| *name))),
        3 => {
            let name = call.args.at(2);
            let unknown = || quoting("Unknown category '", &name[..name.len().min(128)], "'");
            let category = Categories::named(name).ok_or_else(unknown)?;
            let fits = |command: &&&commands::Command| command.row.categories().has(category);
            let named = commands::all().iter().filter(fits).map(|command| command.full_name);
            Ok(Reply::array(named))
        }
        _ => Err(syntax(call)),
    }
}

/// ACL GENPASS [bits]
pub fn genpass<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let bits = match call.args.len() {
        2 => PASSWORD_BITS,
        3 => number::parse_i64(call.args.at(2)).ok_or(CommandError::NOT_INTEGER)?,
        _ => return Err(syntax(call)),
    };
    if !(1..=PASSWORD_MAX_BITS).contains(&bits) {
        return Err(CommandError::ACL_PASSWORD_BITS);
    }
    let digits = (bits as usize).div_ceil(4);
    let mut random = vec![0; digits.div_ceil(2)];
    // No password is better than one that can be guessed.
    getrandom::fill(&mut random).map_err(|error| {
        let reason = operating_system_text(&io::Error::from(error));
        CommandError::custom(format!("ERR cannot make a password: {reason}"))
    })?;
    let mut password: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    password.truncate(digits);
    Ok(Reply::Owned(password.into_bytes()))
}

/// ACL DRYRUN username command [arg ...]
pub fn dryrun<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let user = users::named(call, call.args.at(2))?;
    let args = call.args.skip(3);
    let not_found = || quoting("Command '", args.at(0), "' not found");
    let mut command = call.node.renames.find(args.at(0)).ok_or_else(not_found)?;
    if args.len() > 1 && !command.row.subcommands.is_empty() {
        command = command.subcommand(args.at(1)).ok_or_else(not_found)?;
    }
    if !command.row.accepts(args.len()) {
        return Err(CommandError::wrong_arity(command.full_name));
    }
    let denied = dry_run(user.name(), &user.rules(), command, args);
    Ok(denied.map_or(Reply::Ok, Reply::Owned))
}

fn syntax(call: &Call<'_>) -> CommandError {
    let container = String::from_utf8_lossy(call.args.at(0));
    CommandError::subcommand_syntax(call.args.at(1), &container)
}

/// ACL HELP
pub fn help<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(docs::help(
        call,
        &[
            "CAT [<category>]",
            "    Name the categories, or the commands of one.",
            "DELUSER <username> [<username> ...]",
            "    Delete users and end their connections.",
            "DRYRUN <username> <command> [<arg> ...]",
            "    Tell whether the user may call this, without calling it.",
            "GETUSER <username>",
            "    Show the rules of a user.",
            "GENPASS [<bits>]",
            "    Make up a password of 256 bits, or of as many as asked for.",
            "LIST",
            "    Show all users as a file has them.",
            "LOAD",
            "    Read the ACL file again.",
            "LOG [<count> | RESET]",
            "    Show what was denied lately, or forget it.",
            "SAVE",
            "    Write all users to the ACL file.",
            "SETUSER <username> <attribute> [<attribute> ...]",
            "    Change a user, or create one.",
            "USERS",
            "    Name all users.",
            "WHOAMI",
            "    Name the user of this connection.",
        ],
    ))
}
