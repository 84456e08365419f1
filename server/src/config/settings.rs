//! The struct of all settings, made from the rows, and what can be asked of the whole.

use std::fmt;
use std::path::{Path, PathBuf};

use super::directive::{Directive, Flags};
use super::error::ConfigError;
use super::group::{GroupName, GroupPeer, Peers, node_name};
use super::kinds::{
    CheckedOptionalText, CheckedText, INT_MAX, INT_MIN, Int, Kind, LONG_MAX, Memory, Octal, OneOf,
    OptionalText, Text, UINT_MAX, ULONG_MAX, YesNo,
};
use super::special::{
    Addresses, ClassLimits, Directory, EachLine, EventLetters, Hertz, MemoryOrShare, NoDefrag,
    OomValues, Percentiles, Primary, Renames, SavePoints, ShutdownWords, UserLines,
    announced_hostname, announced_node_name, append_directory_name, append_file_name,
    dump_file_name, title_template,
};
use super::suggest;
use super::values::{
    AclPubsubDefault, AppendFsync, ClusterEndpointType, DisklessLoad, LogFormat, LogLevel,
    MaxmemoryPolicy, MemoryOrPercent, NotifyFlags, OomScoreAdj, OomScoreAdjValues,
    OutputBufferLimit, OutputBufferLimits, PrimaryAddress, PropagationErrorBehavior,
    ProtectedAction, RenamedCommand, SanitizeDumpPayload, SavePoint, ShutdownOptions, Supervised,
    SyslogFacility, TlsAuthClients, WriteAcks,
};

networking_rows! {
    memory_rows operation_rows keyspace_rows persistence_rows replication_rows cluster_rows
    tls_rows group_rows directives;
}

/// The directive of that name or alias, in either case.
#[must_use]
pub fn lookup(name: &str) -> Option<&'static Directive> {
    DIRECTIVES.iter().find(|directive| {
        directive.name.eq_ignore_ascii_case(name)
            || directive.alias.is_some_and(|alias| alias.eq_ignore_ascii_case(name))
    })
}

impl Settings {
    /// Sets a directive by its name, with the words a configuration file would have.
    ///
    /// Unlike CONFIG SET this also changes what is immutable: it is for settings that no node
    /// runs with yet.
    ///
    /// # Errors
    /// The name is unknown, or the value is refused; the settings are as before.
    pub fn set_directive(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        let directive = lookup(name).ok_or_else(|| ConfigError::UnknownOption {
            name: name.to_owned(),
            nearest: suggest::nearest(name),
        })?;
        directive
            .assign_words(self, &[value.as_bytes().to_vec()], false)
            .map_err(|reason| ConfigError::Refused { name: directive.name.to_owned(), reason })
    }

    /// Checks every field against its row: what was stored by hand may be out of range.
    ///
    /// # Errors
    /// Names the first directive whose value its row does not accept.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut scratch = self.clone();
        for directive in DIRECTIVES.iter().filter(|directive| !directive.flags.file_only) {
            let value = (directive.text)(self);
            directive.assign_value(&mut scratch, value.as_bytes()).map_err(|reason| {
                ConfigError::Refused { name: directive.name.to_owned(), reason }
            })?;
        }
        Ok(())
    }

    /// A path of the configuration as seen from `dir`.
    #[must_use]
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.dir.join(path)
    }
}

impl DirectiveOptions for Settings {
    fn settings_mut(&mut self) -> &mut Settings {
        self
    }
}

/// What differs from the defaults. Secrets are not shown.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let defaults = Self::default();
        let mut shown = f.debug_map();
        for directive in DIRECTIVES {
            let value = (directive.text)(self);
            if value == (directive.text)(&defaults) {
                continue;
            }
            let value = if directive.flags.sensitive { "(secret)".to_owned() } else { value };
            shown.entry(&directive.name, &value);
        }
        shown.finish()
    }
}
