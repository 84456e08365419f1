//! What a running script reaches of the node.

use larder_protocol::{Args, CommandError, Reply, Version};

/// The node, as functions that scripts call see it.
pub trait Host {
    /// Runs a command and shows its reply, or the error with which it was refused.
    fn call(&mut self, args: Args<'_>, reply: &mut dyn FnMut(&Reply<'_>));

    /// Counts an error that the script made up and that stands within its reply.
    fn count_error(&mut self, error: &CommandError);

    /// Whether the script shall end after the call that was just made, whatever it does with the error.
    fn stops(&self) -> bool;

    /// Asked about every millisecond: the error with which the script shall end, if it shall.
    fn interrupt(&mut self) -> Option<&'static str>;

    /// The protocol whose types replies have in the script (`redis.setresp`).
    fn version(&self) -> Version;

    /// Sets it.
    fn set_version(&mut self, version: Version);

    /// Whether the effects of the commands that follow are logged (`redis.set_repl`).
    fn set_logged(&mut self, logged: bool);

    /// Whether the user may run a command; nothing when there is no such command.
    fn may_run(&mut self, args: Args<'_>) -> Option<bool>;

    /// Whether a function may be registered now: while its library is loaded.
    fn loads(&self) -> bool;

    /// Registers a function whose callback is kept in the state.
    ///
    /// # Errors
    /// Why the name cannot be used.
    fn register(&mut self, function: super::functions::Registration) -> Result<(), &'static str>;
}
