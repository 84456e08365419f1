//! Scripts and functions in Lua 5.1, as Redis runs them.
//!
//! A script runs within the command that started it: what it calls runs under that command's hold of
//! the data set ([`dispatch::nested`](crate::dispatch::nested)), so nobody sees what lies between two
//! of its calls, and what it changed is published as one transaction. It holds the shards of the keys
//! it was given. One that uses others gets them if they are free; if they are not and it wrote nothing
//! yet, it is stopped and begins anew with all shards, and that is remembered for the next time.
//!
//! Lua states are kept in a pool: a run takes one and gives it back, so there are as many as scripts
//! ran at the same time. Sources and libraries are shared by all of them and compiled in each at the
//! first use. A state that was in a run that panicked is thrown away.

mod api;
mod bits;
pub mod busy;
mod cjson;
mod cmsgpack;
mod convert;
mod engine;
pub mod functions;
pub mod host;
pub mod native;
mod number;
mod random;
mod run;
mod sandbox;
pub mod script;
mod structs;
pub mod twins;

pub use native::{NativeCall, NativeError, NativeFunction, NativeResult};

use crate::commands::row::Flags;
use crate::config::Settings;
use crate::dispatch::call::{Call, CommandResult};
use crate::node::shared::Shared;
use busy::SlowScripts;
use dashmap::DashMap;
use engine::Engine;
use functions::{Libraries, Library, Registry};
use larder_protocol::{Args, CommandError, Reply};
use native::Natives;
use parking_lot::Mutex;
use run::{Run, Subject};
use script::{Digest, Script};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// What a node knows of scripts.
#[derive(Default)]
pub struct Scripts {
    sources: DashMap<Digest, Arc<Script>, foldhash::fast::RandomState>,
    source_bytes: AtomicUsize,
    /// Counts the flushes of `sources`.
    generation: AtomicU64,
    #[allow(clippy::vec_box, reason = "an engine is large and comes and goes with every run")]
    idle: Mutex<Vec<Box<Engine>>>,
    /// Bytes of the states that are in a run, by their purpose.
    running_bytes: [AtomicUsize; 2],
    /// Libraries of functions.
    pub functions: Registry,
    natives: Natives,
    /// Scripts that run for too long.
    pub slow: SlowScripts,
    /// DEBUG SET-DISABLE-DENY-SCRIPTS: whether scripts may call every command.
    pub allows_all: AtomicBool,
}

/// What scripts take.
pub struct Usage {
    /// Bytes of the states that run scripts.
    pub eval_bytes: usize,
    /// Bytes of the states that run functions.
    pub functions_bytes: usize,
    /// Bytes of the sources of scripts.
    pub source_bytes: usize,
    /// How many scripts EVALSHA finds.
    pub sources: usize,
    /// The libraries.
    pub libraries: Arc<Libraries>,
}

impl Scripts {
    /// Those of a node with these native scripts.
    pub fn new(natives: Natives) -> Self {
        Self { natives, ..Self::default() }
    }

    /// Keeps a script for EVALSHA.
    ///
    /// # Errors
    /// It does not compile.
    pub fn load(&self, call: &Call<'_>, text: &[u8]) -> Result<Digest, CommandError> {
        let digest = Digest::of(text);
        if !self.exists(&digest) {
            let script = Arc::new(Script::new(text, &digest)?);
            let mut engine = self.take_engine(call.settings);
            let compiled = engine.compile(&digest, &script, self.generation());
            self.give_back(engine);
            compiled?;
            self.keep(digest, script);
        }
        Ok(digest)
    }

