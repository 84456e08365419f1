//! `rename-command`: the names that commands answer to on one node.
//!
//! Rows and their names are the same for all nodes of a process. A node that renames commands looks
//! them up here first; every other node pays one comparison for it.

use super::{Command, find};
use crate::config::{ConfigError, RenamedCommand};
use std::collections::HashMap;

/// Names that do not mean what they mean elsewhere, in lower case: another command, or none.
#[derive(Default)]
pub struct Renames {
    changed: HashMap<Vec<u8>, Option<&'static Command>>,
}

impl Renames {
    /// Renames one command after the other, so that a later line sees what an earlier one did.
    ///
    /// # Errors
    /// A new name that a command has already. A command that is not known is passed over with a line
    /// in the log: a configuration may switch off what this server does not have.
    pub fn new(renames: &[RenamedCommand]) -> Result<Self, ConfigError> {
        let mut all = Self::default();
        for RenamedCommand { from, to } in renames {
            let Some(command) = all.find(from.as_bytes()) else {
                tracing::warn!(from, "rename-command: there is no such command");
                continue;
            };
            all.changed.insert(from.to_ascii_lowercase().into_bytes(), None);
            if to.is_empty() {
                continue;
            }
            if all.find(to.as_bytes()).is_some() {
                let reason = "Target command name already exists";
                return Err(ConfigError::refused("rename-command", reason));
            }
            all.changed.insert(to.to_ascii_lowercase().into_bytes(), Some(command));
        }
        Ok(all)
    }

    /// The command that answers to this name, in any case.
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<&'static Command> {
        if self.changed.is_empty() { find(name) } else { self.find_changed(name) }
    }

    /// Whether the command answers to some name. It keeps the name of its row in COMMAND and in
    /// statistics, whatever that is.
    pub fn reaches(&self, command: &Command) -> bool {
        let is_it = |other: &Command| std::ptr::eq(other, command);
        self.find(command.row.name.as_bytes()).is_some_and(is_it)
            || self.changed.values().any(|changed| changed.is_some_and(is_it))
    }

    #[cold]
    fn find_changed(&self, name: &[u8]) -> Option<&'static Command> {
        match self.changed.get(&name.to_ascii_lowercase()) {
            Some(changed) => *changed,
            None => find(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(pairs: &[(&str, &str)]) -> Result<Renames, ConfigError> {
        let renames: Vec<_> = pairs
            .iter()
            .map(|(from, to)| RenamedCommand { from: (*from).to_owned(), to: (*to).to_owned() })
            .collect();
        Renames::new(&renames)
    }

    fn name(renames: &Renames, name: &str) -> Option<&'static str> {
        renames.find(name.as_bytes()).map(|command| command.full_name)
    }

    #[test]
    fn the_old_name_is_gone_and_the_new_one_works() -> Result<(), ConfigError> {
        let renames = renamed(&[("FLUSHALL", ""), ("get", "Fetch"), ("nosuch", "x")])?;
        assert_eq!(name(&renames, "flushall"), None);
        assert_eq!(name(&renames, "GET"), None);
        assert_eq!(name(&renames, "fetch"), Some("get"));
        assert_eq!(name(&renames, "set"), Some("set"));
        assert_eq!(name(&renames, "x"), None);
        let reaches = |name: &str| find(name.as_bytes()).map(|command| renames.reaches(command));
        assert_eq!(["flushall", "get", "set"].map(reaches), [Some(false), Some(true), Some(true)]);
        Ok(())
    }

    #[test]
    fn names_change_in_the_order_of_the_lines() -> Result<(), ConfigError> {
        let renames = renamed(&[("get", "a"), ("set", "get"), ("a", "b")])?;
        assert_eq!(name(&renames, "get"), Some("set"));
        assert_eq!(name(&renames, "b"), Some("get"));
        assert!(renamed(&[("get", "set")]).is_err());
        Ok(())
    }
}
