//! CONFIG GET and CONFIG SET.

use super::directive::Directive;
use super::error::ConfigError;
use super::settings::{DIRECTIVES, Settings, lookup};
use super::suggest;
use crate::glob::glob_match;

/// The least that CONFIG SET makes the backlog, as in Redis.
const BACKLOG_MIN_BYTES: u64 = 16 * 1024;

/// Who asks for a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The connection comes from this machine (loopback or Unix socket).
    pub local: bool,
    /// The node is loading its data set.
    pub loading: bool,
}

/// Names and values that CONFIG GET replies for these patterns.
///
/// A pattern without `*`, `?` or `[` is a name, and comes back as it was written. A glob matches
/// names and aliases alike, and hidden directives never. No pair comes twice.
#[must_use]
pub fn matching(settings: &Settings, patterns: &[impl AsRef<[u8]>]) -> Vec<(String, String)> {
    let mut found: Vec<(String, &'static Directive)> = Vec::new();
    let mut add = |name: &str, directive: &'static Directive| {
        if !found.iter().any(|(known, _)| known == name) {
            found.push((name.to_owned(), directive));
        }
    };
    let known = || DIRECTIVES.iter().filter(|directive| !directive.flags.file_only);
    for pattern in patterns {
        let pattern = pattern.as_ref();
        if !pattern.iter().any(|byte| b"*?[".contains(byte)) {
            let name = std::str::from_utf8(pattern).ok();
            if let Some((name, directive)) = name.and_then(|name| Some((name, visible(name)?))) {
                add(name, directive);
            }
            continue;
        }
        for directive in known().filter(|directive| !directive.flags.hidden) {
            for name in [Some(directive.name), directive.alias].into_iter().flatten() {
                if glob_match(pattern, name.as_bytes(), true) {
                    add(name, directive);
                }
            }
        }
    }
    found.into_iter().map(|(name, directive)| (name, (directive.text)(settings))).collect()
}

/// The settings after CONFIG SET with these pairs: all of them, or none and a refusal.
///
/// # Errors
/// A name is unknown or stands twice, a directive cannot be changed by this caller, or a value is
/// refused. Names are looked at before values, as in Redis.
pub fn set_many<N: AsRef<[u8]>, V: AsRef<[u8]>>(
    settings: &Settings,
    pairs: &[(N, V)],
    caller: Caller,
) -> Result<Settings, ConfigError> {
    let mut changes: Vec<(&'static str, &'static Directive, &[u8])> = Vec::new();
    for (name, value) in pairs {
        let name = String::from_utf8_lossy(name.as_ref());
        let Some(directive) = visible(&name) else {
            let nearest = suggest::nearest(&name);
            return Err(ConfigError::UnknownOption { name: name.into_owned(), nearest });
        };
        // A name and its alias may stand side by side, the last one wins: so it is in Redis.
        let written = directive
            .alias
            .filter(|alias| alias.eq_ignore_ascii_case(&name))
            .unwrap_or(directive.name);
        if !directive.flags.mutable {
            // Tools that give back what CONFIG GET said leave out what is immutable in Redis; they
            // cannot know which of ours are.
            if directive.flags.ours && (directive.text)(settings).as_bytes() == value.as_ref() {
                continue;
            }
            return Err(ConfigError::immutable(&name));
        }
        let allowed = settings.enable_protected_configs.allowed(caller.local);
        if directive.flags.protected && !allowed {
            return Err(ConfigError::protected(&name));
        }
        if directive.flags.deny_loading && caller.loading {
            return Err(ConfigError::Loading);
        }
        if changes.iter().any(|(known, ..)| *known == written) {
            return Err(ConfigError::duplicate(&name));
        }
        changes.push((written, directive, value.as_ref()));
    }
    let mut changed = settings.clone();
    for (name, directive, value) in changes {
        directive
            .assign_value(&mut changed, value)
            .map_err(|reason| ConfigError::Refused { name: name.to_owned(), reason })?;
    }
    if changed.repl_backlog_size_bytes != settings.repl_backlog_size_bytes {
        changed.repl_backlog_size_bytes = changed.repl_backlog_size_bytes.max(BACKLOG_MIN_BYTES);
    }
    Ok(changed)
}

/// Whether the value of this directive must not be shown in the slow log, MONITOR and the like.
#[must_use]
pub fn is_sensitive(name: &[u8]) -> bool {
    std::str::from_utf8(name).ok().and_then(lookup).is_some_and(|row| row.flags.sensitive)
}

/// A directive that CONFIG knows.
fn visible(name: &str) -> Option<&'static Directive> {
    lookup(name).filter(|directive| !directive.flags.file_only)
}