    fn keep(&self, digest: Digest, script: Arc<Script>) {
        let bytes = script.kept_bytes();
        if self.sources.insert(digest, script).is_none() {
            self.source_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Whether EVALSHA finds a script.
    pub fn exists(&self, digest: &Digest) -> bool {
        self.natives.has(digest) || self.sources.contains_key(digest)
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Forgets all scripts and the states that ran them.
    pub fn flush(&self) {
        self.generation.fetch_add(1, Ordering::Release);
        self.sources.clear();
        self.source_bytes.store(0, Ordering::Relaxed);
        let generation = self.generation();
        for engine in self.idle.lock().iter_mut() {
            engine.forget_scripts(generation);
        }
    }

    /// What scripts take.
    pub fn usage(&self) -> Usage {
        let idle = self.idle.lock();
        let bytes = |at: usize| {
            let idle: usize = idle.iter().map(|engine| engine.used_bytes()[at]).sum();
            idle + self.running_bytes[at].load(Ordering::Relaxed)
        };
        Usage {
            eval_bytes: bytes(0),
            functions_bytes: bytes(1),
            source_bytes: self.source_bytes.load(Ordering::Relaxed),
            sources: self.sources.len(),
            libraries: self.functions.current().0,
        }
    }

    #[inline]
    fn take_engine(&self, settings: &Settings) -> Box<Engine> {
        let mut engine = self.idle.lock().pop().unwrap_or_default();
        engine.set_limit(settings.script_memory_limit_bytes as usize);
        engine
    }

    #[inline]
    fn give_back(&self, mut engine: Box<Engine>) {
        engine.rest();
        self.idle.lock().push(engine);
    }

    /// Reads a library and shows the functions it has.
    ///
    /// # Errors
    /// It cannot be compiled or run, or it registers no function.
    pub fn read_library(
        &self,
        node: &Shared,
        settings: &Settings,
        name: Vec<u8>,
        text: &[u8],
    ) -> Result<Library, CommandError> {
        let id = self.functions.next_id();
        let mut engine = self.take_engine(settings);
        // Where nobody calls a function, as on a replica, nothing else frees what was replaced.
        engine.forget_all_but(&self.functions.current().0);
        let functions = engine.load_library(&node.clock, id, functions::code_of(text));
        self.give_back(engine);
        let functions = functions?;
        if functions.is_empty() {
            return Err(CommandError::from_static("ERR No functions registered"));
        }
        Ok(Library { id, name, text: text.to_vec(), functions })
    }

    /// Reads libraries that stand side by side.
    ///
    /// # Errors
    /// As for one; also two of one name, or with functions of one name.
    pub fn read_libraries<'t>(
        &self,
        node: &Shared,
        settings: &Settings,
        texts: impl IntoIterator<Item = &'t [u8]>,
    ) -> Result<Libraries, CommandError> {
        let mut libraries = Libraries::default();
        for text in texts {
            let name = functions::read_first_line(text)?;
            if libraries.has_name(&name) {
                return Err(functions::named("Library '", &name, "' already exists"));
            }
            libraries.add(Arc::new(self.read_library(node, settings, name, text)?))?;
        }
        Ok(libraries)
    }
}

/// The flags of an EVAL: what its script states about itself decides instead of the row.
pub fn flags_by_text(_: &Shared, args: Args<'_>, own: Flags) -> Flags {
    script::read_first_line(args.at(1)).map_or(own, |(stated, _)| stated.of_call(own))
}

/// Those of an EVALSHA.
pub fn flags_by_digest(node: &Shared, args: Args<'_>, own: Flags) -> Flags {
    let Some(digest) = Digest::parse(args.at(1)) else { return own };
    let scripts = &node.scripts;
    if let Some(native) = scripts.natives.find(&digest) {
        return native.script.flags.of_call(own);
    }
    scripts.sources.get(&digest).map_or(own, |script| script.flags.of_call(own))
}

/// Those of an FCALL.
pub fn flags_by_function(node: &Shared, args: Args<'_>, own: Flags) -> Flags {
    let (libraries, _) = node.scripts.functions.current();
    let function = libraries.function(args.at(1));
    function.map_or(own, |(library, index)| library.functions[*index].flags.of_call(own))
}

/// How the arguments of EVAL and FCALL are divided, from the number of keys on.
struct Division {
    keys: usize,
}

impl Division {
    /// Where keys end, given their number.
    fn new(args: Args<'_>, keys: i64) -> Result<Self, CommandError> {
        if keys > args.len() as i64 - 3 {
            return Err(CommandError::TOO_MANY_KEYS);
        }
        let keys = usize::try_from(keys).map_err(|_| CommandError::NEGATIVE_KEYS)?;
        Ok(Self { keys })
    }

    fn keys<'a>(&self, args: Args<'a>) -> impl ExactSizeIterator<Item = &'a [u8]> {
        args.iter().skip(3).take(self.keys)
    }

