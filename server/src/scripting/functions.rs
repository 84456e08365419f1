//! Libraries of functions: what is loaded, and how a library is read.
//!
//! The libraries are a value that all threads share and nobody changes: whoever loads or deletes one
//! puts a new value in its place. A state loads a library when one of its functions is called there
//! for the first time; local variables of a library are therefore one state's own.

use super::script::{ScriptFlags, words};
use crate::raw::lua::{Kind, Place, Stack};
use larder_protocol::CommandError;
use parking_lot::{Mutex, MutexGuard, RwLock};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How long a library may take to load.
pub const LOAD_MAX_MS: u64 = 500;

const BAD_NAME: &str = "Library names can only contain letters, numbers, or underscores(_) and must \
    be at least one character long";

/// A function as its library registers it.
pub struct Registration {
    /// What is known of it.
    pub function: Function,
    /// Its code.
    pub callback: Place,
}

/// What is known of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: Vec<u8>,
    /// What it is for.
    pub description: Option<Vec<u8>>,
    /// What it may do.
    pub flags: ScriptFlags,
}

/// A loaded library.
pub struct Library {
    /// Different for each load.
    pub id: u64,
    /// Its name.
    pub name: Vec<u8>,
    /// Its whole text.
    pub text: Vec<u8>,
    /// Its functions.
    pub functions: Vec<Function>,
}

impl Library {
    /// The code after the first line.
    pub fn code(&self) -> &[u8] {
        code_of(&self.text)
    }

    fn kept_bytes(&self) -> usize {
        let function = |function: &Function| {
            let description = function.description.as_ref().map_or(0, Vec::len);
            size_of::<Function>() + function.name.len() + description
        };
        let functions: usize = self.functions.iter().map(function).sum();
        size_of::<Self>() + self.name.len() + self.text.len() + functions
    }
}

/// The code of a library: from the end of its first line on, which keeps the numbers of lines.
pub fn code_of(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|&byte| byte == b'\n').unwrap_or(text.len());
    &text[end..]
}

/// All libraries at one time.
#[derive(Clone, Default)]
pub struct Libraries {
    by_name: BTreeMap<Vec<u8>, Arc<Library>>,
    /// By their names in lower case, which is how FCALL finds them.
    functions: HashMap<Vec<u8>, (Arc<Library>, usize)>,
}

impl Libraries {
    /// All of them, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Library>> {
        self.by_name.values()
    }

    /// How many functions there are.
    pub fn function_count(&self) -> usize {
        self.functions.len()
    }

    /// Bytes that they take, besides the states they are loaded in.
    pub fn kept_bytes(&self) -> usize {
        self.iter().map(|library| library.kept_bytes()).sum()
    }

    /// The library of a function, and its place there.
    pub fn function(&self, name: &[u8]) -> Option<&(Arc<Library>, usize)> {
        self.functions.get(&name.to_ascii_lowercase())
    }

    /// Whether this very library is among them.
    pub fn has(&self, id: u64, name: &[u8]) -> bool {
        self.by_name.get(name).is_some_and(|library| library.id == id)
    }

    /// Takes one out; false when there is none of that name.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let Some(library) = self.by_name.remove(name) else { return false };
        for function in &library.functions {
            self.functions.remove(&function.name.to_ascii_lowercase());
        }
        true
    }

    /// Adds one whose name is free.
    ///
    /// # Errors
    /// One of its functions exists in another library.
    pub fn add(&mut self, library: Arc<Library>) -> Result<(), CommandError> {
        for function in &library.functions {
            if self.functions.contains_key(&function.name.to_ascii_lowercase()) {
                return Err(named("Function ", &function.name, " already exists"));
            }
        }
        for (index, function) in library.functions.iter().enumerate() {
            let name = function.name.to_ascii_lowercase();
            self.functions.insert(name, (Arc::clone(&library), index));
        }
        self.by_name.insert(library.name.clone(), library);
        Ok(())
    }

    /// Adds all of others.
    ///
    /// # Errors
    /// A library of a name that exists already, unless it is to be replaced; a function that does.
    pub fn join(&mut self, others: Libraries, replace: bool) -> Result<(), CommandError> {
        for name in others.by_name.keys() {
            if !replace && self.by_name.contains_key(name) {
                return Err(named("Library ", name, " already exists"));
            }
            self.remove(name);
        }
        others.by_name.into_values().try_for_each(|library| self.add(library))
    }

    /// Whether there is a library of this name.
    pub fn has_name(&self, name: &[u8]) -> bool {
        self.by_name.contains_key(name)
    }
}

