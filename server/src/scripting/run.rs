//! One run of a script or function: what it may call, and what stops it.

use super::busy::{KILLED, SlowScript};
use super::functions::Registration;
use super::host::Host;
use super::script::ScriptFlags;
use crate::acl::check::{self, Context};
use crate::commands::Command;
use crate::commands::row::Flags;
use crate::dispatch::call::Call;
use crate::dispatch::nested::{self, Uncovered};
use crate::node::stuck::{self, Stuck};
use crate::session::Session;
use larder_protocol::{Args, CommandError, Reply, Version};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The error with which a run ends that has to begin anew; nobody sees it.
const BEGIN_ANEW: &str = "ERR the script begins anew";

/// What a script is and how it was called.
#[derive(Clone, Copy)]
pub(super) struct Subject<'s> {
    /// Its digest, or the function's name.
    pub(super) name: &'s str,
    /// What it says about itself.
    pub(super) flags: ScriptFlags,
    /// Whether it was called as one that only reads.
    pub(super) read_only: bool,
    /// Whether it is a script given to EVAL.
    pub(super) is_eval: bool,
}

/// A run, as the functions that it calls see it.
pub(super) struct Run<'r, 'a> {
    call: &'r mut Call<'a>,
    subject: Subject<'r>,
    session: Session,
    read_only: bool,
    /// Whether memory was above its limit when it began, and that matters to it.
    is_short_of_memory: bool,
    has_written: bool,
    begins_anew: bool,
    /// When it was first seen to take long, in nanoseconds of the node's monotonic clock.
    seen_nanos: Option<u64>,
    slow: Option<Arc<SlowScript>>,
    stuck: Option<Stuck>,
    answered_nanos: u64,
}

/// Whether the node is a replica that lost its primary and may not serve stale data.
fn is_stale(call: &Call<'_>) -> bool {
    !call.settings.replica_serve_stale_data && call.node.role.is_stale()
}

/// Refuses a script that may write, as far as writes are refused now. Mostly a gate did before; what
/// changed since, or was not known of the script then, is met here.
fn refuse_writer(call: &Call<'_>, read_only: bool) -> Result<(), CommandError> {
    let (node, settings) = (call.node, call.settings);
    let applies = call.session.applies;
    if !applies && node.role.is_replica() && settings.replica_read_only {
        return Err(CommandError::SCRIPT_ON_REPLICA);
    }
    if !applies && node.dump.denies_writes(settings) {
        return Err(CommandError::SCRIPT_MISCONF_SNAPSHOT);
    }
    if !applies && let Some(reason) = node.aof.failure() {
        return Err(CommandError::script_misconf_aof(&reason));
    }
    if read_only {
        return Err(CommandError::SCRIPT_WRITES_IN_RO);
    }
    if !applies && settings.min_replicas_to_write > 0 && !node.has_enough_replicas(settings) {
        return Err(CommandError::NO_REPLICAS);
    }
    Ok(())
}

impl<'r, 'a> Run<'r, 'a> {
    /// Prepares a run.
    ///
    /// # Errors
    /// What the script says about itself does not agree with how it was called, or with the node's
    /// state.
    pub(super) fn new(call: &'r mut Call<'a>, subject: Subject<'r>) -> Result<Self, CommandError> {
        let Subject { flags, read_only, .. } = subject;
        let stated = !flags.has(ScriptFlags::UNSTATED);
        let writes_nothing = stated && flags.has(ScriptFlags::NO_WRITES);
        let allows_oom = stated && flags.has(ScriptFlags::ALLOW_OOM);
        let is_short_of_memory = call.is_short_of_memory();
        if is_stale(call) && !flags.has(ScriptFlags::ALLOW_STALE) {
            let stated = stated.then_some(CommandError::SCRIPT_MASTER_DOWN);
            return Err(stated.unwrap_or(CommandError::MASTER_DOWN));
        }
        if stated && !writes_nothing {
            refuse_writer(call, read_only)?;
            if is_short_of_memory && !allows_oom {
                return Err(CommandError::SCRIPT_OOM);
            }
        }
        let session = Session {
            db: call.session.db,
            no_touch: call.session.no_touch,
            may_block: false,
            scripted: true,
            applies: call.session.applies,
            caching: call.session.caching,
            ..Session::new(Arc::clone(&call.session.client), call.session.identity.clone())
        };
        Ok(Self {
            call,
            subject,
            session,
            read_only: read_only || writes_nothing,
            is_short_of_memory: is_short_of_memory && !allows_oom,
            has_written: false,
            begins_anew: false,
            seen_nanos: None,
            slow: None,
            stuck: None,
            answered_nanos: 0,
        })
    }

