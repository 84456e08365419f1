//! The command line of the server binary, as redis-server understands it.
//!
//! ```text
//! larder-server [file | -] [--directive value ...] [-]
//! larder-server group --zones a,b,c ...          a whole group, see group.rs
//! ```
//!
//! A file comes first; `-` first or last reads a configuration from the standard input; then each
//! `--directive` takes the values up to the next one. What comes later wins: file, standard
//! input, options. An option is nothing but the line of a file that it stands for; `--zone`,
//! `--peers` and `--witness` are short for directives of a group.

pub(super) mod group;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Read;
use std::path::PathBuf;

use clap::{Arg, ArgAction, Command, error::ErrorKind};

use group::GroupLaunch;

use super::COMPATIBLE_REDIS_VERSION;
use super::file::{LoadError, Loaded, Loader};
use super::grammar::{quote, split_words};
use super::settings::DIRECTIVES;

/// What a command line asks for.
#[derive(Debug)]
pub enum Start {
    /// Run a node.
    Run(Box<Launch>),
    /// Run a whole group.
    Group(Box<GroupLaunch>),
    /// Print this and leave with success: help or version.
    Print(String),
}

/// A node to run.
#[derive(Debug)]
pub struct Launch {
    /// Its settings, and what of them has no effect.
    pub loaded: Loaded,
    /// The file that they came from, from the root, for CONFIG REWRITE.
    pub config_file: Option<PathBuf>,
}

/// A command line that cannot be followed. The text is for the standard error.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// A configuration is wrong.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// redis-server can do this, this server does not.
    #[error("{option} is not part of Larder: {instead}")]
    NotHere {
        /// The option.
        option: &'static str,
        /// What to do instead.
        instead: &'static str,
    },
    /// The arguments are no command line.
    #[error("{0}")]
    Usage(String),
}

/// Options of redis-server that are other programs in truth.
const NOT_HERE: [(&str, &str); 3] = [
    ("--sentinel", "run a stock Sentinel beside it, or a Larder group, which needs none"),
    ("--test-memory", "use a memory tester such as memtest86+"),
    ("--check-system", "the checks are for fork, which Larder does not use"),
];

/// Reads a command line: the program's name, then its arguments.
///
/// # Errors
/// A file cannot be read, a directive is unknown or refused, or an option is not here.
pub fn parse_command_line(args: impl IntoIterator<Item = OsString>) -> Result<Start, CliError> {
    parse_with_stdin(args, &mut std::io::stdin())
}

/// [`parse_command_line`] with a standard input of the caller's choice.
///
/// # Errors
/// As [`parse_command_line`].
pub fn parse_with_stdin(
    args: impl IntoIterator<Item = OsString>,
    stdin: &mut dyn Read,
) -> Result<Start, CliError> {
    let matches = match command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(asked) if asked.kind() == ErrorKind::DisplayHelp => {
            return Ok(Start::Print(asked.to_string()));
        }
        Err(error) => return Err(CliError::Usage(error.to_string())),
    };
    if matches.get_flag("version") {
        return Ok(Start::Print(version_line()));
    }
    let arguments: Vec<OsString> =
        matches.get_many("arguments").map(|given| given.cloned().collect()).unwrap_or_default();
    refuse_what_is_not_here(&arguments)?;
    if let Some((word, rest)) = arguments.split_first()
        && word == group::WORD
    {
        return group::parse(rest);
    }

    let (config_file, options) = match arguments.split_first() {
        Some((file, rest)) if !file.as_encoded_bytes().starts_with(b"-") => (Some(file), rest),
        _ => (None, arguments.as_slice()),
    };
    // A path from the root, because CONFIG REWRITE comes later and the directory may change.
    let config_file =
        config_file.map(|file| std::path::absolute(file).unwrap_or_else(|_| PathBuf::from(file)));
    let options = options_to_lines(options, config_file.is_none());

    let mut loader = Loader::default();
    if let Some(file) = &config_file {
        loader.file(file)?;
    }
    if options.stdin {
        loader.stdin(stdin)?;
    }
    loader.command_line(&options.lines)?;
    Ok(Start::Run(Box::new(Launch { loaded: loader.finish(), config_file })))
}

/// One line, of words that scripts cut out as they do with redis-server's.
fn version_line() -> String {
    format!(
        "Larder server v={} redis_version={COMPATIBLE_REDIS_VERSION} malloc=mimalloc bits={}\n",
        env!("CARGO_PKG_VERSION"),
        usize::BITS
    )
}

