//! The values that a function works on.
//!
//! Positions are Lua's: 1 is the first argument, -1 the topmost value. A position that holds nothing
//! is of [`Kind::None`]. Whoever recurses calls [`Stack::reserve`] at each level; everybody else
//! stays far below what a function is granted beyond its arguments.

use super::{Function, enter, shared_of};
use crate::scripting::host::Host;
use mlua_sys as ffi;
use std::ffi::{CStr, c_int, c_void};
use std::marker::PhantomData;
use std::ptr::NonNull;

/// A function whose guard has nothing against the call goes on with what it guards.
pub(super) const FORWARD: i32 = -1;

/// Marks the metatables of read-only tables.
static MARK: u8 = 0;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The variants are Lua's types.
pub enum Kind {
    None,
    Nil,
    Boolean,
    LightUserdata,
    Number,
    String,
    Table,
    Function,
    Userdata,
    Thread,
}

impl Kind {
    fn of(number: c_int) -> Self {
        match number {
            ffi::LUA_TNIL => Self::Nil,
            ffi::LUA_TBOOLEAN => Self::Boolean,
            ffi::LUA_TLIGHTUSERDATA => Self::LightUserdata,
            ffi::LUA_TNUMBER => Self::Number,
            ffi::LUA_TSTRING => Self::String,
            ffi::LUA_TTABLE => Self::Table,
            ffi::LUA_TFUNCTION => Self::Function,
            ffi::LUA_TUSERDATA => Self::Userdata,
            ffi::LUA_TTHREAD => Self::Thread,
            _ => Self::None,
        }
    }

    /// Its name in error messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "no value",
            Self::Nil => "nil",
            Self::Boolean => "boolean",
            Self::LightUserdata | Self::Userdata => "userdata",
            Self::Number => "number",
            Self::String => "string",
            Self::Table => "table",
            Self::Function => "function",
            Self::Thread => "thread",
        }
    }
}

/// The topmost value is to be raised as an error.
#[derive(Debug)]
#[must_use]
pub struct Raise(());

/// A value kept in the state's registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(c_int);

/// Where an error came from.
pub struct Origin {
    /// The chunk's name, `@user_script`.
    pub source: Vec<u8>,
    /// The line in it, -1 when there is none.
    pub line: i32,
    /// Whether it is no Lua code.
    pub native: bool,
}

/// The stack of a running function, or of a state at rest.
pub struct Stack<'l> {
    pub(super) lua: *mut ffi::lua_State,
    /// Up to so many values there is room, however many arguments there are.
    pub(super) granted: i32,
    pub(super) life: PhantomData<&'l mut ()>,
}

impl Stack<'_> {
    /// That of a function which Lua has just called, and which it grants some room beyond the arguments.
    pub(super) fn of_running(lua: *mut ffi::lua_State) -> Self {
        let mut stack = Self { lua, granted: 0, life: PhantomData };
        stack.granted = stack.top() + ffi::LUA_MINSTACK;
        stack
    }
}

/// A call of Lua's C interface on this stack.
macro_rules! api {
    ($name:ident($stack:expr $(, $argument:expr)*)) => {
        // SAFETY: the state is alive and this thread's for as long as the stack. The operations used
        // here neither run Lua code nor fail: access is raw, allocation is exempt, and space for what
        // is pushed has been made.
        unsafe { ffi::$name($stack.lua $(, $argument)*) }
    };
}

