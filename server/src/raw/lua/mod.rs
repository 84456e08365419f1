//! Lua 5.1 behind safe types: a state with a memory limit, and the stack that functions work on.
//!
//! Lua reports errors by `longjmp`, which runs no destructors. So that none ever jumps over a Rust
//! frame that owns something, four rules hold here:
//!
//! * [`Stack`] offers no operation that can call Lua code except [`Stack::call`], which catches
//!   errors. Tables are read and written raw, without metamethods.
//! * While Rust code runs, no allocation of Lua's fails, whatever the limit says; a state that is
//!   above it fails at its next allocation on its own account.
//! * No object has a finalizer: the sandbox hands out no userdata whose metatable can be changed.
//! * A [`Function`] raises by returning; the jump starts in [`enter`], after all of it is dropped.
//!
//! A panic in a function is kept, shown to Lua as an error, and goes on when [`State::run`] ends.

mod stack;

pub use stack::{Kind, Place, Raise, Stack};

use crate::scripting::host::Host;
use mlua_sys as ffi;
use std::alloc::{Layout, alloc, dealloc, realloc};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;

/// A function that Lua code calls: it finds its arguments on the stack and returns how many of the
/// topmost values are its results.
pub type Function = fn(&mut Stack<'_>) -> Result<i32, Raise>;

/// Instructions between two calls of [`Host::interrupt`]: about a millisecond.
const INTERRUPT_INSTRUCTIONS: c_int = 100_000;

/// What a state's functions and its allocator share.
struct Shared {
    used_bytes: Cell<usize>,
    limit_bytes: Cell<usize>,
    /// Whether Rust code runs, for which no allocation fails.
    exempt: Cell<bool>,
    /// Whom functions reach while a script runs.
    host: Cell<Option<NonNull<dyn Host>>>,
    /// Whether the hook stops each line, since the script was told to end.
    stopping: Cell<bool>,
    panic: RefCell<Option<Box<dyn Any + Send>>>,
}

/// One Lua state.
pub struct State {
    lua: NonNull<ffi::lua_State>,
    shared: NonNull<Shared>,
}

// SAFETY: a state is not bound to a thread; whoever owns it is the only one to use it.
unsafe impl Send for State {}

impl State {
    /// A state with the base, table, string and math libraries, which may use `limit_bytes`.
    ///
    /// # Panics
    /// When there is no memory for it at all.
    pub fn new(limit_bytes: usize) -> Self {
        let shared = Box::new(Shared {
            used_bytes: Cell::new(0),
            limit_bytes: Cell::new(limit_bytes),
            exempt: Cell::new(true),
            host: Cell::new(None),
            stopping: Cell::new(false),
            panic: RefCell::new(None),
        });
        let shared = NonNull::from(Box::leak(shared));
        // SAFETY: `allocate` keeps the allocator's contract, `shared` lives as long as the state.
        let lua = unsafe { ffi::lua_newstate(allocate, shared.as_ptr().cast()) };
        let lua = NonNull::new(lua).expect("memory for a Lua state");
        let mut state = Self { lua, shared };
        state.with(|stack| {
            for open in
                [ffi::luaopen_base, ffi::luaopen_table, ffi::luaopen_string, ffi::luaopen_math]
            {
                stack.open_library(open);
            }
        });
        // SAFETY: the state is alive; the hook takes nothing but the state.
        unsafe {
            let mask = ffi::LUA_MASKCOUNT;
            ffi::lua_sethook(lua.as_ptr(), Some(interrupt), mask, INTERRUPT_INSTRUCTIONS);
        }
        state
    }

    fn shared(&self) -> &Shared {
        // SAFETY: made by `new`, freed by `drop`; its fields are cells.
        unsafe { self.shared.as_ref() }
    }

    /// The bytes it uses.
    pub fn used_bytes(&self) -> usize {
        self.shared().used_bytes.get()
    }

    /// Sets the number of bytes it may use.
    pub fn set_limit(&mut self, limit_bytes: usize) {
        self.shared().limit_bytes.set(limit_bytes);
    }

    /// Works on the stack, without a script.
    pub fn with<T>(&mut self, body: impl FnOnce(&mut Stack<'_>) -> T) -> T {
        let mut stack = Stack { lua: self.lua.as_ptr(), granted: 0, life: PhantomData };
        let top = stack.top();
        let result = body(&mut stack);
        stack.set_top(top);
        result
    }

    /// Works on the stack; what runs there reaches `host`.
    pub fn run<T>(&mut self, host: &mut dyn Host, body: impl FnOnce(&mut Stack<'_>) -> T) -> T {
        // SAFETY: only the lifetime changes; the pointer is taken away before `host` ends.
        let erased: &mut (dyn Host + 'static) = unsafe { std::mem::transmute(host) };
        self.shared().host.set(Some(NonNull::from(erased)));
        // The pointer goes however the body ends.
        struct Withdraw<'s>(&'s Cell<Option<NonNull<dyn Host>>>);
        impl Drop for Withdraw<'_> {
            fn drop(&mut self) {
                self.0.set(None);
            }
        }
        let shared = self.shared;
        // SAFETY: as in `shared`, without borrowing `self`.
        let withdraw = Withdraw(unsafe { &shared.as_ref().host });
        let result = self.with(body);
        drop(withdraw);
        if self.shared().stopping.replace(false) {
            // SAFETY: the state is alive; the hook takes nothing but the state.
            unsafe {
                let (mask, count) = (ffi::LUA_MASKCOUNT, INTERRUPT_INSTRUCTIONS);
                ffi::lua_sethook(self.lua.as_ptr(), Some(interrupt), mask, count);
            }
        }
        let panic = self.shared().panic.borrow_mut().take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
        result
    }

    /// Frees some garbage.
    pub fn collect_some(&mut self, steps: i32) {
        // SAFETY: the state is alive; no finalizer runs, as the module says.
        unsafe { ffi::lua_gc(self.lua.as_ptr(), ffi::LUA_GCSTEP, steps) };
    }

    /// Frees all garbage.
    pub fn collect_all(&mut self) {
        // SAFETY: as in `collect_some`.
        unsafe { ffi::lua_gc(self.lua.as_ptr(), ffi::LUA_GCCOLLECT, 0) };
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // SAFETY: this is the last use of the state, and then of what its allocator uses.
        unsafe {
            ffi::lua_close(self.lua.as_ptr());
            drop(Box::from_raw(self.shared.as_ptr()));
        }
    }
}

/// What the functions of a state share, found through its allocator.
fn shared_of<'s>(lua: *mut ffi::lua_State) -> &'s Shared {
    let mut shared = std::ptr::null_mut();
    // SAFETY: every state here was made by `State::new` with a `Shared` that outlives it; coroutines
    // have their state's allocator.
    unsafe {
        ffi::lua_getallocf(lua, &raw mut shared);
        &*shared.cast::<Shared>()
    }
}

/// Runs a [`Function`], which is the first upvalue; the last Rust frame before Lua's jump.
unsafe extern "C-unwind" fn enter(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: `Stack::push_function` put the function there, and nobody else uses `enter`.
    let function: Function =
        unsafe { std::mem::transmute(ffi::lua_touserdata(lua, ffi::lua_upvalueindex(1))) };
    let shared = shared_of(lua);
    shared.exempt.set(true);
    let mut stack = Stack::of_running(lua);
    let result = match catch_unwind(AssertUnwindSafe(|| function(&mut stack))) {
        Ok(result) => result.ok(),
        Err(panic) => {
            *shared.panic.borrow_mut() = Some(panic);
            stack.set_top(0);
            stack.push_bytes(b"internal error");
            None
        }
    };
    shared.exempt.set(false);
    match result {
        Some(stack::FORWARD) => {
            // SAFETY: only `Stack::guard` makes functions that forward, with what they guard as the
            // second upvalue; this frame owns nothing that an error of it could jump over.
            unsafe {
                let guarded = ffi::lua_touserdata(lua, ffi::lua_upvalueindex(2));
                let guarded: ffi::lua_CFunction = std::mem::transmute(guarded);
                guarded(lua)
            }
        }
        Some(results) => results,
        // SAFETY: the value to raise is on top, and this frame owns nothing.
        None => unsafe { ffi::lua_error(lua) },
    }
}

/// Asks the host from time to time whether the script may go on.
unsafe extern "C-unwind" fn interrupt(lua: *mut ffi::lua_State, _: *mut ffi::lua_Debug) {
    let shared = shared_of(lua);
    shared.exempt.set(true);
    let mut stack = Stack::of_running(lua);
    let stop = match catch_unwind(AssertUnwindSafe(|| stack.interrupt())) {
        Ok(stop) => stop,
        Err(panic) => {
            *shared.panic.borrow_mut() = Some(panic);
            stack.push_bytes(b"internal error");
            true
        }
    };
    shared.exempt.set(false);
    if stop {
        // At every line from now on, so that a script cannot go on by catching the error.
        shared.stopping.set(true);
        // SAFETY: the state is alive, the value to raise is on top, this frame owns nothing.
        unsafe {
            ffi::lua_sethook(lua, Some(interrupt), ffi::LUA_MASKLINE, 0);
            ffi::lua_error(lua)
        }
    }
}

/// Lua's allocator: counts, and refuses what is above the limit.
unsafe extern "C" fn allocate(
    shared: *mut c_void,
    old: *mut c_void,
    old_bytes: usize,
    bytes: usize,
) -> *mut c_void {
    const ALIGN: usize = 16;
    // SAFETY: `State::new` gave this pointer.
    let shared = unsafe { &*shared.cast::<Shared>() };
    let used = shared.used_bytes.get();
    // Lua names the size of what it gives back, so this cannot wrap.
    let after = (used - old_bytes).saturating_add(bytes);
    if bytes > old_bytes && !shared.exempt.get() && after > shared.limit_bytes.get() {
        return std::ptr::null_mut();
    }
    let Ok(layout) = Layout::from_size_align(bytes, ALIGN) else { return std::ptr::null_mut() };
    // SAFETY: blocks come from here with the size that Lua names again, and sizes are above zero in
    // each call that needs it.
    let new = unsafe {
        let old_layout = Layout::from_size_align_unchecked(old_bytes, ALIGN);
        if bytes == 0 {
            if old_bytes > 0 {
                dealloc(old.cast(), old_layout);
            }
            std::ptr::null_mut()
        } else if old_bytes == 0 {
            alloc(layout)
        } else {
            realloc(old.cast(), old_layout, bytes)
        }
    };
    if bytes == 0 || !new.is_null() {
        shared.used_bytes.set(after);
    }
    new.cast()
}