/// What clap needs to know: help, version, and that the rest is ours.
fn command() -> Command {
    Command::new("larder-server")
        .about("A Redis-compatible cache node")
        .override_usage(
            "larder-server [FILE | -] [--DIRECTIVE VALUE...]... [-]\n       \
             larder-server group [--zones ZONE,...] [OPTION VALUE]...\n       \
             larder-server --version | --help",
        )
        .arg(
            Arg::new("version")
                .short('v')
                .long("version")
                .action(ArgAction::SetTrue)
                .help("Print version"),
        )
        .arg(
            Arg::new("arguments")
                .value_name("FILE or --DIRECTIVE VALUE")
                .help(
                    "A configuration file (- is the standard input), then directives as in a \
                     file. Later ones win.",
                )
                .value_parser(clap::value_parser!(OsString))
                .num_args(0..)
                .trailing_var_arg(true)
                .allow_hyphen_values(true),
        )
        .after_help(
            "Examples:\n  larder-server\n  larder-server /etc/larder.conf --port 6380\n  \
                     larder-server --maxmemory 1gb --maxmemory-policy allkeys-lru --save \"\"\n  \
                     echo 'port 6380' | larder-server -\n  \
                     larder-server group --zones a,b,c\n  \
                     larder-server --group sessions --node-id sessions-001 --zone a --peers \
                     sessions-001=a@10.0.0.1:6379 sessions-002=b@10.0.0.2:6379 \
                     sessions-003=c@10.0.0.3:6379 --group-secret-file /etc/larder.secret\n\nWith --help all directives are listed.",
        )
        .after_long_help(directives_for_help())
}

/// All directives with what their rows say about them.
fn directives_for_help() -> String {
    let mut text = "Directives:\n".to_owned();
    for directive in DIRECTIVES {
        let alias = directive.alias.map(|alias| format!(" (or {alias})")).unwrap_or_default();
        let note = if directive.flags.no_effect { " No effect here." } else { "" };
        let doc: Vec<&str> = directive.doc.iter().map(|line| line.trim()).collect();
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n  {}{alias} <{}>\n      {}{note}\n",
            directive.name,
            (directive.syntax)(),
            doc.join(" ")
        );
    }
    text
}

fn refuse_what_is_not_here(arguments: &[OsString]) -> Result<(), CliError> {
    for (index, argument) in arguments.iter().enumerate() {
        let found = NOT_HERE.into_iter().find(|(option, _)| argument == option);
        if let Some((option, instead)) = found
            // Redis looks for --sentinel anywhere, for the others in the first place alone.
            && (index == 0 || option == "--sentinel")
        {
            return Err(CliError::NotHere { option, instead });
        }
    }
    Ok(())
}

/// The options of a command line, as lines of a file.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    lines: Vec<Vec<u8>>,
    /// A `-` asks for the standard input as well.
    stdin: bool,
}

fn options_to_lines(arguments: &[OsString], no_file: bool) -> Options {
    let mut options = Options { lines: Vec::new(), stdin: false };
    // A name has been read and waits for its first value: what comes next is a value even when it
    // looks like a name.
    let mut wants_value = false;
    for (index, argument) in arguments.iter().enumerate() {
        let argument = argument.as_encoded_bytes();
        let next = arguments.get(index + 1);
        if argument == b"-" && (next.is_none() || (no_file && index == 0)) {
            options.stdin = true;
            continue;
        }
        if let Some(name) = argument.strip_prefix(b"--")
            && !wants_value
        {
            if name.eq_ignore_ascii_case(b"witness") {
                options.lines.push(b"group-witness yes".to_vec());
                continue;
            }
            options.lines.push(in_full(name).to_vec());
            // "--port 6380" may also be one argument; then its value is there already.
            wants_value = split_words(argument).is_ok_and(|words| words.len() == 1);
            let value_follows =
                next.is_some_and(|next| !next.as_encoded_bytes().starts_with(b"--"));
            if wants_value && argument.eq_ignore_ascii_case(b"--save") && !value_follows {
                // Without a value, "--save" is "--save ''": scripts that build their command line
                // from a list leave the value out when the list is empty.
                append(&mut options.lines, "\"\"");
                wants_value = false;
            }
            continue;
        }
        append(&mut options.lines, &quote(argument));
        wants_value = false;
    }
    options
}

/// The directive that a short option of a group stands for.
fn in_full(name: &[u8]) -> &[u8] {
    let short: [(&[u8], &[u8]); 2] = [(b"zone", b"availability-zone"), (b"peers", b"group-peers")];
    let found = short.into_iter().find(|(word, _)| name.eq_ignore_ascii_case(word));
    found.map_or(name, |(_, directive)| directive)
}

fn append(lines: &mut Vec<Vec<u8>>, word: &str) {
    match lines.last_mut() {
        Some(line) => {
            line.push(b' ');
            line.extend_from_slice(word.as_bytes());
        }
        None => lines.push(word.as_bytes().to_vec()),
    }
}