/// An error that repeats a name.
pub fn named(before: &str, name: &[u8], after: &str) -> CommandError {
    CommandError::quoting(&format!("ERR {before}"), name, after)
}

/// The libraries of a node.
#[derive(Default)]
pub struct Registry {
    current: RwLock<Arc<Libraries>>,
    /// Counts the changes of `current`.
    generation: AtomicU64,
    ids: AtomicU64,
    /// Held by whoever changes them.
    changing: Mutex<()>,
}

impl Registry {
    /// The libraries as they are now, and which change that is.
    pub fn current(&self) -> (Arc<Libraries>, u64) {
        let current = self.current.read();
        (Arc::clone(&current), self.generation.load(Ordering::Acquire))
    }

    /// Which change the libraries as they are now are.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Keeps others from changing them.
    pub fn change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock()
    }

    /// Puts others in their place.
    pub fn replace(&self, libraries: Libraries, _change: &MutexGuard<'_, ()>) {
        let mut current = self.current.write();
        *current = Arc::new(libraries);
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// An id for a library.
    pub fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }
}

/// What a library's first line says: its name.
///
/// # Errors
/// It does not say that, or not as it must be said.
pub fn read_first_line(text: &[u8]) -> Result<Vec<u8>, CommandError> {
    let error = |text: &'static str| CommandError::custom(format!("ERR {text}"));
    if !text.starts_with(b"#!") {
        return Err(error("Missing library metadata"));
    }
    let Some(end) = text.iter().position(|&byte| byte == b'\n') else {
        return Err(error("Invalid library metadata"));
    };
    let words = words(&text[..end]);
    let Some((engine, options)) = words.split_first() else {
        return Err(error("Invalid library metadata"));
    };
    let mut name = None;
    for option in options {
        let value = option.get(..5).filter(|key| key.eq_ignore_ascii_case(b"name="));
        match value {
            None => return Err(named("Invalid metadata value given: ", option, "")),
            Some(_) if name.is_some() => {
                return Err(error(
                    "Invalid metadata value, name argument was given multiple times",
                ));
            }
            Some(_) => name = Some(option[5..].to_vec()),
        }
    }
    let Some(name) = name else { return Err(error("Library name was not given")) };
    if !is_name(&name) {
        return Err(error(BAD_NAME));
    }
    let engine = engine.get(2..).unwrap_or_default();
    if !engine.eq_ignore_ascii_case(b"lua") {
        return Err(named("Engine '", engine, "' not found"));
    }
    Ok(name)
}

fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// Adds a function to those that its library registered so far.
///
/// # Errors
/// Its name is none, or taken.
pub fn register(
    functions: &mut Vec<Registration>,
    function: Registration,
) -> Result<(), &'static str> {
    if !is_name(&function.function.name) {
        return Err(BAD_NAME);
    }
    if functions.iter().any(|other| other.function.name == function.function.name) {
        return Err("Function already exists in the library");
    }
    functions.push(function);
    Ok(())
}

