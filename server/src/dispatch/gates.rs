//! The gates between a command and its handler, in Redis's order. Each is one function.

use super::Executor;
use crate::acl::{self, check::Context};
use crate::commands::Command;
use crate::commands::row::Flags;
use crate::config::Settings;
use crate::keyspace::access::Access;
use crate::node::pause::Reason;
use crate::node::shared::Shared;
use crate::session::Session;
use larder_protocol::{Args, CommandError, Version};

/// Stands for the reply of a command that has to be given again; no connection is sent it. No error
/// that a script makes up has a line end, so none is taken for it.
pub(super) const HELD_BACK: CommandError =
    CommandError::from_static("READONLY Writes wait for a new primary or the end.\n");

/// Whether a command waits while writes do.
#[inline]
pub(super) fn waits(flags: Flags) -> bool {
    flags.has(Flags::WRITE) || flags.has(Flags::MAY_REPLICATE)
}

/// Whether a command that holds its shards has to let them go and wait: since it passed the gates
/// writes wait for a handover, or for the end of the node, whose last snapshot may be cut by now.
pub(super) fn is_held_back(node: &Shared, flags: Flags, session: &Session) -> bool {
    let is_held = || node.role.holds_writes() || node.pause.is_held(Reason::Shutdown);
    waits(flags) && !session.applies && is_held()
}

/// Why a command does not run now.
pub(super) enum Refusal {
    /// Its reply is this error.
    Error(CommandError),
    /// It waits for the end of CLIENT PAUSE.
    Postpone,
}

impl From<CommandError> for Refusal {
    fn from(error: CommandError) -> Self {
        Self::Error(error)
    }
}

#[inline]
pub(super) fn check(
    executor: &mut Executor,
    session: &mut Session,
    command: &'static Command,
    args: Args<'_>,
) -> Result<(), Refusal> {
    let checked = check_all(executor, session, command, args);
    if let Err(Refusal::Error(_)) = &checked
        && command.row.flags.has(Flags::EXEC)
    {
        // Who looks on was shown MULTI, and is shown that it is over.
        executor.node.push.monitor_early(&executor.node, session, command.row, args);
    }
    checked
}

#[inline]
fn check_all(
    executor: &mut Executor,
    session: &mut Session,
    command: &'static Command,
    args: Args<'_>,
) -> Result<(), Refusal> {
    arity(command, args)?;
    protection(executor, session, command)?;
    let is_open = session.identity.is_open(&executor.node.acl.users);
    if !is_open {
        authentication(executor, session, command)?;
    }
    let mut flags = command.row.flags;
    if command.row.flags_of.is_some() && asks_for_flags(executor, session) {
        flags = command.row.flags_of(&executor.node, args);
    }
    if session.transaction.is_open() {
        flags = transaction(session, flags)?;
    }
    if !is_open {
        permission(executor, session, command, args)?;
    }
    memory(executor, flags)?;
    disk(executor, session, command, flags)?;
    replicas(executor, flags)?;
    role(executor, session, command, flags)?;
    subscription(session, command)?;
    loading(executor, session, flags)?;
    busy(executor, command)?;
    if executor.node.push.monitors.has(&session.client) {
        // No pause holds it back.
        return onlooker(flags).map_err(Refusal::Error);
    }
    pause(executor, flags)
}

/// Keeps a client that looks on from the data set: Redis takes it for a replica.
#[cold]
fn onlooker(flags: Flags) -> Result<(), CommandError> {
    if waits(flags) || flags.has(Flags::READONLY) {
        return Err(CommandError::REPLICA_AT_KEYSPACE);
    }
    Ok(())
}

/// Whether a gate is there that a flag decides about: mostly none is, and to find out what a script
/// says about itself takes a while.
fn asks_for_flags(executor: &Executor, session: &Session) -> bool {
    let (node, settings) = (&executor.node, &executor.settings);
    let limit = settings.maxmemory_bytes;
    session.transaction.is_open()
        || !node.role.is_free_primary()
        || node.pause.is_active()
        || (limit != 0 && node.keyspace.memory().used_bytes() > limit)
        || settings.min_replicas_to_write != 0
        || node.dump.has_failed()
        || node.aof.is_troubled()
        || node.loading.is_active()
}

/// Keeps out of MULTI what cannot stand in it; gives the flags that count: EXEC's are those of the
/// queue, and whatever is queued takes memory.
#[cold]
fn transaction(session: &Session, flags: Flags) -> Result<Flags, CommandError> {
    if flags.has(Flags::NO_MULTI) {
        return Err(CommandError::NOT_IN_TRANSACTION);
    }
    Ok(if flags.has(Flags::EXEC) {
        flags.and(session.transaction.flags())
    } else if flags.has(Flags::ENDS_MULTI) {
        flags
    } else {
        flags.and(Flags::DENYOOM)
    })
}