/// Reading.
impl Stack<'_> {
    /// The number of values.
    #[inline]
    pub fn top(&self) -> i32 {
        api!(lua_gettop(self))
    }

    /// What the value at `at` is.
    #[inline]
    pub fn kind(&self, at: i32) -> Kind {
        Kind::of(api!(lua_type(self, at)))
    }

    /// A number, or a string that reads as one.
    #[inline]
    pub fn number(&self, at: i32) -> Option<f64> {
        (api!(lua_isnumber(self, at)) != 0).then(|| api!(lua_tonumber(self, at)))
    }

    /// Whether the value counts as true.
    #[inline]
    pub fn truth(&self, at: i32) -> bool {
        api!(lua_toboolean(self, at)) != 0
    }

    /// The bytes of a string.
    #[inline]
    pub fn bytes(&self, at: i32) -> Option<&[u8]> {
        if self.kind(at) != Kind::String {
            return None;
        }
        let mut len = 0;
        let start = api!(lua_tolstring(self, at, &raw mut len));
        // SAFETY: the string stays while it is on the stack, which cannot change under a borrow.
        Some(unsafe { std::slice::from_raw_parts(start.cast(), len) })
    }

    /// The bytes of a string, or of a number as Lua prints it; the value becomes that string.
    pub fn text(&mut self, at: i32) -> Option<&[u8]> {
        if self.kind(at) == Kind::Number {
            api!(lua_tolstring(self, at, std::ptr::null_mut()));
        }
        self.bytes(at)
    }

    /// The length of a string, or the border of a table.
    pub fn length(&self, at: i32) -> usize {
        api!(lua_objlen(self, at))
    }

    /// Where a table or function is in memory, as its name when it is printed.
    pub fn address(&self, at: i32) -> usize {
        api!(lua_topointer(self, at)) as usize
    }

    /// Who is `level` calls above the running function.
    pub fn origin(&self, level: i32) -> Option<Origin> {
        // SAFETY: all fields are numbers, pointers and bytes, for which zero is a value.
        let mut info: ffi::lua_Debug = unsafe { std::mem::zeroed() };
        if api!(lua_getstack(self, level, &raw mut info)) == 0
            || api!(lua_getinfo(self, c"Sl".as_ptr(), &raw mut info)) == 0
        {
            return None;
        }
        // SAFETY: `lua_getinfo` filled in texts that the running functions keep.
        let (source, what) = unsafe { (CStr::from_ptr(info.source), CStr::from_ptr(info.what)) };
        Some(Origin {
            source: source.to_bytes().to_vec(),
            line: info.currentline,
            native: what == c"C",
        })
    }
}

/// Pushing and moving.
impl Stack<'_> {
    /// Makes room for `values` more; false when the stack is as deep as it may be.
    #[inline]
    pub fn reserve(&mut self, values: i32) -> bool {
        api!(lua_checkstack(self, values)) != 0 || self.top() + values <= self.granted
    }

    #[inline]
    fn space(&mut self) {
        assert!(self.reserve(1), "room on Lua's stack");
    }

    /// Sets the number of values.
    #[inline]
    pub fn set_top(&mut self, top: i32) {
        debug_assert!(top >= 0 && top <= self.top());
        api!(lua_settop(self, top));
    }

    /// Takes values off.
    #[inline]
    pub fn pop(&mut self, values: i32) {
        debug_assert!(values >= 0 && values <= self.top());
        api!(lua_settop(self, -values - 1));
    }

    /// Moves the topmost value to `at`.
    pub fn insert(&mut self, at: i32) {
        api!(lua_insert(self, at));
    }

    /// Takes out the value at `at`.
    pub fn remove(&mut self, at: i32) {
        api!(lua_remove(self, at));
    }

    /// A copy of the value at `at`.
    #[inline]
    pub fn push_copy(&mut self, at: i32) {
        self.space();
        api!(lua_pushvalue(self, at));
    }

    /// Nil.
    #[inline]
    pub fn push_nil(&mut self) {
        self.space();
        api!(lua_pushnil(self));
    }

    /// A truth value.
    #[inline]
    pub fn push_bool(&mut self, value: bool) {
        self.space();
        api!(lua_pushboolean(self, c_int::from(value)));
    }

    /// A number.
    #[inline]
    pub fn push_number(&mut self, value: f64) {
        self.space();
        api!(lua_pushnumber(self, value));
    }

    /// A string.
    #[inline]
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        self.space();
        api!(lua_pushlstring_(self, bytes.as_ptr().cast(), bytes.len()));
    }

    /// A table with room for that much; both numbers are hints that must come from real sizes.
    #[inline]
    pub fn push_table(&mut self, items: usize, fields: usize) {
        self.space();
        let size = |hint: usize| c_int::try_from(hint).unwrap_or(0);
        api!(lua_createtable(self, size(items), size(fields)));
    }

    /// A function of ours.
    pub fn push_function(&mut self, function: Function) {
        self.space();
        api!(lua_pushlightuserdata(self, function as *mut c_void));
        api!(lua_pushcclosure(self, enter, 1));
    }

    /// A function of ours that has the topmost value for itself, which goes.
    pub fn push_function_over(&mut self, function: Function) {
        self.space();
        api!(lua_pushlightuserdata(self, function as *mut c_void));
        self.insert(-2);
        api!(lua_pushcclosure(self, enter, 2));
    }

    /// What the running function has for itself.
    pub fn push_upvalue(&mut self) {
        self.push_copy(ffi::lua_upvalueindex(2));
    }

    /// The value that stands for nothing where nil cannot stand.
    pub fn push_null(&mut self) {
        self.space();
        api!(lua_pushlightuserdata(self, std::ptr::null_mut()));
    }

    /// Whether the value at `at` is that one.
    pub fn is_null(&self, at: i32) -> bool {
        self.kind(at) == Kind::LightUserdata && api!(lua_touserdata(self, at)).is_null()
    }

    /// The globals of the running code.
    pub fn push_globals(&mut self) {
        self.push_copy(ffi::LUA_GLOBALSINDEX);
    }

    /// Makes the topmost value the globals of all code that is loaded from now on.
    pub fn set_globals(&mut self) {
        api!(lua_replace(self, ffi::LUA_GLOBALSINDEX));
    }

    /// Keeps the topmost value in the registry.
    pub fn keep(&mut self) -> Place {
        Place(api!(luaL_ref(self, ffi::LUA_REGISTRYINDEX)))
    }

    /// What is kept at `place`.
    #[inline]
    pub fn push_kept(&mut self, place: Place) {
        self.space();
        api!(lua_rawgeti_(self, ffi::LUA_REGISTRYINDEX, place.0));
    }

    /// Ends the keeping of a value.
    pub fn forget(&mut self, place: Place) {
        api!(luaL_unref(self, ffi::LUA_REGISTRYINDEX, place.0));
    }

    /// A userdata without content and without a metatable.
    pub fn push_blank(&mut self) {
        self.space();
        api!(lua_newuserdata(self, 0));
    }
}

