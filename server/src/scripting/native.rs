//! Scripts that run as Rust functions.
//!
//! A program may register a function for the text of a script. EVAL and EVALSHA of that text then run
//! the function, which must do what the text does: on a server without it the text runs. The function
//! calls commands as a script does, under the same locks, limits and flags.

use super::host::Host;
use super::run::Run;
use super::script::{Digest, Script};
use larder_protocol::{Args, CommandError, Reply, Version};
use std::collections::HashMap;
use std::sync::Arc;

/// Why a native script ends without a reply.
#[derive(Clone, Debug)]
pub enum NativeError {
    /// It failed, with this error.
    Failed(CommandError),
    /// It has to begin anew; hand it on.
    Interrupted,
    /// The call is one that the function does not understand: the text runs instead. Only before
    /// the first write.
    Declined,
}

impl From<CommandError> for NativeError {
    fn from(error: CommandError) -> Self {
        Self::Failed(error)
    }
}

/// What a native script gives.
pub type NativeResult = Result<Reply<'static>, NativeError>;

/// A script as a function.
pub type NativeFunction = fn(&mut NativeCall<'_>) -> NativeResult;

/// A registered script.
#[derive(Clone)]
pub(super) struct Native {
    pub(super) script: Arc<Script>,
    pub(super) function: NativeFunction,
}

/// The native scripts of a node.
#[derive(Clone, Default)]
pub struct Natives(HashMap<Digest, Native, foldhash::fast::RandomState>);

impl std::fmt::Debug for Natives {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.values().map(|native| &native.script.name)).finish()
    }
}

impl Natives {
    /// Registers a function for a text. One whose first line is wrong stays what it is, a text.
    pub fn add(&mut self, text: &[u8], function: NativeFunction) {
        let digest = Digest::of(text);
        if let Ok(script) = Script::new(text, &digest) {
            self.0.insert(digest, Native { script: Arc::new(script), function });
        }
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn find(&self, digest: &Digest) -> Option<&Native> {
        if self.is_empty() { None } else { self.0.get(digest) }
    }

    /// Whether a text of this digest has a function.
    pub fn has(&self, digest: &Digest) -> bool {
        self.find(digest).is_some()
    }
}

/// One run of a native script.
pub struct NativeCall<'n> {
    pub(super) run: &'n mut dyn NativeHost,
    pub(super) keys: Args<'n>,
    pub(super) args: Args<'n>,
}

/// What a native script needs of its run.
pub(super) trait NativeHost {
    fn host(&mut self) -> &mut dyn Host;
    fn is_interrupted(&self) -> bool;
    fn now_ms(&self) -> i64;
}

impl NativeHost for Run<'_, '_> {
    fn host(&mut self) -> &mut dyn Host {
        self
    }

    fn is_interrupted(&self) -> bool {
        self.begins_anew()
    }

    fn now_ms(&self) -> i64 {
        Run::now_ms(self)
    }
}

impl<'n> NativeCall<'n> {
    /// The keys it was given (`KEYS`), the first at 0.
    pub fn keys(&self) -> Args<'n> {
        self.keys
    }

    /// Its other arguments (`ARGV`), the first at 0.
    pub fn args(&self) -> Args<'n> {
        self.args
    }

    /// The time at which the script runs, in milliseconds since the Unix epoch (as TIME gives it).
    pub fn now_ms(&self) -> i64 {
        self.run.now_ms()
    }

    /// The protocol whose types replies have (`redis.setresp`).
    pub fn set_version(&mut self, version: Version) {
        self.run.host().set_version(version);
    }

    /// Runs a command, as `redis.pcall` does: `read` sees its reply, also when that is an error.
    ///
    /// # Errors
    /// [`NativeError::Interrupted`], which the script hands on.
    pub fn try_call<T>(
        &mut self,
        command: &[&[u8]],
        read: impl FnOnce(&Reply<'_>) -> T,
    ) -> Result<T, NativeError> {
        let (mut read, mut result) = (Some(read), None);
        self.run.host().call(Args::from_slices(command), &mut |reply| {
            result = read.take().map(|read| match reply {
                Reply::Strings(_) => read(&reply.clone().into_owned()),
                reply => read(reply),
            });
        });
        match result {
            Some(result) if !self.run.is_interrupted() => Ok(result),
            _ => Err(NativeError::Interrupted),
        }
    }

    /// Runs a command, as `redis.call` does: an error ends the script.
    ///
    /// # Errors
    /// The command's error, or [`NativeError::Interrupted`]; the script hands both on.
    pub fn call<T>(
        &mut self,
        command: &[&[u8]],
        read: impl FnOnce(&Reply<'_>) -> T,
    ) -> Result<T, NativeError> {
        let result = self.try_call(command, |reply| match reply {
            Reply::Error(error) => Err(error.clone()),
            reply => Ok(read(reply)),
        })?;
        result.map_err(NativeError::Failed)
    }
}
