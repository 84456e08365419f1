//! What nodes say to each other, and what clients ask and command about that.
//!
//! ```text
//! replicaof  REPLICAOF SLAVEOF
//! member     REPLCONF between members of a group
//! failover   FAILOVER                here: PSYNC SYNC REPLCONF ROLE WAIT WAITAOF
//! ```

pub mod failover;
mod member;
pub mod replicaof;
pub mod table;

use crate::dispatch::blocking::{Unit, deadline_ms};
use crate::dispatch::call::{Call, CommandResult};
use crate::node::role::Stage;
use crate::replicas::Wanted;
use crate::replicas::acks::{Awaited, Place};
use larder_protocol::number::parse_i64;
use larder_protocol::{CommandError, Reply};

/// A replica's address is no longer.
const ADDRESS_BYTES: usize = 255;

/// PSYNC replicationid offset \[FAILOVER\]
///
/// What follows is not a reply but the life of a replica's link, which takes the connection over.
pub fn psync<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let args = call.args;
    if args.len() > 3 && args.at(3).eq_ignore_ascii_case(b"failover") {
        if let Some(member) = call.node.member() {
            return Err(member.refusal());
        }
        take_over(call)?;
    }
    refuse_sync(call)?;
    let Some(offset) = parse_i64(args.at(2)) else {
        let name = call.session.client.address();
        tracing::warn!("Replica {name} asks for synchronization but with a wrong offset");
        return Err(CommandError::NOT_INTEGER);
    };
    follow(call, Wanted::After { replid: args.at(1).to_vec(), offset })
}

/// SYNC
pub fn sync<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    refuse_sync(call)?;
    follow(call, Wanted::Everything)
}

/// Becomes the primary of the one whose replica this node is, at its wish.
fn take_over(call: &Call<'_>) -> Result<(), CommandError> {
    let node = call.node;
    if !node.role.is_replica() {
        return Err(CommandError::from_static("ERR PSYNC FAILOVER can't be sent to a master."));
    }
    if !node.log.replid().is(call.args.at(1)) {
        return Err(CommandError::from_static("ERR PSYNC FAILOVER replid must match my replid."));
    }
    node.promote();
    tracing::info!(client = call.session.client.id, "MASTER MODE enabled by a failover");
    Ok(())
}

/// Keeps replicas waiting while this node does not know what its own data will be.
fn refuse_sync(call: &Call<'_>) -> Result<(), CommandError> {
    if call.node.failover.is_under_way() {
        return Err(CommandError::from_static("NOMASTERLINK Can't SYNC while failing over"));
    }
    if call.node.role.is_stale() {
        return Err(CommandError::NO_MASTER_LINK);
    }
    if let Some(member) = call.node.member() {
        let replica = call.session.replica.as_ref();
        member.admit_replica(replica.and_then(|replica| replica.announced.card.as_ref()))?;
    }
    Ok(())
}

fn follow<'c>(call: &'c mut Call<'_>, wanted: Wanted) -> CommandResult<'c> {
    let session = &mut *call.session;
    session.replica.get_or_insert_default().wanted = Some(wanted);
    session.closing = true;
    Ok(Reply::None)
}

/// REPLCONF option value [option value ...]
pub fn replconf<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let args = call.args;
    if args.len().is_multiple_of(2) {
        return Err(CommandError::SYNTAX);
    }
    if call.node.member().is_some() && args.get(1).is_some_and(member::is_option) {
        return member::replconf(call);
    }
    let mut reader = args.reader(1);
    while reader.has_next() {
        let (option, value) = (reader.next(), reader.next());
        let is = |word: &str| option.eq_ignore_ascii_case(word.as_bytes());
        // Of a replica or a primary these are heard by its link; of others they say nothing.
        if is("ack") || is("getack") {
            return Ok(Reply::None);
        }
        let announced = &mut call.session.replica.get_or_insert_default().announced;
        if is("listening-port") {
            announced.port = parse_i64(value).ok_or(CommandError::NOT_INTEGER)?;
        } else if is("ip-address") {
            if value.len() > ADDRESS_BYTES {
                return Err(CommandError::custom(format!(
                    "ERR REPLCONF ip-address provided by replica instance is too long: {} bytes",
                    value.len()
                )));
            }
            // It is shown in INFO, whose form it must not break.
            let text = String::from_utf8_lossy(value);
            announced.address = Some(text.replace(|c: char| c.is_control() || c == ',', "_"));
        } else if is("capa") {
            announced.takes_mark |= value.eq_ignore_ascii_case(b"eof");
            announced.takes_new_id |= value.eq_ignore_ascii_case(b"psync2");
        } else if is("rdb-only") {
            announced.only_data = match parse_i64(value) {
                Some(on @ 0..=1) => on == 1,
                Some(_) => return Err(CommandError::out_of_bounds(0, 1)),
                None => return Err(CommandError::NOT_INTEGER),
            };
        } else {
            let before = "ERR Unrecognized REPLCONF option: ";
            return Err(CommandError::quoting(before, option, ""));
        }
    }
    Ok(Reply::Ok)
}