    fn rest<'a>(&self, args: Args<'a>) -> impl ExactSizeIterator<Item = &'a [u8]> {
        args.iter().skip(3 + self.keys)
    }
}

/// Runs the script of EVAL and EVALSHA: `digest` is that of the second argument, which is the text
/// unless `text` is missing.
///
/// # Errors
/// Those of the script and of what it calls.
pub fn eval<'c>(
    call: &'c mut Call<'_>,
    digest: &Digest,
    text: Option<&[u8]>,
    read_only: bool,
) -> CommandResult<'c> {
    let node = call.node;
    node.push.monitor_early(node, call.session, call.row, call.args);
    let keys = larder_protocol::number::parse_i64(call.args.at(2));
    let division = Division::new(call.args, keys.ok_or(CommandError::NOT_INTEGER)?)?;
    let scripts = &node.scripts;
    let native = scripts.natives.find(digest).cloned();
    if let Some(native) = &native
        && let Some(reply) = run_native(call, native, &division, read_only)?
    {
        return Ok(reply);
    }
    let text = native.as_ref().map_or(text, |native| Some(&native.script.text));
    let mut engine = scripts.take_engine(call.settings);
    let result = eval_on(&mut engine, call, digest, text, &division, read_only);
    scripts.give_back(engine);
    result
}

fn eval_on<'c>(
    engine: &mut Engine,
    call: &'c mut Call<'_>,
    digest: &Digest,
    text: Option<&[u8]>,
    division: &Division,
    read_only: bool,
) -> CommandResult<'c> {
    let scripts = &call.node.scripts;
    let generation = scripts.generation();
    let (script, place) = match engine.compiled(digest, generation) {
        Some(compiled) => compiled,
        None => {
            let known = scripts.sources.get(digest).map(|script| Arc::clone(&script));
            let script = match (known, text) {
                (Some(script), _) => script,
                (None, Some(text)) => Arc::new(Script::new(text, digest)?),
                (None, None) => return Err(CommandError::NO_SCRIPT),
            };
            let place = engine.compile(digest, &script, generation)?;
            scripts.keep(*digest, Arc::clone(&script));
            (script, place)
        }
    };
    let subject = Subject { name: &script.name, flags: script.flags, read_only, is_eval: true };
    if script.roams() {
        call.hold_all()?;
    }
    let args = call.args;
    loop {
        let mut run = Run::new(call, subject)?;
        let (keys, rest) = (division.keys(args), division.rest(args));
        let ended = caught(|| engine.eval(&mut run, place, keys, rest, &script));
        let begins_anew = run.begins_anew();
        drop(run);
        let ended = or_unwind(call, ended);
        if begins_anew {
            script.note_roaming();
            call.hold_all()?;
            continue;
        }
        return finish(call, ended);
    }
}

/// Runs something; a panic comes back as a value.
pub(crate) fn caught<T>(body: impl FnOnce() -> T) -> std::thread::Result<T> {
    catch_unwind(AssertUnwindSafe(body))
}

/// Goes on with a panic, if it was one, once what the script changed before is published: it stays, so
/// replicas have to have it as well.
fn or_unwind<T>(call: &mut Call<'_>, ended: std::thread::Result<T>) -> T {
    ended.unwrap_or_else(|panic| {
        call.publish();
        resume_unwind(panic)
    })
}

