//! The Lua states that one run at a time uses, and what is compiled in them.

use super::convert::{take_failure, take_reply};
use super::functions::{Function, LOAD_MAX_MS, Libraries, Library, Registration};
use super::host::Host;
use super::run::Load;
use super::sandbox::{self, Globals, Purpose};
use super::script::{Digest, Script};
use super::{api, convert};
use crate::clock::Clock;
use crate::raw::lua::{Place, Stack, State};
use larder_protocol::{CommandError, Reply, Version};
use std::collections::HashMap;
use std::sync::Arc;

/// Runs after which some garbage is freed, as in Redis: doing so each time would take longer.
const COLLECT_RUNS: u32 = 50;
/// Bytes of garbage that are looked for then, in KiB.
const COLLECT_STEPS: i32 = 50;
/// A state that uses more than this after a run frees all its garbage.
const RESTING_BYTES: usize = 16 << 20;

/// What a script gives; an error comes with whether it is counted.
pub(super) type Ended = Result<Reply<'static>, (CommandError, bool)>;

/// A state and its globals.
struct Sandbox {
    state: State,
    globals: Globals,
    runs: u32,
}

impl Sandbox {
    fn new(purpose: Purpose, limit_bytes: usize) -> Self {
        let mut state = State::new(limit_bytes);
        let globals = sandbox::build(&mut state, purpose);
        Self { state, globals, runs: 0 }
    }

    /// Looks after the garbage when a run is over.
    fn rest(&mut self) {
        self.runs += 1;
        if self.state.used_bytes() > RESTING_BYTES {
            self.state.collect_all();
        } else if self.runs.is_multiple_of(COLLECT_RUNS) {
            self.state.collect_some(COLLECT_STEPS);
        }
    }
}

/// The states for one run: one for scripts, one for functions, each made when it is needed.
#[derive(Default)]
pub(super) struct Engine {
    limit_bytes: usize,
    eval: Option<Sandbox>,
    compiled: HashMap<Digest, (Arc<Script>, Place), foldhash::fast::RandomState>,
    /// The flush up to which `compiled` is known to be right.
    scripts_generation: u64,
    functions: Option<Sandbox>,
    /// Callbacks of the functions of each library, by the library's id.
    loaded: HashMap<u64, Vec<(Vec<u8>, Place)>, foldhash::fast::RandomState>,
    libraries_generation: u64,
    /// Which of the states the run uses.
    active: Option<Purpose>,
}

impl Engine {
    /// Sets how many bytes each state may use.
    #[inline]
    pub(super) fn set_limit(&mut self, limit_bytes: usize) {
        if self.limit_bytes != limit_bytes {
            self.limit_bytes = limit_bytes;
            for sandbox in [&mut self.eval, &mut self.functions].into_iter().flatten() {
                sandbox.state.set_limit(limit_bytes);
            }
        }
    }

    /// Bytes of the states for scripts and for functions.
    pub(super) fn used_bytes(&self) -> [usize; 2] {
        let bytes = |sandbox: &Option<Sandbox>| {
            sandbox.as_ref().map_or(0, |sandbox| sandbox.state.used_bytes())
        };
        [bytes(&self.eval), bytes(&self.functions)]
    }

    /// Frees garbage from time to time; called when a run is over.
    #[inline]
    pub(super) fn rest(&mut self) {
        let sandbox = match self.active.take() {
            Some(Purpose::Eval) => &mut self.eval,
            Some(Purpose::Functions) => &mut self.functions,
            None => return,
        };
        if let Some(sandbox) = sandbox {
            sandbox.rest();
        }
    }

    /// Forgets all scripts, and the state that ran them, unless that was done for this flush.
    pub(super) fn forget_scripts(&mut self, generation: u64) {
        if self.scripts_generation != generation {
            self.scripts_generation = generation;
            self.compiled = HashMap::default();
            self.eval = None;
        }
    }

