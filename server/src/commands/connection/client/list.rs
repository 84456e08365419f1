//! CLIENT LIST and CLIENT INFO: a line per connection, read by people and parsed by tools.
//!
//! A line is made from what the connection's task last noted in its [`Client`]. About the caller
//! that is one command old, so its own line is brought up to date first.

use super::{Kind, unknown_type};
use crate::commands;
use crate::dispatch::call::{Call, CommandResult};
use crate::keyspace::tracking::Mode;
use crate::node::clients::{Client, Peer};
use crate::push::channels::Kind as Subscribed;
use larder_protocol::{Args, CommandError, Reply, number};
use std::sync::atomic::{AtomicUsize, Ordering};

/// CLIENT INFO
pub fn info<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let mut text = String::new();
    push_line(&mut text, call, &call.session.client);
    Ok(Reply::text(text))
}

/// CLIENT LIST [TYPE kind | ID client-id [client-id ...]]
pub fn list<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let args = call.args;
    let option = args.at(2);
    let mut text = String::new();
    match args.len() {
        2 => push_all(&mut text, call, None),
        4 if option.eq_ignore_ascii_case(b"type") => {
            let word = args.at(3);
            push_all(&mut text, call, Some(Kind::named(word).ok_or_else(|| unknown_type(word))?));
        }
        4.. if option.eq_ignore_ascii_case(b"id") => {
            for word in args.iter().skip(3) {
                let id = number::parse_i64(word).ok_or(CommandError::INVALID_CLIENT_ID)?;
                let client = u64::try_from(id).ok().and_then(|id| call.node.clients.get(id));
                if let Some(client) = client {
                    push_line(&mut text, call, &client);
                }
            }
        }
        _ => return Err(CommandError::SYNTAX),
    }
    Ok(Reply::text(text))
}

fn push_all(text: &mut String, call: &Call<'_>, kind: Option<Kind>) {
    for client in call.node.clients.all() {
        if kind.is_none_or(|kind| kind.holds(&client)) {
            push_line(text, call, &client);
        }
    }
}

fn push_line(text: &mut String, call: &Call<'_>, client: &Client) {
    let is_own = client.id == call.session.client.id;
    let row = |command: &&&commands::Command| std::ptr::eq(command.row, call.row);
    let command = commands::all().iter().find(row).copied();
    let own = command.filter(|_| is_own).map(|command| (command, call.args));
    text.push_str(&line(client, call.now_ms(), own));
    text.push('\n');
}

/// What CLIENT LIST shows of a client; `own` is the command that it runs now, where the caller knows
/// it: the client's own picture of itself is one command old.
pub fn line(
    client: &Client,
    now_ms: i64,
    own: Option<(&'static commands::Command, Args<'_>)>,
) -> String {
    let read = |number: &AtomicUsize| number.load(Ordering::Relaxed);
    let mut active_ms = client.last_active_ms.load(Ordering::Relaxed);
    let mut query_bytes = read(&client.query_bytes);
    let mut arg_bytes = read(&client.arg_bytes);
    let mut command = match client.last_command.load(Ordering::Relaxed).checked_sub(1) {
        Some(index) => commands::all().get(index as usize).map(|command| command.full_name),
        None => None,
    };
    let mut total_bytes = client.total_bytes();
    if let Some((own, args)) = own {
        active_ms = now_ms;
        arg_bytes = args.iter().map(<[u8]>::len).sum();
        total_bytes += arg_bytes;
        // The request that runs is still in the buffer it came in.
        query_bytes = query_bytes.max(request_bytes(args));
        command = Some(own.full_name);
    }
    let output_bytes = client.waiting_bytes();
    let segments = usize::from(read(&client.output_bytes) > 0) + client.mailbox.len();
    let subscriptions = |kind| client.subscriptions.lock().of(kind).len();
    let capacity_bytes = read(&client.query_capacity_bytes).max(query_bytes);
    let texts = client.texts.lock().clone();
    let user = client.user.lock().clone();
    let user = user.as_ref().map_or(&b"(superuser)"[..], |user| user.name());
    let seconds_since = |then_ms: i64| now_ms.div_euclid(1000) - then_ms.div_euclid(1000);
    format!(
        "id={id} addr={addr} laddr={laddr} fd={fd} name={name} age={age} idle={idle} \
         flags={flags} db={db} sub={sub} psub={psub} ssub={ssub} multi={queued} qbuf={query_bytes} \
         qbuf-free={free_bytes} argv-mem={arg_bytes} multi-mem={transaction_bytes} rbs=0 rbp=0 obl=0 oll={segments} \
         omem={output_bytes} tot-mem={total_bytes} events={events} cmd={cmd} user={user} redir={redir} \
         resp={resp} lib-name={lib_name} lib-ver={lib_ver}",
        id = client.id,
        addr = client.address(),
        laddr = client.local_address(),
        fd = client.fd,
        name = String::from_utf8_lossy(&texts.name),
        age = seconds_since(client.created_ms),
        idle = seconds_since(active_ms),
        flags = flags(client),
        db = client.db(),
        sub = subscriptions(Subscribed::Channel),
        psub = subscriptions(Subscribed::Pattern),
        ssub = subscriptions(Subscribed::Shard),
        queued = read(&client.queued) as i64 - 1,
        transaction_bytes = read(&client.transaction_bytes),
        free_bytes = capacity_bytes - query_bytes,
        events = if output_bytes > 0 { "rw" } else { "r" },
        cmd = command.unwrap_or("NULL"),
        user = String::from_utf8_lossy(user),
        redir = client.tracker.redirect(),
        resp = client.resp.load(Ordering::Relaxed),
        lib_name = String::from_utf8_lossy(&texts.lib_name),
        lib_ver = String::from_utf8_lossy(&texts.lib_ver),
    )
}

/// Bytes of the request that runs, as an array of bulk strings.
fn request_bytes(args: Args<'_>) -> usize {
    let header_bytes = |count: usize| 3 + count.max(1).ilog10() as usize + 1;
    header_bytes(args.len())
        + args.iter().map(|arg| header_bytes(arg.len()) + arg.len() + 2).sum::<usize>()
}

/// The letters of `flags=`; `N` when there is nothing to say.
fn flags(client: &Client) -> String {
    let mode = client.tracker.mode();
    let letters = [
        (client.is_monitor.load(Ordering::Relaxed), 'O'),
        (client.is_primary.load(Ordering::Relaxed), 'M'),
        (client.is_replica.load(Ordering::Relaxed), 'S'),
        (client.is_subscriber.load(Ordering::Relaxed), 'P'),
        (client.queued.load(Ordering::Relaxed) > 0, 'x'),
        (client.blocked.load(Ordering::Relaxed), 'b'),
        (mode.has(Mode::ON), 't'),
        (mode.has(Mode::BROKEN), 'R'),
        (mode.has(Mode::BCAST), 'B'),
        (client.is_touched(), 'd'),
        (client.is_killed(), 'A'),
        (matches!(client.peer, Peer::Unix(_)), 'U'),
        (client.is_spared(), 'e'),
        (client.no_touch.load(Ordering::Relaxed), 'T'),
    ];
    let flags: String = letters.iter().filter(|(set, _)| *set).map(|(_, letter)| letter).collect();
    if flags.is_empty() { "N".to_owned() } else { flags }
}