#[inline]
fn arity(command: &Command, args: Args<'_>) -> Result<(), CommandError> {
    if command.row.accepts(args.len()) {
        Ok(())
    } else {
        Err(CommandError::wrong_arity(command.full_name))
    }
}

/// Keeps DEBUG and the modules to those whom `enable-debug-command` and `enable-module-command` let use
/// them.
#[inline]
fn protection(
    executor: &Executor,
    session: &Session,
    command: &Command,
) -> Result<(), CommandError> {
    if !command.row.flags.has(Flags::PROTECTED) {
        return Ok(());
    }
    let settings = &executor.settings;
    let (action, refusal) = if command.container.is_some() {
        (settings.enable_module_command, CommandError::MODULE_NOT_ALLOWED)
    } else {
        (settings.enable_debug_command, CommandError::DEBUG_NOT_ALLOWED)
    };
    if action.allowed(session.client.peer.is_local()) { Ok(()) } else { Err(refusal) }
}

fn authentication(
    executor: &Executor,
    session: &mut Session,
    command: &Command,
) -> Result<(), CommandError> {
    acl::check::refresh(&executor.node, session);
    if session.identity.is_stranger() && !command.row.flags.has(Flags::NO_AUTH) {
        return Err(CommandError::NO_AUTH);
    }
    Ok(())
}

/// Whether the session's user may call the command with these keys and channels.
fn permission(
    executor: &Executor,
    session: &mut Session,
    command: &'static Command,
    args: Args<'_>,
) -> Result<(), CommandError> {
    let now_ms = executor.now_ms();
    acl::check::admit(&executor.node, session, command, args, Context::of, now_ms)
        .map_err(|denial| denial.refusal())
}

/// Keeps others waiting, but not in silence, while a script runs for too long.
#[inline]
fn busy(executor: &Executor, command: &Command) -> Result<(), CommandError> {
    let slow = &executor.node.scripts.slow;
    if !slow.any() || command.row.flags.has(Flags::ALLOW_BUSY) {
        return Ok(());
    }
    slow.error().map_or(Ok(()), Err)
}

/// Makes room for the command, and refuses one that needs memory when there is none.
#[inline]
fn memory(executor: &mut Executor, flags: Flags) -> Result<(), CommandError> {
    let limit = executor.settings.maxmemory_bytes;
    if limit == 0 {
        return Ok(());
    }
    executor.meter.is_short_of_memory = false;
    if executor.node.keyspace.memory().used_bytes() <= limit {
        return Ok(());
    }
    // To make room would wait for the shards that a slow script holds.
    if executor.leaves_eviction() || executor.node.scripts.slow.any() {
        return Ok(());
    }
    // Scripts ask about it later, when the command has taken memory itself.
    executor.meter.is_short_of_memory = !executor.make_room();
    if executor.meter.is_short_of_memory && flags.has(Flags::DENYOOM) {
        return Err(CommandError::OOM);
    }
    Ok(())
}

/// Refuses writes while too few replicas keep up.
#[inline]
fn replicas(executor: &Executor, flags: Flags) -> Result<(), CommandError> {
    if executor.settings.min_replicas_to_write == 0 || !flags.has(Flags::WRITE) {
        return Ok(());
    }
    if executor.node.has_enough_replicas(&executor.settings) {
        return Ok(());
    }
    Err(CommandError::NO_REPLICAS)
}

/// Refuses writes while the dump file or the append-only file cannot be written; PING tells of it too.
/// While too much is not written yet, what may write waits; in-process callers have done so.
#[inline]
fn disk(
    executor: &Executor,
    session: &Session,
    command: &Command,
    flags: Flags,
) -> Result<(), Refusal> {
    let node = &executor.node;
    if !(node.dump.has_failed() || node.aof.is_troubled()) || session.applies {
        return Ok(());
    }
    let writes = flags.has(Flags::WRITE);
    if writes || command.full_name == "ping" {
        if node.dump.denies_writes(&executor.settings) {
            return Err(CommandError::MISCONF_SNAPSHOT.into());
        }
        if let Some(error) = node.aof.refusal() {
            return Err(error.into());
        }
    }
    // A script that writes nothing, or finds its writes refused, need not wait for a disk that is full.
    let has_to_wait = node.aof.is_congested() && node.aof.is_well();
    if has_to_wait && waits(flags) && session.may_block {
        return Err(Refusal::Postpone);
    }
    Ok(())
}