/// Tables, without metamethods.
impl Stack<'_> {
    /// Replaces the topmost value, a key, with what the table at `at` has there.
    #[inline]
    pub fn get(&mut self, at: i32) {
        debug_assert_eq!(self.kind(at), Kind::Table);
        api!(lua_rawget_(self, at));
    }

    /// Pushes the value of a field of the table at `at`.
    #[inline]
    pub fn get_field(&mut self, at: i32, name: &str) -> Kind {
        let at = self.absolute(at);
        self.push_bytes(name.as_bytes());
        self.get(at);
        self.kind(-1)
    }

    /// Pushes item `index` of the table at `at`.
    #[inline]
    pub fn get_item(&mut self, at: i32, index: i32) -> Kind {
        debug_assert_eq!(self.kind(at), Kind::Table);
        self.space();
        api!(lua_rawgeti_(self, at, index));
        self.kind(-1)
    }

    /// Sets a key below the topmost value to that value; both go. A key that no table can have is
    /// left out: nil, and the number that is none.
    #[inline]
    pub fn set(&mut self, at: i32) {
        debug_assert_eq!(self.kind(at), Kind::Table);
        let is_key = match self.kind(-2) {
            Kind::Nil | Kind::None => false,
            Kind::Number => self.number(-2).is_some_and(|number| !number.is_nan()),
            _ => true,
        };
        if is_key {
            api!(lua_rawset(self, at));
        } else {
            self.pop(2);
        }
    }

    /// Sets a field of the table at `at` to the topmost value, which goes.
    pub fn set_field(&mut self, at: i32, name: &str) {
        let at = self.absolute(at);
        self.push_bytes(name.as_bytes());
        self.insert(-2);
        self.set(at);
    }

    /// Sets item `index` of the table at `at` to the topmost value, which goes.
    #[inline]
    pub fn set_item(&mut self, at: i32, index: i32) {
        debug_assert_eq!(self.kind(at), Kind::Table);
        api!(lua_rawseti_(self, at, index));
    }

    /// Replaces the topmost value, a key of the table at `at` (nil to begin), with the next key and
    /// its value; false, and the key gone, when there is none. The table must not change meanwhile.
    #[inline]
    pub fn next(&mut self, at: i32) -> bool {
        debug_assert_eq!(self.kind(at), Kind::Table);
        self.space();
        api!(lua_next(self, at)) != 0
    }

    fn absolute(&self, at: i32) -> i32 {
        if at < 0 && at > ffi::LUA_REGISTRYINDEX { self.top() + at + 1 } else { at }
    }

    /// Makes the topmost value, a table, the metatable of the value at `at`.
    pub fn set_metatable(&mut self, at: i32) {
        api!(lua_setmetatable(self, at));
    }

    /// Pushes the metatable of the value at `at`, if it has one.
    pub fn push_metatable(&mut self, at: i32) -> bool {
        self.space();
        api!(lua_getmetatable(self, at)) != 0
    }

    /// Puts a table that shows the topmost one, and nothing else, in its place. Whoever writes to it
    /// gets `refuse`. `index` says whether a metatable with its own `__index` answers reads of what is
    /// not there. Below it are the shown table and its visible metatable, which go.
    pub fn seal(&mut self, refuse: Function) {
        // The table, then what `getmetatable` shows of it.
        self.push_table(0, 0);
        self.push_table(0, 4);
        self.push_copy(-4);
        self.set_field(-2, "__index");
        self.push_function(refuse);
        self.set_field(-2, "__newindex");
        self.push_copy(-3);
        self.set_field(-2, "shown");
        self.push_mark();
        self.push_copy(-5);
        self.set(-3);
        self.set_metatable(-2);
        self.remove(-2);
        self.remove(-2);
    }

    fn push_mark(&mut self) {
        self.space();
        let mark = (&raw const MARK).cast_mut().cast();
        api!(lua_pushlightuserdata(self, mark));
    }

    /// Pushes the table behind the sealed one at `at`; nothing when it is not sealed.
    pub fn unseal(&mut self, at: i32) -> bool {
        let at = self.absolute(at);
        if self.kind(at) != Kind::Table || !self.push_metatable(at) {
            return false;
        }
        self.push_mark();
        self.get(-2);
        self.remove(-2);
        let sealed = self.kind(-1) == Kind::Table;
        if !sealed {
            self.pop(1);
        }
        sealed
    }

    /// Pushes what a sealed table shows as its metatable.
    pub fn push_shown_metatable(&mut self, at: i32) {
        if self.push_metatable(at) {
            self.get_field(-1, "shown");
            self.remove(-2);
        } else {
            self.push_nil();
        }
    }
}