/// Reads what `redis.register_function` was given.
///
/// # Errors
/// What is wrong with it.
pub fn read_registration(stack: &mut Stack<'_>) -> Result<Registration, &'static str> {
    match stack.top() {
        1 => read_named(stack),
        2 => read_positional(stack),
        _ => Err("wrong number of arguments to redis.register_function"),
    }
}

fn read_positional(stack: &mut Stack<'_>) -> Result<Registration, &'static str> {
    let Some(name) = stack.text(1).map(<[u8]>::to_vec) else {
        return Err("first argument to redis.register_function must be a string");
    };
    if stack.kind(2) != Kind::Function {
        return Err("second argument to redis.register_function must be a function");
    }
    stack.push_copy(2);
    let function = Function { name, description: None, flags: ScriptFlags::default() };
    Ok(Registration { function, callback: stack.keep() })
}

#[derive(Default)]
struct Named {
    name: Option<Vec<u8>>,
    description: Option<Vec<u8>>,
    flags: ScriptFlags,
    callback: Option<Place>,
}

fn read_named(stack: &mut Stack<'_>) -> Result<Registration, &'static str> {
    if stack.kind(1) != Kind::Table {
        return Err(
            "calling redis.register_function with a single argument is only applicable to \
            Lua table (representing named arguments).",
        );
    }
    let mut found = Named::default();
    let mut result = Ok(());
    stack.push_nil();
    while result.is_ok() && stack.next(1) {
        result = read_option(stack, &mut found);
        stack.pop(1);
    }
    let Named { name, description, flags, callback } = found;
    if result.is_ok() && name.is_none() {
        result = Err("redis.register_function must get a function name argument");
    } else if result.is_ok() && callback.is_none() {
        result = Err("redis.register_function must get a callback argument");
    }
    match (result, name, callback) {
        (Ok(()), Some(name), Some(callback)) => {
            Ok(Registration { function: Function { name, description, flags }, callback })
        }
        (result, _, callback) => {
            if let Some(callback) = callback {
                stack.forget(callback);
            }
            Err(result.err().unwrap_or_default())
        }
    }
}

/// Reads a named argument: its name, and on top its value.
fn read_option(stack: &mut Stack<'_>, found: &mut Named) -> Result<(), &'static str> {
    if !matches!(stack.kind(-2), Kind::String | Kind::Number) {
        return Err("named argument key given to redis.register_function is not a string");
    }
    let key = stack.bytes(-2).unwrap_or_default().to_ascii_lowercase();
    match &key[..] {
        b"function_name" => {
            let name = stack.text(-1).map(<[u8]>::to_vec);
            found.name = Some(name.ok_or(
                "function_name argument given to redis.register_function must be a string",
            )?);
        }
        b"description" => {
            let description = stack.text(-1).map(<[u8]>::to_vec);
            found.description =
                Some(description.ok_or(
                    "description argument given to redis.register_function must be a string",
                )?);
        }
        b"callback" => {
            if stack.kind(-1) != Kind::Function {
                return Err(
                    "callback argument given to redis.register_function must be a function",
                );
            }
            stack.push_copy(-1);
            let callback = stack.keep();
            if let Some(other) = found.callback.replace(callback) {
                stack.forget(other);
            }
        }
        b"flags" => {
            if stack.kind(-1) != Kind::Table {
                return Err("flags argument to redis.register_function must be a table \
                    representing function flags");
            }
            found.flags = read_flags(stack).ok_or("unknown flag given")?;
        }
        _ => return Err("unknown argument given to redis.register_function"),
    }
    Ok(())
}

/// Reads the topmost table as a list of flags.
fn read_flags(stack: &mut Stack<'_>) -> Option<ScriptFlags> {
    let mut flags = ScriptFlags::default();
    for index in 1.. {
        if stack.get_item(-1, index) == Kind::Nil {
            stack.pop(1);
            break;
        }
        let word = stack.bytes(-1).unwrap_or_default();
        let known = |name: &str| name.as_bytes().eq_ignore_ascii_case(word);
        let flag = ScriptFlags::NAMES.iter().find(|(_, name)| known(name));
        let flag = flag.map(|(flag, _)| *flag);
        stack.pop(1);
        flags = flags.and(flag?);
    }
    Some(flags)
}