    /// Whether it came upon keys that it does not hold, before it wrote anything.
    pub(super) fn begins_anew(&self) -> bool {
        self.begins_anew
    }

    /// The time at which it runs, in milliseconds since the Unix epoch.
    pub(super) fn now_ms(&self) -> i64 {
        self.call.now_ms()
    }

    /// The command, if the script may call it.
    fn admit(&mut self, args: Args<'_>) -> Result<&'static Command, CommandError> {
        let node = self.call.node;
        let Ok(command) = nested::find(node, args) else {
            return Err(if args.len() > 1 || node.renames.find(args.at(0)).is_none() {
                CommandError::SCRIPT_UNKNOWN_COMMAND
            } else {
                CommandError::SCRIPT_ARITY
            });
        };
        let flags = command.row.flags;
        if !command.row.accepts(args.len()) {
            return Err(self.refused(command, CommandError::SCRIPT_ARITY));
        }
        if flags.has(Flags::NOSCRIPT) && !node.scripts.allows_all.load(Ordering::Relaxed) {
            return Err(self.refused(command, CommandError::SCRIPT_NOT_ALLOWED));
        }
        if !flags.has(Flags::STALE) && is_stale(self.call) {
            return Err(self.refused(command, CommandError::SCRIPT_ON_STALE));
        }
        if !self.session.identity.is_open(&node.acl.users) {
            self.permit(command, args)?;
        }
        let writes = flags.has(Flags::WRITE);
        if self.read_only && (writes || flags.has(Flags::MAY_REPLICATE)) {
            return Err(self.refused(command, CommandError::SCRIPT_READ_ONLY));
        }
        if writes && let Some(error) = self.refuses_writes() {
            return Err(self.refused(command, error));
        }
        if self.is_short_of_memory && !self.has_written && flags.has(Flags::DENYOOM) {
            return Err(self.refused(command, CommandError::OOM));
        }
        if writes && !self.has_written {
            self.has_written = true;
            if let Some(slow) = &self.slow {
                slow.note_written();
            }
        }
        Ok(command)
    }

    /// Why nothing may be written now, if so: what the gates ask of a command that is no script's.
    fn refuses_writes(&self) -> Option<CommandError> {
        let (node, settings) = (self.call.node, self.call.settings);
        if self.session.applies {
            return None;
        }
        if node.role.is_replica() && settings.replica_read_only {
            return Some(CommandError::READ_ONLY);
        }
        // One that wrote goes on: half of what it does would be worse.
        if self.has_written {
            return None;
        }
        if node.member().is_some_and(|member| !member.is_in_charge(node)) {
            return Some(CommandError::READ_ONLY);
        }
        if node.dump.denies_writes(settings) {
            return Some(CommandError::MISCONF_SNAPSHOT);
        }
        if node.aof.is_troubled()
            && let Some(error) = node.aof.refusal()
        {
            return Some(error);
        }
        let lacks = settings.min_replicas_to_write > 0 && !node.has_enough_replicas(settings);
        lacks.then_some(CommandError::NO_REPLICAS)
    }

    /// Asks whether the user may call the command with these arguments.
    fn permit(&mut self, command: &'static Command, args: Args<'_>) -> Result<(), CommandError> {
        let (node, outer_args) = (self.call.node, self.call.args);
        let context = |session: &Session| {
            Context::in_script(session, nested::find(node, outer_args).unwrap_or(command))
        };
        let now_ms = self.call.now_ms();
        check::admit(node, &mut self.session, command, args, context, now_ms)
            .map_err(|denial| self.refused(command, denial.in_script()))
    }

    fn refused(&self, command: &'static Command, error: CommandError) -> CommandError {
        self.call.count_rejected(command);
        error
    }

    /// Notes that the script takes long, and whether it was killed since.
    fn look_at_clock(&mut self) -> bool {
        let node = self.call.node;
        let threshold_ms = self.call.settings.busy_reply_threshold_ms;
        let now_nanos = node.clock.monotonic_nanos();
        let seen_nanos = *self.seen_nanos.get_or_insert(now_nanos);
        let elapsed_ms = now_nanos.saturating_sub(seen_nanos) / 1_000_000;
        if let Some(slow) = &self.slow {
            let ends = slow.is_killed() || node.shutdown.is_requested();
            if !ends && now_nanos.saturating_sub(self.answered_nanos) > stuck::ANSWER_NANOS {
                self.answered_nanos = now_nanos;
                stuck::answer_clients(node, self.call.session.client.id);
            }
            return ends;
        }
        if threshold_ms == 0 || elapsed_ms < threshold_ms {
            return false;
        }
        let Subject { name, is_eval, .. } = self.subject;
        let kill = if is_eval { "SCRIPT KILL" } else { "FUNCTION KILL" };
        // In Redis's words.
        tracing::warn!(
            "Slow script detected: still in execution after {elapsed_ms} milliseconds. You can try \
             killing the script using the {kill} command. Script name is: {name}."
        );
        let command = self.call.args.iter().map(<[u8]>::to_vec).collect();
        let written = self.has_written;
        let slow = SlowScript::new(name.to_owned(), command, is_eval, seen_nanos, written);
        let slow = Arc::new(slow);
        node.scripts.slow.add(Arc::clone(&slow));
        self.slow = Some(slow);
        self.session.is_slow = true;
        self.stuck = Some(Stuck::begin());
        false
    }
}

impl Host for Run<'_, '_> {
    fn call(&mut self, args: Args<'_>, reply: &mut dyn FnMut(&Reply<'_>)) {
        if self.begins_anew {
            // Where a coroutine came upon the keys, its caller goes on for a while.
            return reply(&Reply::Error(CommandError::from_static(BEGIN_ANEW)));
        }
        let command = match self.admit(args) {
            Ok(command) => command,
            Err(error) => {
                self.call.count_error(&error);
                return reply(&Reply::Error(error));
            }
        };
        let ran = self.call.nested(&mut self.session, command, args, |_, result| reply(&result));
        match ran {
            Ok(()) => {}
            Err(Uncovered::Again) => {
                self.begins_anew = true;
                reply(&Reply::Error(CommandError::from_static(BEGIN_ANEW)));
            }
            Err(Uncovered::Refused) => {
                let error = CommandError::SCRIPT_KEYS_BUSY;
                self.call.count_error(&error);
                reply(&Reply::Error(error));
            }
        }
    }