/// Code.
impl Stack<'_> {
    /// Compiles a text; leaves the function, or the error message.
    pub fn load(&mut self, text: &[u8], chunk: &CStr) -> bool {
        // Lua keeps no hold on the name while it parses; the stack does.
        self.push_bytes(chunk.to_bytes());
        self.space();
        let status = if text.first() == Some(&ffi::LUA_SIGNATURE[0]) {
            // Compiled code is not checked by Lua and could do anything.
            self.push_bytes(b"attempt to load compiled code");
            1
        } else {
            let (start, name) = (text.as_ptr().cast(), chunk.as_ptr());
            let shared = shared_of(self.lua);
            shared.exempt.set(false);
            let status = api!(luaL_loadbuffer(self, start, text.len(), name));
            shared.exempt.set(true);
            status
        };
        self.remove(-2);
        status == 0
    }

    /// Calls a function with the topmost `arguments` values; leaves `results` (all when negative), or
    /// the error. `handler`, a function at that position or 0, sees the error first.
    pub fn call(&mut self, arguments: i32, results: i32, handler: i32) -> bool {
        let shared = shared_of(self.lua);
        let results = results.max(ffi::LUA_MULTRET);
        self.space();
        shared.exempt.set(false);
        let status = api!(lua_pcall(self, arguments, results, handler));
        shared.exempt.set(true);
        status == 0
    }

    /// Lets a guarded function go on.
    pub fn forward(&self) -> i32 {
        FORWARD
    }

    /// Puts `guard` before the native function on top: it runs first, and may forward to it.
    pub fn guard(&mut self, guard: Function) {
        let original = api!(lua_tocfunction(self, -1)).expect("a native function to guard");
        self.pop(1);
        assert!(self.reserve(2), "room on Lua's stack");
        api!(lua_pushlightuserdata(self, guard as *mut c_void));
        api!(lua_pushlightuserdata(self, original as *mut c_void));
        api!(lua_pushcclosure(self, enter, 2));
    }

    pub(super) fn open_library(&mut self, open: ffi::lua_CFunction) {
        self.space();
        api!(lua_pushcclosure(self, open, 0));
        assert!(self.call(0, 0, 0), "a standard library opens");
    }

    /// Runs `body` with the host of the running script; not at all when none runs, or when this is
    /// such a body already.
    pub fn with_host<T>(&mut self, body: impl FnOnce(&mut dyn Host, &mut Self) -> T) -> Option<T> {
        struct Restore<'s>(&'s super::Shared, NonNull<dyn Host>);
        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                self.0.host.set(Some(self.1));
            }
        }
        let shared = shared_of(self.lua);
        let host = shared.host.take()?;
        let restore = Restore(shared, host);
        // SAFETY: `State::run` holds the host's only borrow while it is set, and taking it away for
        // this body makes it ours alone.
        let result = body(unsafe { &mut *host.as_ptr() }, self);
        drop(restore);
        Some(result)
    }

    /// The bytes that the state uses.
    pub fn used_bytes(&self) -> usize {
        shared_of(self.lua).used_bytes.get()
    }

    /// Frees all garbage.
    pub fn collect(&mut self) {
        api!(lua_gc(self, ffi::LUA_GCCOLLECT, 0));
    }

    /// Bytes up to the memory limit.
    pub fn bytes_left(&self) -> usize {
        let shared = shared_of(self.lua);
        shared.limit_bytes.get().saturating_sub(shared.used_bytes.get())
    }

    /// Ends the script at its next line, also where it catches errors.
    pub fn stop_script(&mut self) {
        shared_of(self.lua).stopping.set(true);
        api!(lua_sethook(self, Some(super::interrupt), ffi::LUA_MASKLINE, 0));
    }

    /// Asks the host whether the script may go on; leaves the error when not.
    pub fn interrupt(&mut self) -> bool {
        let stop = self.with_host(|host, _| host.interrupt()).flatten();
        match stop {
            Some(text) => {
                self.push_table(0, 1);
                self.push_bytes(text.as_bytes());
                self.set_field(-2, "err");
                true
            }
            None => false,
        }
    }
}

