//! CLIENT TRACKING, CACHING, TRACKINGINFO, GETREDIR: client-side caching.

use crate::commands::connection::quoting;
use crate::dispatch::call::{Call, CommandResult};
use crate::keyspace::tracking::Mode;
use larder_protocol::{CommandError, Reply, number};
use std::sync::Arc;

/// What CLIENT TRACKING asks for.
#[derive(Default)]
struct Options<'a> {
    mode: Mode,
    redirect: u64,
    prefixes: Vec<&'a [u8]>,
}

/// CLIENT TRACKING ON | OFF [REDIRECT client-id] [PREFIX prefix [PREFIX prefix ...]] [BCAST] [OPTIN]
/// [OPTOUT] [NOLOOP]
pub fn tracking<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let options = parse(call)?;
    let client = Arc::clone(&call.session.client);
    let tracking = &call.node.tracking;
    let on = call.args.at(2);
    if on.eq_ignore_ascii_case(b"on") {
        check(call, &options)?;
        tracking.enable(&client, options.mode, options.redirect, &options.prefixes);
    } else if on.eq_ignore_ascii_case(b"off") {
        tracking.disable(&client);
        call.session.caching.is_said = false;
    } else {
        return Err(CommandError::SYNTAX);
    }
    call.node.count_subscriptions(&client);
    let mode = client.tracker.mode();
    call.session.caching.tracks = mode.has(Mode::ON) && !mode.has(Mode::BCAST);
    Ok(Reply::Ok)
}

fn parse<'a>(call: &Call<'a>) -> Result<Options<'a>, CommandError> {
    let mut options = Options::default();
    let mut reader = call.args.reader(3);
    while reader.has_next() {
        let (word, is_last) = (reader.next(), !reader.has_next());
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        let mode = match () {
            () if is("bcast") => Mode::BCAST,
            () if is("optin") => Mode::OPTIN,
            () if is("optout") => Mode::OPTOUT,
            () if is("noloop") => Mode::NOLOOP,
            () if is("redirect") && !is_last => {
                if options.redirect != 0 {
                    return Err(CommandError::TRACKING_SINGLE_REDIRECT);
                }
                let id = number::parse_i64(reader.next()).ok_or(CommandError::NOT_INTEGER)?;
                let target = u64::try_from(id).ok().and_then(|id| call.node.clients.get(id));
                options.redirect = target.ok_or(CommandError::TRACKING_NO_REDIRECT)?.id;
                continue;
            }
            () if is("prefix") && !is_last => {
                options.prefixes.push(reader.next());
                continue;
            }
            () => return Err(CommandError::SYNTAX),
        };
        options.mode = options.mode.and(mode);
    }
    Ok(options)
}

/// Whether the options go together, and with what the client does already.
fn check(call: &Call<'_>, options: &Options<'_>) -> Result<(), CommandError> {
    let (new, old) = (options.mode, call.session.client.tracker.mode());
    if !new.has(Mode::BCAST) && !options.prefixes.is_empty() {
        return Err(CommandError::TRACKING_PREFIX_NEEDS_BCAST);
    }
    if old.has(Mode::ON) && old.has(Mode::BCAST) != new.has(Mode::BCAST) {
        return Err(CommandError::TRACKING_SWITCH_BCAST);
    }
    if new.has(Mode::BCAST) && (new.has(Mode::OPTIN) || new.has(Mode::OPTOUT)) {
        return Err(CommandError::TRACKING_OPT_WITH_BCAST);
    }
    if new.has(Mode::OPTIN) && new.has(Mode::OPTOUT) {
        return Err(CommandError::TRACKING_OPTIN_AND_OPTOUT);
    }
    if (new.has(Mode::OPTIN) && old.has(Mode::OPTOUT))
        || (new.has(Mode::OPTOUT) && old.has(Mode::OPTIN))
    {
        return Err(CommandError::TRACKING_SWITCH_OPT);
    }
    check_prefixes(call, &options.prefixes)
}

/// Whether no key has two of the client's prefixes.
fn check_prefixes(call: &Call<'_>, prefixes: &[&[u8]]) -> Result<(), CommandError> {
    let overlap = |one: &[u8], other: &[u8]| one.starts_with(other) || other.starts_with(one);
    let own = call.session.client.tracker.prefixes.lock();
    // In order, so that those which overlap stand side by side.
    let mut sorted: Vec<&[u8]> = prefixes.to_vec();
    sorted.sort_unstable();
    let conflict = prefixes.iter().find_map(|prefix| {
        let existing = own.iter().find(|existing| overlap(prefix, existing))?;
        Some((*prefix, "an existing prefix", existing.to_vec()))
    });
    let within = || {
        let pair = sorted.windows(2).find(|pair| pair[1].starts_with(pair[0]))?;
        // As they were given.
        let place = |wanted| prefixes.iter().position(|prefix| *prefix == wanted);
        let [first, second] =
            if place(pair[0]) <= place(pair[1]) { [pair[0], pair[1]] } else { [pair[1], pair[0]] };
        Some((first, "another provided prefix", second.to_vec()))
    };
    let Some((prefix, what, other)) = conflict.or_else(within) else { return Ok(()) };
    let before = quoting("Prefix '", prefix, &format!("' overlaps with {what} '"));
    let after = b"'. Prefixes for a single client must not overlap.";
    Err(CommandError::custom([before.as_bytes(), &other, after].concat()))
}

/// CLIENT CACHING YES | NO
pub fn caching<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let mode = call.session.client.tracker.mode();
    if !mode.has(Mode::ON) {
        return Err(CommandError::CACHING_MODE);
    }
    let word = call.args.at(2);
    if word.eq_ignore_ascii_case(b"yes") {
        if !mode.has(Mode::OPTIN) {
            return Err(CommandError::CACHING_YES);
        }
    } else if word.eq_ignore_ascii_case(b"no") {
        if !mode.has(Mode::OPTOUT) {
            return Err(CommandError::CACHING_NO);
        }
    } else {
        return Err(CommandError::SYNTAX);
    }
    call.session.caching.is_said = true;
    Ok(Reply::Ok)
}

/// CLIENT GETREDIR
pub fn getredir<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(Reply::Int(call.session.client.tracker.redirect()))
}

/// CLIENT TRACKINGINFO
pub fn trackinginfo<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let tracker = &call.session.client.tracker;
    let (mode, is_said) = (tracker.mode(), call.session.caching.is_said);
    let flags = [
        (mode.has(Mode::ON), "on"),
        (!mode.has(Mode::ON), "off"),
        (mode.has(Mode::BCAST), "bcast"),
        (mode.has(Mode::OPTIN), "optin"),
        (mode.has(Mode::OPTIN) && is_said, "caching-yes"),
        (mode.has(Mode::OPTOUT), "optout"),
        (mode.has(Mode::OPTOUT) && is_said, "caching-no"),
        (mode.has(Mode::NOLOOP), "noloop"),
        (mode.has(Mode::BROKEN), "broken_redirect"),
    ];
    let set = flags.into_iter().filter(|(is_set, _)| *is_set);
    let prefixes = tracker.prefixes.lock().iter().map(|prefix| prefix.to_vec()).collect::<Vec<_>>();
    Ok(Reply::map([
        ("flags", Reply::Set(set.map(|(_, name)| name.into()).collect())),
        ("redirect", Reply::Int(tracker.redirect())),
        ("prefixes", Reply::array(prefixes)),
    ]))
}
