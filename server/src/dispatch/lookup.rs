//! Which command a request names.

use super::{Executor, nested};
use crate::commands::Command;
use larder_protocol::{Args, CommandError};

impl Executor {
    /// The command that the arguments name.
    ///
    /// # Errors
    /// Redis's texts for an unknown command or subcommand.
    #[inline(always)]
    pub fn look_up(&mut self, args: Args<'_>) -> Result<&'static Command, CommandError> {
        // Pipelines repeat themselves, so the last command is worth a comparison.
        match self.last_command {
            Some(last)
                if last.is_plain && last.row.name.as_bytes().eq_ignore_ascii_case(args.at(0)) =>
            {
                Ok(last)
            }
            _ => self.look_up_another(args),
        }
    }

    #[inline(never)]
    fn look_up_another(&mut self, args: Args<'_>) -> Result<&'static Command, CommandError> {
        let name = args.at(0);
        let command = match self.last_command {
            Some(last)
                if last.container.is_none()
                    && last.row.name.as_bytes().eq_ignore_ascii_case(name) =>
            {
                last
            }
            _ => {
                // CLIENT LIST shows no command of a client whose last one was unknown.
                self.last_command = None;
                let command = nested::named(&self.node, name);
                let command = command
                    .ok_or_else(|| CommandError::unknown_command(name, args.iter().skip(1)))?;
                // One that is renamed must not be found by its first name the next time.
                if command.row.name.as_bytes().eq_ignore_ascii_case(name) {
                    self.last_command = Some(command);
                }
                command
            }
        };
        let found = nested::subcommand(command, args);
        match &found {
            Ok(found) if found.container.is_some() => self.last_command = Some(found),
            Ok(_) => {}
            Err(_) => self.last_command = None,
        }
        found
    }
}