/// ROLE
pub fn role<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let node = call.node;
    let offset = node.log.offset();
    let text = |text: String| Reply::Owned(text.into_bytes());
    if let Some(member) = node.member().filter(|_| speaks_to_sentinel(call)) {
        let group = text(member.group().to_owned());
        return Ok(Reply::Array(vec![
            Reply::Owned(b"sentinel".to_vec()),
            Reply::Array(vec![group]),
        ]));
    }
    if let Some(link) = node.role.link(call.now_ms(), offset) {
        let is_up = link.stage == Stage::Connected;
        return Ok(Reply::Array(vec![
            Reply::Owned(b"slave".to_vec()),
            text(link.primary.host),
            Reply::Int(i64::from(link.primary.port)),
            Reply::Owned(link.stage.name().into()),
            Reply::Int(if is_up { offset as i64 } else { -1 }),
        ]));
    }
    let replicas = node.replicas.all();
    let online = replicas.iter().filter(|replica| replica.is_online()).map(|replica| {
        Reply::Array(vec![
            text(replica.address()),
            text(replica.announced.port.to_string()),
            text(replica.acked().to_string()),
        ])
    });
    let online = Reply::Array(online.collect());
    let offset = Reply::Int(offset as i64);
    Ok(Reply::Array(vec![Reply::Owned(b"master".to_vec()), offset, online]))
}

/// Whether the connection came by the port on which a member of a group is a Sentinel.
fn speaks_to_sentinel(call: &Call<'_>) -> bool {
    let port = call.node.config.load().group_sentinel_port;
    port != 0 && call.session.client.peer.local_port() == Some(port)
}

/// WAIT numreplicas timeout
pub fn wait<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    if call.node.role.is_replica() {
        return Err(CommandError::WAIT_ON_REPLICA);
    }
    let args = call.args;
    let replicas = parse_i64(args.at(1)).ok_or(CommandError::NOT_INTEGER)?;
    let until_ms = deadline_ms(call, args.at(2), Unit::Milliseconds)?;
    let (offset, place) = (call.session.propagated_to, Place::Memory);
    let awaited = Awaited { offset, replicas: replicas.max(0) as u64, place };
    Ok(call.wait_for_acks(awaited, until_ms))
}

/// WAITAOF numlocal numreplicas timeout
pub fn waitaof<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let args = call.args;
    let here = match parse_i64(args.at(1)) {
        Some(local @ 0..=1) => local == 1,
        Some(_) => return Err(CommandError::out_of_bounds(0, 1)),
        None => return Err(CommandError::NOT_INTEGER),
    };
    let replicas = parse_i64(args.at(2)).and_then(|replicas| u64::try_from(replicas).ok());
    let replicas = replicas.ok_or(CommandError::NOT_POSITIVE)?;
    let until_ms = deadline_ms(call, args.at(3), Unit::Milliseconds)?;
    if call.node.role.is_replica() {
        return Err(CommandError::WAITAOF_ON_REPLICA);
    }
    let offset = call.session.propagated_to;
    let awaited = Awaited { offset, replicas, place: Place::Disk { here } };
    Ok(call.wait_for_acks(awaited, until_ms))
}