    /// A script that is compiled already.
    #[inline]
    pub(super) fn compiled(
        &mut self,
        digest: &Digest,
        generation: u64,
    ) -> Option<(Arc<Script>, Place)> {
        self.forget_scripts(generation);
        self.compiled.get(digest).map(|(script, place)| (Arc::clone(script), *place))
    }

    /// Begins with a new state where what was compiled fills half of what it may use: there may be any
    /// number of scripts, and each wants room to run in. Their texts stay known.
    fn make_room(&mut self) {
        let is_full = |state: &State| state.used_bytes() > self.limit_bytes / 2;
        if let Some(Sandbox { state, .. }) = &mut self.eval
            && is_full(state)
        {
            state.collect_all();
            if is_full(state) {
                self.compiled = HashMap::default();
                self.eval = None;
            }
        }
    }

    /// Compiles a script.
    ///
    /// # Errors
    /// Its syntax.
    pub(super) fn compile(
        &mut self,
        digest: &Digest,
        script: &Arc<Script>,
        generation: u64,
    ) -> Result<Place, CommandError> {
        self.forget_scripts(generation);
        self.make_room();
        self.active = Some(Purpose::Eval);
        let limit_bytes = self.limit_bytes;
        let sandbox = self.eval.get_or_insert_with(|| Sandbox::new(Purpose::Eval, limit_bytes));
        let place = sandbox.state.with(|stack| {
            if stack.load(script.code(), c"@user_script") {
                return Ok(stack.keep());
            }
            let message = stack.text(-1).unwrap_or_default();
            Err(CommandError::quoting("ERR Error compiling script (new function): ", message, ""))
        })?;
        self.compiled.insert(*digest, (Arc::clone(script), place));
        Ok(place)
    }