/// Raising.
impl Stack<'_> {
    /// Raises the topmost value.
    pub fn raise(&self) -> Raise {
        Raise(())
    }

    /// Raises a message with the position of the Lua code that called the running function.
    pub fn raise_text(&mut self, message: impl AsRef<[u8]>) -> Raise {
        self.space();
        api!(luaL_where(self, 1));
        let mut text = self.bytes(-1).unwrap_or_default().to_vec();
        text.extend_from_slice(message.as_ref());
        self.push_bytes(&text);
        Raise(())
    }

    /// Raises a message as it is.
    pub fn raise_bare(&mut self, message: &str) -> Raise {
        self.push_bytes(message.as_bytes());
        Raise(())
    }

    /// Raises that argument `number` is wrong.
    pub fn raise_argument(&mut self, number: i32, message: &str) -> Raise {
        // SAFETY: all fields are numbers, pointers and bytes, for which zero is a value.
        let mut info: ffi::lua_Debug = unsafe { std::mem::zeroed() };
        if api!(lua_getstack(self, 0, &raw mut info)) == 0 {
            return self.raise_text(format!("bad argument #{number} ({message})"));
        }
        api!(lua_getinfo(self, c"n".as_ptr(), &raw mut info));
        let text = |text: *const std::ffi::c_char| {
            if text.is_null() {
                return "?".to_owned();
            }
            // SAFETY: `lua_getinfo` filled in a text that the running function keeps.
            unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
        };
        let (name, what) = (text(info.name), text(info.namewhat));
        let is_method = what == "method";
        let number = number - i32::from(is_method);
        if is_method && number == 0 {
            return self.raise_text(format!("calling '{name}' on bad self ({message})"));
        }
        self.raise_text(format!("bad argument #{number} to '{name}' ({message})"))
    }

    fn raise_type(&mut self, at: i32, expected: &str) -> Raise {
        let message = format!("{expected} expected, got {}", self.kind(at).name());
        self.raise_argument(at, &message)
    }

    /// Argument `at`, which must be a number or read as one.
    ///
    /// # Errors
    /// It does not.
    pub fn check_number(&mut self, at: i32) -> Result<f64, Raise> {
        self.number(at).ok_or(()).map_err(|()| self.raise_type(at, "number"))
    }

    /// Argument `at` as an integer, cut to 64 bits as the processor does.
    ///
    /// # Errors
    /// It is no number.
    pub fn check_integer(&mut self, at: i32) -> Result<i64, Raise> {
        self.check_number(at).map(|number| number as i64)
    }

    /// Argument `at`, which must be a string or a number.
    ///
    /// # Errors
    /// It is neither.
    pub fn check_bytes(&mut self, at: i32) -> Result<&[u8], Raise> {
        if !matches!(self.kind(at), Kind::String | Kind::Number) {
            return Err(self.raise_type(at, "string"));
        }
        Ok(self.text(at).unwrap_or_default())
    }

    /// Argument `at`, which must be a table.
    ///
    /// # Errors
    /// It is none.
    pub fn check_table(&mut self, at: i32) -> Result<(), Raise> {
        if self.kind(at) == Kind::Table { Ok(()) } else { Err(self.raise_type(at, "table")) }
    }
}