/// Keeps out what needs the data set while it is being loaded.
#[inline]
fn loading(executor: &Executor, session: &Session, flags: Flags) -> Result<(), CommandError> {
    if !executor.node.loading.is_active() {
        return Ok(());
    }
    let is_exec = flags.has(Flags::EXEC) && session.transaction.is_open();
    if flags.has(Flags::LOADING) && (!is_exec || session.transaction.all_have(Flags::LOADING)) {
        return Ok(());
    }
    Err(CommandError::LOADING)
}

/// Keeps a replica's clients from what is its primary's, or not fit to be seen.
#[inline]
fn role(
    executor: &Executor,
    session: &Session,
    command: &Command,
    flags: Flags,
) -> Result<(), Refusal> {
    if executor.node.role.is_free_primary() {
        return Ok(());
    }
    member(executor, session, command, flags)?;
    if executor.node.role.is_replica() {
        replica(executor, session, command, flags)?;
    }
    Ok(())
}

/// What a group's member does not do without the lease, and what waits for a handover.
#[cold]
fn member(
    executor: &Executor,
    session: &Session,
    command: &Command,
    flags: Flags,
) -> Result<(), Refusal> {
    let node = &executor.node;
    let Some(member) = node.member().filter(|_| !session.applies) else { return Ok(()) };
    let waits = waits(flags) || command.full_name == "multi";
    if waits && (node.role.holds_writes() || member.relays(node, session)) {
        return Err(Refusal::Postpone);
    }
    if node.role.is_replica() || member.is_in_charge(node) {
        return Ok(());
    }
    if flags.has(Flags::WRITE) {
        return Err(CommandError::READ_ONLY.into());
    }
    if !flags.has(Flags::STALE) && !executor.settings.replica_serve_stale_data {
        return Err(CommandError::MASTER_DOWN.into());
    }
    Ok(())
}

#[cold]
fn replica(
    executor: &Executor,
    session: &Session,
    command: &Command,
    flags: Flags,
) -> Result<(), CommandError> {
    let (role, settings) = (&executor.node.role, &executor.settings);
    if flags.has(Flags::WRITE) && settings.replica_read_only {
        return Err(CommandError::READ_ONLY);
    }
    subscription(session, command)?;
    // EXEC is as stale as the queue is.
    let is_exec = flags.has(Flags::EXEC) && session.transaction.is_open();
    let has_stale =
        flags.has(Flags::STALE) && (!is_exec || session.transaction.all_have(Flags::STALE));
    if !has_stale && !settings.replica_serve_stale_data && role.is_stale() {
        return Err(CommandError::MASTER_DOWN);
    }
    // A data set is loaded beside this one, which no command disturbs: none waits for that.
    Ok(())
}

/// What a pause and the role ask of a command that holds its shards: nothing expires, and what was
/// let in before this node became a replica does not write any more.
///
/// # Errors
/// The refusal of a write.
#[cold]
pub(super) fn within(
    node: &Shared,
    settings: &Settings,
    flags: Flags,
    db: &mut Access<'_>,
) -> Result<(), CommandError> {
    let is_paused = node.pause.blocks(true, db.now_ms());
    if node.role.is_replica() {
        let writes = flags.has(Flags::WRITE);
        if writes && settings.replica_read_only {
            return Err(CommandError::READ_ONLY);
        }
        // Where clients may write, what is due goes when they do, as in Redis.
        if !writes {
            db.keep_due();
        }
    }
    // What may write was let in before the pause: it takes what is due away, and tells so, before it
    // puts something else in its place.
    if is_paused && !waits(flags) {
        db.keep_due();
    }
    Ok(())
}

/// Keeps a subscriber in RESP2, which could not tell a reply from a message, to a few commands.
#[inline]
fn subscription(session: &Session, command: &Command) -> Result<(), CommandError> {
    if !session.is_subscriber || session.version == Version::Resp3 {
        return Ok(());
    }
    const ALLOWED: [&str; 9] = [
        "subscribe",
        "psubscribe",
        "ssubscribe",
        "unsubscribe",
        "punsubscribe",
        "sunsubscribe",
        "ping",
        "quit",
        "reset",
    ];
    if ALLOWED.contains(&command.full_name) {
        return Ok(());
    }
    Err(CommandError::subscriber_mode(command.full_name))
}

#[inline]
fn pause(executor: &Executor, flags: Flags) -> Result<(), Refusal> {
    let pause = &executor.node.pause;
    if !pause.is_active() {
        return Ok(());
    }
    let writes = flags.has(Flags::WRITE) || flags.has(Flags::MAY_REPLICATE);
    // A pause of all commands holds CLIENT UNPAUSE back as well, as in Redis: it ends by itself.
    if pause.blocks(writes, executor.now_ms()) {
        return Err(Refusal::Postpone);
    }
    Ok(())
}

/// Whether the request is a line of an HTTP request that a browser was tricked into sending.
#[cold]
pub(super) fn is_web_request(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}
