//! The configuration of a node: directives, their file, their command line, CONFIG.
//!
//! Every fact about a directive is in its row under `rows/`. A new directive is one row.
//!
//! ```text
//! rows/      the table                     directive   what a row becomes
//! settings   the struct made from it       values      types of fields
//! kinds, special   syntax of values        grammar     words and quotes
//! group      names and members of a group
//! file       configuration files           cli         the command line
//! get_set    CONFIG GET, CONFIG SET        rewrite     CONFIG REWRITE
//! holder     settings of a running node    suggest     nearest known name
//! ```
//!
//! Defaults are Redis 7.2's, except:
//!
//! * `client-output-buffer-limit` of normal clients is 1gb, not endless: it bounds what a client
//!   that never reads its replies costs.
//!
//! `threads`, `log-format`, `metrics-port` and `metrics-bind` are ours, and so is what is about groups. Values are UTF-8. Not here: modules' own directives,
//! Sentinel mode.

#[macro_use]
mod rows;

#[cfg(feature = "binary")]
mod cli;
#[macro_use]
mod directive;
mod error;
mod file;
mod get_set;
mod grammar;
mod group;
mod holder;
mod kinds;
mod rewrite;
mod settings;
mod special;
mod suggest;
mod values;

#[cfg(test)]
mod tests;

#[cfg(feature = "binary")]
pub use cli::group::GroupLaunch;
#[cfg(feature = "binary")]
pub use cli::{CliError, Launch, Start, parse_command_line, parse_with_stdin};
pub use directive::{Directive, Flags};
pub use error::ConfigError;
pub(crate) use file::read_bounded;
pub use file::{LoadError, Loaded, Loader};
pub use get_set::{Caller, is_sensitive, matching, set_many};
pub(crate) use grammar::split_words;
pub use group::{GroupPeer, HostPort, group_name, group_port, read_group_file};
pub use holder::Config;
pub use rewrite::RewriteError;
pub(crate) use rewrite::replace as replace_file;
pub use settings::{DIRECTIVES, DirectiveOptions, Settings, lookup};
pub(crate) use special::operating_system_text;
pub use values::{
    AclPubsubDefault, AppendFsync, BindAddress, ClusterEndpointType, DisklessLoad, LogFormat,
    LogLevel, MaxmemoryPolicy, MemoryOrPercent, NotifyFlags, OomScoreAdj, OomScoreAdjValues,
    OutputBufferLimit, OutputBufferLimits, PrimaryAddress, PropagationErrorBehavior,
    ProtectedAction, RenamedCommand, SanitizeDumpPayload, SavePoint, ShutdownOptions, Supervised,
    SyslogFacility, TlsAuthClients, WriteAcks, bind_address,
};

/// The version of Redis whose behaviour this server has; clients choose features by it.
pub const COMPATIBLE_REDIS_VERSION: &str = "7.2.4";