    /// Runs a compiled script.
    pub(super) fn eval<'a>(
        &mut self,
        host: &mut dyn Host,
        place: Place,
        keys: impl ExactSizeIterator<Item = &'a [u8]>,
        args: impl ExactSizeIterator<Item = &'a [u8]>,
        script: &Script,
    ) -> Ended {
        self.active = Some(Purpose::Eval);
        let Some(Sandbox { state, globals, .. }) = &mut self.eval else {
            return Err((CommandError::NO_SCRIPT, false));
        };
        state.run(host, |stack| {
            stack.push_kept(globals.handler);
            let handler = stack.top();
            stack.push_kept(globals.inner);
            push_array(stack, keys);
            stack.set_field(-2, "KEYS");
            push_array(stack, args);
            stack.set_field(-2, "ARGV");
            stack.pop(1);
            stack.push_kept(place);
            let succeeded = stack.call(0, 1, handler);
            ended(stack, succeeded, &script.name)
        })
    }

    /// Forgets the libraries that are gone, unless that was done for this change.
    pub(super) fn keep_libraries(&mut self, libraries: &Libraries, generation: u64) {
        if self.libraries_generation != generation {
            self.libraries_generation = generation;
            self.forget_all_but(libraries);
        }
    }

    /// Forgets the libraries that are not among these, those that were loaded and not kept as well.
    pub(super) fn forget_all_but(&mut self, libraries: &Libraries) {
        let current: Vec<u64> = libraries.iter().map(|library| library.id).collect();
        let gone: Vec<u64> =
            self.loaded.keys().copied().filter(|id| !current.contains(id)).collect();
        for id in gone {
            let functions = self.loaded.remove(&id).unwrap_or_default();
            self.forget_callbacks(functions.into_iter().map(|(_, place)| place));
        }
        if current.is_empty() {
            self.functions = None;
        }
    }

    fn forget_callbacks(&mut self, places: impl Iterator<Item = Place>) {
        if let Some(sandbox) = &mut self.functions {
            sandbox.state.with(|stack| places.for_each(|place| stack.forget(place)));
        }
    }

    /// Runs the code of a library, and keeps the callbacks of the functions that it registers.
    ///
    /// # Errors
    /// It cannot be compiled, or it fails.
    pub(super) fn load_library(
        &mut self,
        clock: &Clock,
        id: u64,
        code: &[u8],
    ) -> Result<Vec<Function>, CommandError> {
        self.active = Some(Purpose::Functions);
        let limit_bytes = self.limit_bytes;
        let sandbox =
            self.functions.get_or_insert_with(|| Sandbox::new(Purpose::Functions, limit_bytes));
        let mut load = Load::new(clock, LOAD_MAX_MS);
        let globals = sandbox.globals;
        let result = sandbox.state.run(&mut load, |stack| {
            // For as long as it loads, the globals are others.
            stack.push_kept(globals.outer);
            api::push_library_globals(stack);
            stack.set_field(-2, "__index");
            let result = run_library(stack, code);
            stack.push_kept(globals.outer);
            stack.push_kept(globals.inner);
            stack.set_field(-2, "__index");
            result
        });
        if let Err(error) = result {
            self.forget_callbacks(load.functions.into_iter().map(|function| function.callback));
            return Err(error);
        }
        let (mut functions, mut places) = (Vec::new(), Vec::new());
        for Registration { function, callback } in load.functions {
            places.push((function.name.clone(), callback));
            functions.push(function);
        }
        self.loaded.insert(id, places);
        Ok(functions)
    }

    /// The callback of a library's function, which is loaded if need be.
    ///
    /// # Errors
    /// The library does not load here, or registers other functions than before.
    pub(super) fn function(
        &mut self,
        clock: &Clock,
        library: &Library,
        index: usize,
    ) -> Result<Place, CommandError> {
        if !self.loaded.contains_key(&library.id) {
            self.load_library(clock, library.id, library.code())?;
        }
        let name = &library.functions[index].name;
        let places = self.loaded.get(&library.id);
        let found = places.and_then(|places| places.iter().find(|(other, _)| other == name));
        found.map(|(_, place)| *place).ok_or(CommandError::from_static("ERR Function not found"))
    }

    /// Runs a function.
    pub(super) fn fcall<'a>(
        &mut self,
        host: &mut dyn Host,
        place: Place,
        keys: impl ExactSizeIterator<Item = &'a [u8]>,
        args: impl ExactSizeIterator<Item = &'a [u8]>,
        name: &str,
    ) -> Ended {
        self.active = Some(Purpose::Functions);
        let Some(Sandbox { state, globals, .. }) = &mut self.functions else {
            return Err((CommandError::from_static("ERR Function not found"), false));
        };
        state.run(host, |stack| {
            stack.push_kept(globals.handler);
            let handler = stack.top();
            stack.push_kept(place);
            push_array(stack, keys);
            push_array(stack, args);
            let succeeded = stack.call(2, 1, handler);
            ended(stack, succeeded, name)
        })
    }
}

/// Compiles and runs a library's code.
fn run_library(stack: &mut Stack<'_>, code: &[u8]) -> Result<(), CommandError> {
    if !stack.load(code, c"@user_function") {
        let message = stack.text(-1).unwrap_or_default();
        return Err(CommandError::quoting("ERR Error compiling function: ", message, ""));
    }
    if !stack.call(0, 0, 0) {
        let failure = convert::Failure::of(stack);
        let before = "ERR Error registering functions: ";
        return Err(CommandError::quoting(before, failure.message(), ""));
    }
    Ok(())
}

fn push_array<'a>(stack: &mut Stack<'_>, items: impl ExactSizeIterator<Item = &'a [u8]>) {
    stack.push_table(items.len(), 0);
    for (index, item) in items.enumerate() {
        stack.push_bytes(item);
        stack.set_item(-2, index as i32 + 1);
    }
}

/// Reads what a script left on top.
fn ended(stack: &mut Stack<'_>, succeeded: bool, name: &str) -> Ended {
    if !succeeded {
        return Err(take_failure(stack, name));
    }
    let version = stack.with_host(|host, _| host.version()).unwrap_or(Version::Resp2);
    take_reply(stack, version)
}