/// Gives a script's reply, or its error, which may be counted already.
fn finish<'c>(
    call: &mut Call<'_>,
    ended: Result<Reply<'static>, (CommandError, bool)>,
) -> CommandResult<'c> {
    ended.map_err(|(error, is_counted)| {
        call.error_is_counted = is_counted;
        error
    })
}

/// Runs a native script; nothing comes of one that declines.
fn run_native(
    call: &mut Call<'_>,
    native: &native::Native,
    division: &Division,
    read_only: bool,
) -> Result<Option<Reply<'static>>, CommandError> {
    let script = &native.script;
    let subject = Subject { name: &script.name, flags: script.flags, read_only, is_eval: true };
    if script.roams() {
        call.hold_all()?;
    }
    let args = call.args;
    let keys: Vec<&[u8]> = division.keys(args).collect();
    let rest: Vec<&[u8]> = division.rest(args).collect();
    loop {
        let mut run = Run::new(call, subject)?;
        let mut native_call = NativeCall {
            run: &mut run,
            keys: Args::from_slices(&keys),
            args: Args::from_slices(&rest),
        };
        let ended = caught(|| (native.function)(&mut native_call));
        let begins_anew = run.begins_anew();
        drop(run);
        let ended = or_unwind(call, ended);
        match ended {
            Err(_) | Ok(_) if begins_anew => {
                script.note_roaming();
                call.hold_all()?;
            }
            Ok(reply) => return Ok(Some(reply)),
            Err(NativeError::Declined) => return Ok(None),
            Err(NativeError::Failed(error)) => {
                call.error_is_counted = true;
                return Err(error);
            }
            // Only a run that begins anew is interrupted.
            Err(NativeError::Interrupted) => return Err(CommandError::SCRIPT_KEYS_BUSY),
        }
    }
}

/// Runs a function: FCALL and FCALL_RO.
///
/// # Errors
/// Those of the function and of what it calls.
pub fn fcall<'c>(call: &'c mut Call<'_>, read_only: bool) -> CommandResult<'c> {
    let node = call.node;
    let args = call.args;
    node.push.monitor_early(node, call.session, call.row, args);
    let (libraries, generation) = node.scripts.functions.current();
    let Some((library, index)) = libraries.function(args.at(1)) else {
        return Err(CommandError::from_static("ERR Function not found"));
    };
    let keys = larder_protocol::number::parse_i64(args.at(2));
    let keys = keys.ok_or(CommandError::from_static("ERR Bad number of keys provided"))?;
    let division = Division::new(args, keys)?;
    let mut engine = node.scripts.take_engine(call.settings);
    engine.keep_libraries(&libraries, generation);
    let result = fcall_on(&mut engine, call, library, *index, &division, read_only);
    node.scripts.give_back(engine);
    result
}

fn fcall_on<'c>(
    engine: &mut Engine,
    call: &'c mut Call<'_>,
    library: &Library,
    index: usize,
    division: &Division,
    read_only: bool,
) -> CommandResult<'c> {
    let function = &library.functions[index];
    let name = String::from_utf8_lossy(&function.name);
    let place = engine.function(&call.node.clock, library, index)?;
    let subject = Subject { name: &name, flags: function.flags, read_only, is_eval: false };
    let args = call.args;
    loop {
        let mut run = Run::new(call, subject)?;
        let (keys, rest) = (division.keys(args), division.rest(args));
        let ended = caught(|| engine.fcall(&mut run, place, keys, rest, &name));
        let begins_anew = run.begins_anew();
        drop(run);
        let ended = or_unwind(call, ended);
        if begins_anew {
            call.hold_all()?;
            continue;
        }
        return finish(call, ended);
    }
}

#[cfg(test)]
pub(crate) mod tests;