    fn count_error(&mut self, error: &CommandError) {
        self.call.count_error(error);
    }

    fn stops(&self) -> bool {
        self.begins_anew
    }

    fn interrupt(&mut self) -> Option<&'static str> {
        if self.begins_anew {
            return Some(BEGIN_ANEW);
        }
        self.look_at_clock().then(|| {
            tracing::info!(script = self.subject.name, "a script was killed");
            KILLED
        })
    }

    fn version(&self) -> Version {
        self.session.version
    }

    fn set_version(&mut self, version: Version) {
        self.session.version = version;
    }

    fn set_logged(&mut self, logged: bool) {
        self.call.set_logged(logged);
    }

    fn may_run(&mut self, args: Args<'_>) -> Option<bool> {
        let node = self.call.node;
        let command = nested::find(node, args).ok()?;
        check::refresh(node, &mut self.session);
        let rules = self.session.identity.rules();
        Some(rules.is_none_or(|rules| rules.check(command, args).is_ok()))
    }

    fn loads(&self) -> bool {
        false
    }

    fn register(&mut self, _: Registration) -> Result<(), &'static str> {
        Err("redis.register_function can only be called on FUNCTION LOAD command")
    }
}

impl Drop for Run<'_, '_> {
    fn drop(&mut self) {
        if let Some(slow) = &self.slow {
            self.call.node.scripts.slow.remove(slow);
        }
        // SELECT in a script is the script's own.
        if self.session.db != self.call.session.db {
            let db = self.call.session.db;
            self.call.session.select(db);
        }
        self.call.set_logged(true);
    }
}

/// The run of a library that is loaded.
pub(super) struct Load {
    /// What it registered so far.
    pub(super) functions: Vec<Registration>,
    deadline_nanos: u64,
    clock: crate::clock::Clock,
}

impl Load {
    /// A load that may take `max_ms` from now on.
    pub(super) fn new(clock: &crate::clock::Clock, max_ms: u64) -> Self {
        let deadline_nanos = clock.monotonic_nanos() + max_ms * 1_000_000;
        Self { functions: Vec::new(), deadline_nanos, clock: clock.clone() }
    }
}

impl Host for Load {
    fn call(&mut self, _: Args<'_>, reply: &mut dyn FnMut(&Reply<'_>)) {
        reply(&Reply::Error(CommandError::SCRIPT_NOT_ALLOWED));
    }

    fn count_error(&mut self, _: &CommandError) {}

    fn stops(&self) -> bool {
        false
    }

    fn interrupt(&mut self) -> Option<&'static str> {
        let late = self.clock.monotonic_nanos() > self.deadline_nanos;
        late.then_some("ERR FUNCTION LOAD timeout")
    }

    fn version(&self) -> Version {
        Version::Resp2
    }

    fn set_version(&mut self, _: Version) {}

    fn set_logged(&mut self, _: bool) {}

    fn may_run(&mut self, _: Args<'_>) -> Option<bool> {
        None
    }

    fn loads(&self) -> bool {
        true
    }

    fn register(&mut self, function: Registration) -> Result<(), &'static str> {
        super::functions::register(&mut self.functions, function)
    }
}
