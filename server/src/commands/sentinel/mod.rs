//! SENTINEL: the questions by which client libraries follow a Sentinel, answered by each member of a
//! group about its own group.
//!
//! The replies have the shapes of Redis 7.0's Sentinel. What a member cannot know of another one, such
//! as when it last pinged it, says that all is well for one in sync, and that it is down for another.
//! A member is a Sentinel of its group: who asks one learns of the others.

pub mod instance;
pub mod table;

use super::group::face;
use crate::commands::docs;
use crate::dispatch::call::{Call, CommandResult};
use crate::node::group::face::{Face, Request};
use instance::Instance;
use larder_protocol::{CommandError, Reply};
use larder_replication::group::config::GroupConfig;

/// SENTINEL MASTERS
pub fn masters<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let face = face(call)?;
    let config = face.config();
    Ok(Reply::array(Instance::primary(face, &config).map(|primary| primary.reply())))
}

/// SENTINEL MASTER name
pub fn master<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (face, config) = named(call)?;
    let primary = Instance::primary(face, &config);
    primary.map(|primary| primary.reply()).ok_or(NO_MASTER)
}

/// SENTINEL REPLICAS name, SENTINEL SLAVES name
pub fn replicas<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (face, config) = named(call)?;
    let replicas = Instance::replicas(face, &config);
    Ok(Reply::array(replicas.into_iter().map(|replica| replica.reply())))
}

/// SENTINEL SENTINELS name
pub fn sentinels<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (face, config) = named(call)?;
    let sentinels = Instance::sentinels(face, &config);
    Ok(Reply::array(sentinels.into_iter().map(|sentinel| sentinel.reply())))
}

/// SENTINEL GET-MASTER-ADDR-BY-NAME name
pub fn address<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let face = face(call)?;
    let config = face.config();
    let primary = config.primary.as_ref().and_then(|id| config.members.get(id)?.client_address);
    let Some(address) = primary.filter(|_| is(face, call.args.at(2))) else {
        return Ok(Reply::NullArray);
    };
    let parts = [address.ip().to_string(), address.port().to_string()];
    Ok(Reply::array(parts.map(|part| Reply::Owned(part.into_bytes()))))
}

/// SENTINEL CKQUORUM name
pub fn ckquorum<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (_, config) = named(call)?;
    let usable = config.members.values().filter(|member| instance::is_up(&config, member)).count();
    if usable * 2 > config.members.len() {
        let text = format!(
            "OK {usable} usable Sentinels. Quorum and failover authorization can be reached"
        );
        return Ok(Reply::status(text));
    }
    Err(CommandError::custom(format!(
        "NOQUORUM {usable} usable Sentinels. Not enough available Sentinels to reach the specified \
         quorum for this master. Not enough available Sentinels to reach the majority and \
         authorize a failover"
    )))
}

/// SENTINEL FAILOVER name
pub fn failover<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (face, config) = named(call)?;
    if !config.in_sync.keys().any(|id| config.primary.as_ref() != Some(id)) {
        let text = "NOGOODSLAVE No suitable replica to promote";
        return Err(CommandError::from_static(text));
    }
    face.ask(Request::Failover(None))?;
    Ok(Reply::Ok)
}

/// SENTINEL MYID
pub fn myid<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let face = face(call)?;
    Ok(Reply::Owned(instance::run_id(&face.name, &face.me).into_bytes()))
}

/// SENTINEL HELP
pub fn help<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(docs::help(
        call,
        &[
            "CKQUORUM <master-name>",
            "    Tell whether enough members are up to elect a primary.",
            "FAILOVER <master-name>",
            "    Hand the primary over to a replica.",
            "GET-MASTER-ADDR-BY-NAME <master-name>",
            "    Show the address of the primary.",
            "MASTER <master-name>",
            "    Show the state of the primary.",
            "MASTERS",
            "    Show the state of the primary of this group, the only one.",
            "MYID",
            "    Show the id of this member as a Sentinel.",
            "REPLICAS <master-name>",
            "    Show the state of the replicas.",
            "SENTINELS <master-name>",
            "    Show the other members that clients can ask.",
        ],
    ))
}

const NO_MASTER: CommandError = CommandError::from_static("ERR No such master with that name");

/// The group, if the name at argument 2 is its name.
fn named<'n>(call: &Call<'n>) -> Result<(&'n Face, std::sync::Arc<GroupConfig>), CommandError> {
    let face = face(call)?;
    if !is(face, call.args.at(2)) {
        return Err(NO_MASTER);
    }
    let config = face.config();
    Ok((face, config))
}

/// Names of groups are kept in lower case, and clients may write them as they like.
fn is(face: &Face, name: &[u8]) -> bool {
    face.name.as_bytes().eq_ignore_ascii_case(name)
}
