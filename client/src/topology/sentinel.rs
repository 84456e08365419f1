//! The members by Sentinels' word.
//!
//! The first Sentinel that answers is followed: asked for the primary and the replicas every few
//! seconds, and at once when it announces another primary. What it says is where to look; the
//! primary is still the node that says so itself.

use super::backoff::Backoff;
use super::{MEMBERS, Shared};
use crate::error::Error;
use crate::link::address::Address;
use crate::link::{Credentials, Link, OnPush};
use crate::value::Value;
use redis::{PushInfo, PushKind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// How often a Sentinel is asked.
const INTERVAL: Duration = Duration::from_secs(2);
/// How long it may take to answer.
const LIMIT: Duration = Duration::from_secs(1);
/// Where it announces another primary.
const CHANNEL: &str = "+switch-master";

/// Follows one Sentinel after the other, for ever.
pub(super) async fn follow(shared: Arc<Shared>, mut sentinels: Vec<Address>, name: String) {
    let mut backoff = Backoff::default();
    loop {
        for sentinel in &sentinels {
            if let Err(error) = attend(&shared, sentinel, &name, &mut backoff).await {
                tracing::debug!(%sentinel, %error, "no longer followed");
            }
        }
        // Not all clients on the same one.
        fastrand::shuffle(&mut sentinels);
        tokio::time::sleep(backoff.next()).await;
    }
}

async fn attend(
    shared: &Arc<Shared>,
    sentinel: &Address,
    name: &str,
    backoff: &mut Backoff,
) -> Result<(), Error> {
    let concern = Arc::new(Notify::new());
    let on_push: OnPush = {
        let concern = Arc::clone(&concern);
        Arc::new(move |push: PushInfo| {
            if push.kind == PushKind::Message {
                concern.notify_one();
            }
        })
    };
    let mut settings = shared.settings.clone();
    // A Sentinel has users and databases of its own: none.
    settings.credentials = Arc::new(Credentials::default);
    settings.database = 0;
    let link = {
        let _turn = shared.dials.acquire().await;
        Link::open(sentinel, &settings, Some(on_push), &concern).await?
    };
    link.subscribe(&[CHANNEL.to_owned()], true, LIMIT).await?;
    while link.is_open() {
        let (primary, members) = members(&link, name).await?;
        shared.prefer(primary.to_string());
        shared.watch_only(members);
        shared.nudge();
        backoff.reset();
        let _ = tokio::time::timeout(INTERVAL, concern.notified()).await;
    }
    Err(Error::Disconnected)
}

/// The primary, and all members with it.
async fn members(link: &Link, name: &str) -> Result<(Address, Vec<Address>), Error> {
    let mut question = redis::cmd("SENTINEL");
    question.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    let primary = match link.send(&question, LIMIT).await?.into_array() {
        Ok(parts) => address(parts.first(), parts.get(1)),
        Err(_) => return Err(Error::Connect(format!("the Sentinel knows no {name:?}"))),
    };
    let primary = primary.ok_or(Error::Reply("an address"))?;
    let mut question = redis::cmd("SENTINEL");
    question.arg("REPLICAS").arg(name);
    let mut members = vec![primary.clone()];
    for replica in link.send(&question, LIMIT).await?.into_array()?.into_iter().take(MEMBERS) {
        let pairs = replica.into_pairs()?;
        let find = |name: &str| {
            pairs.iter().find(|(key, _)| key.as_str() == Some(name)).map(|(_, value)| value)
        };
        if let Some(address) = address(find("ip"), find("port")) {
            members.push(address);
        }
    }
    Ok((primary, members))
}

fn address(host: Option<&Value>, port: Option<&Value>) -> Option<Address> {
    let host = host?.as_str()?.to_owned();
    let port = u16::try_from(port?.as_int().ok()?).ok()?;
    Some(Address::Tcp { host, port })
}
