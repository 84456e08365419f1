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

#[cfg(test)]
mod tests {
    use crate::{Endpoints, Net};
    use std::time::Duration;
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::watch;

    /// A request: the strings of an array.
    async fn request(from: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Vec<String>> {
        let mut lines = [String::new(), String::new()];
        from.read_line(&mut lines[0]).await.ok()?;
        let count: usize = lines[0].trim().strip_prefix('*')?.parse().ok()?;
        let mut parts = Vec::new();
        for _ in 0..count {
            lines = [String::new(), String::new()];
            for line in &mut lines {
                from.read_line(line).await.ok()?;
            }
            parts.push(lines[1].trim().to_uppercase());
        }
        Some(parts)
    }

    /// A Sentinel that names the primary's port of the moment, and announces the next one.
    async fn serve(stream: TcpStream, mut primary: watch::Receiver<u16>) {
        let (from, mut to) = stream.into_split();
        let mut from = BufReader::new(from);
        loop {
            let reply = tokio::select! {
                parts = request(&mut from) => {
                    let Some(parts) = parts else { return };
                    let port = primary.borrow_and_update().to_string();
                    match (&*parts[0], &*parts[1]) {
                        ("HELLO", _) => "%1\r\n+proto\r\n:3\r\n".to_owned(),
                        ("SUBSCRIBE", _) => ">3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n".to_owned(),
                        ("SENTINEL", "REPLICAS") => "*0\r\n".to_owned(),
                        ("SENTINEL", _) => {
                            format!("*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{port}\r\n", port.len())
                        }
                        _ => "+OK\r\n".to_owned(),
                    }
                }
                Ok(()) = primary.changed() => {
                    ">3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$4\r\nmain\r\n".to_owned()
                }
            };
            to.write_all(reply.as_bytes()).await.expect("somebody who listens");
        }
    }

    /// No time passes here, so nobody is asked twice because it is time to.
    #[tokio::test(start_paused = true)]
    async fn another_primary_is_heard_of_when_it_is_announced() {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        // While a blocking task runs a paused clock stands still, whatever is waited for.
        let guard = tokio::task::spawn_blocking(move || {
            // Ends when the sender does.
            let _ = stopped.recv_timeout(Duration::from_secs(60));
        });
        let listener = || TcpListener::bind(("127.0.0.1", 0));
        let sentinel = listener().await.unwrap();
        let (first, second) = (listener().await.unwrap(), listener().await.unwrap());
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let (primary, named) = watch::channel(port(&first));
        let address = sentinel.local_addr().unwrap().to_string();
        let following = async {
            let endpoints = Endpoints::sentinel([&*address], "main").unwrap();
            let net = Net::builder().endpoints(endpoints).start().unwrap();
            tokio::spawn(serve(sentinel.accept().await.unwrap().0, named));
            let _first = first.accept().await.unwrap();
            primary.send_replace(port(&second));
            let _second = second.accept().await.unwrap();
            drop(net);
        };
        tokio::select! {
            () = following => drop(stop),
            _ = guard => panic!("nobody followed the announcement"),
        }
    }
}
