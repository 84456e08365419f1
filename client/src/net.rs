//! The way to the data: scripts and commands, sent to the node that should answer them.
//!
//! A [`Net`] knows the nodes, follows the primary, and sends each call to the right one. What fails
//! because the primary is another one by now is sent again, to the new one; that is safe for what
//! does the same when it runs twice, which all of this crate's own writes do.

mod replicas;

#[cfg(all(test, feature = "embedded"))]
mod tests;

use crate::builder::Builder;
use crate::error::Error;
use crate::link::{self, Link};
use crate::routing::token::Token;
use crate::routing::{Target, choose};
use crate::script::Script;
use crate::topology::Topology;
use crate::topology::member::{Role, now_ms};
use crate::topology::pushes::{Listener, Message};
use crate::topology::view::{Seen, View};
use crate::value::Value;
use replicas::Acks;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

/// Keys that SCAN looks at in one step.
const SCAN_STEP: &[u8] = b"1000";

/// The nodes of one data set. Clones are the same one; the last one closes its connections.
#[derive(Clone)]
pub struct Net {
    inner: Arc<Inner>,
}

struct Inner {
    topology: Topology,
    zone: Option<Arc<str>>,
    limits: Limits,
    acks: Acks,
    turn: AtomicUsize,
}

/// How long calls may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// One answer.
    pub(crate) response: Duration,
    /// All that a call may wait for another primary.
    pub(crate) failover: Duration,
}

/// Which node answered a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Its address.
    pub node: Arc<str>,
    /// Its zone, where that is known.
    pub zone: Option<Arc<str>>,
    /// Whether it was the primary.
    pub is_primary: bool,
}

/// A node, as it was when it last spoke.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NodeStatus {
    /// Its address.
    pub node: Arc<str>,
    /// Its zone, where that is known.
    pub zone: Option<Arc<str>>,
    /// Whether it is the primary.
    pub is_primary: bool,
    /// How far behind the primary it was, at most; `None` where that cannot be told.
    pub lag: Option<Duration>,
}

impl std::fmt::Debug for Net {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Net").field("nodes", &self.nodes()).finish_non_exhaustive()
    }
}

impl Net {
    /// One to be configured.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn new(
        topology: Topology,
        zone: Option<Arc<str>>,
        limits: Limits,
        settings: link::Settings,
    ) -> Self {
        let acks = Acks::new(settings);
        let turn = AtomicUsize::new(fastrand::usize(..1 << 16));
        Self { inner: Arc::new(Inner { topology, zone, limits, acks, turn }) }
    }

    /// Runs a script at the primary, or where `target` says if it only reads. It goes out by its
    /// digest, and with its text to a node that does not know it. When the primary turns out to be
    /// another one it runs again there: a script that writes must do the same when it runs
    /// twice.
    ///
    /// # Errors
    /// What the script or the connection says.
    pub async fn run(
        &self,
        script: &Script,
        keys: &[&[u8]],
        args: &[&[u8]],
        target: Target,
    ) -> Result<Value, Error> {
        let call = Call::Script { script, keys, args };
        Ok(self.answer(call, target, self.inner.limits).await?.value)
    }

    /// The same at the primary, with the place that its effects have in the history at the latest.
    ///
    /// # Errors
    /// What the script or the connection says.
    pub async fn run_marked(
        &self,
        script: &Script,
        keys: &[&[u8]],
        args: &[&[u8]],
    ) -> Result<(Value, Option<Token>), Error> {
        let call = Call::Script { script, keys, args };
        let answer =
            self.answer_beside(call, Target::Primary, self.inner.limits, Beside::Offset).await?;
        Ok((answer.value, answer.token))
    }

    /// Reads with a command, where `target` says. A replica that fails is made up for by the
    /// primary.
    ///
    /// # Errors
    /// What the server or the connection says.
    pub async fn read(&self, command: &[&[u8]], target: Target) -> Result<Value, Error> {
        let call = Call::Command(command);
        Ok(self.answer(call, target, self.inner.limits).await?.value)
    }

    /// Writes with a command that does the same when it runs twice, as SET, DEL and EXPIRE do: when
    /// the primary turns out to be another one it runs again there.
    ///
    /// # Errors
    /// What the server or the connection says.
    pub async fn write(&self, command: &[&[u8]]) -> Result<Value, Error> {
        let call = Call::Command(command);
        Ok(self.answer(call, Target::Primary, self.inner.limits).await?.value)
    }

    /// Sends a command to the primary, once: whatever happens, it is not sent again.
    ///
    /// # Errors
    /// What the server or the connection says.
    pub async fn command(&self, command: &[&[u8]]) -> Result<Value, Error> {
        let limits = Limits { failover: Duration::ZERO, ..self.inner.limits };
        Ok(self.answer(Call::Command(command), Target::Primary, limits).await?.value)
    }

    /// Waits until `count` replicas have all that was written so far, on a link of its own; gives how
    /// many have it. That is fewer when `timeout` comes first.
    ///
    /// # Errors
    /// What the server or the connection says; [`Error::Timeout`] when others wait for too long.
    pub async fn wait_replicas(&self, count: u64, timeout: Duration) -> Result<u64, Error> {
        let view = self.view();
        let primary = view.primary().ok_or(Error::NoPrimary)?;
        self.inner.acks.wait(primary, view.epoch, count, timeout).await
    }

    /// Messages of channels, from the primary, and from the next one after a failover.
    pub fn subscribe<'a>(&self, channels: impl IntoIterator<Item = &'a str>) -> Subscription {
        let channels: Vec<String> = channels.into_iter().map(str::to_owned).collect();
        let pushes = self.inner.topology.pushes();
        let receiver = pushes.receiver();
        pushes.want(&channels, true);
        self.inner.topology.nudge();
        Subscription { net: self.clone(), channels, receiver }
    }

    /// The nodes in reach.
    pub fn nodes(&self) -> Vec<NodeStatus> {
        let view = self.view();
        let leader = view.primary().map(|primary| Arc::clone(&primary.member.name));
        let status = |node: &Seen| NodeStatus {
            node: Arc::clone(&node.member.name),
            zone: node.zone.clone(),
            is_primary: leader.as_ref() == Some(&node.member.name),
            lag: (node.lag < Duration::MAX).then_some(node.lag),
        };
        view.nodes.iter().map(status).collect()
    }

    /// Grows whenever the primary is another one, or the same one with another history. What was
    /// read under a lower number may have been undone.
    pub fn epoch(&self) -> u64 {
        self.view().epoch
    }

    /// Waits until the number is another one than `known`.
    pub async fn epoch_after(&self, known: u64) -> u64 {
        let mut changes = self.inner.topology.changes();
        loop {
            changes.mark_unchanged();
            let epoch = self.epoch();
            if epoch != known || changes.changed().await.is_err() {
                return epoch;
            }
        }
    }

    /// The time by the primary's clock, in milliseconds since the Unix epoch; by our own while there
    /// is no primary.
    pub fn server_now_ms(&self) -> i64 {
        now_ms() + self.view().primary().map_or(0, |primary| primary.clock_ahead_ms)
    }

    /// Waits until there is a node to read from, and a primary if `with_primary`.
    pub(crate) async fn ready(&self, with_primary: bool, patience: Duration) -> Result<(), Error> {
        let mut changes = self.inner.topology.changes();
        let waiting = async {
            loop {
                changes.mark_unchanged();
                let view = self.view();
                if view.primary().is_some() || (!with_primary && !view.nodes.is_empty()) {
                    return;
                }
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(patience, waiting).await.map_err(|_| {
            if self.view().nodes.is_empty() { Error::NoNode } else { Error::NoPrimary }
        })
    }

    /// How long a call may take where its caller says nothing.
    pub(crate) fn limits(&self) -> Limits {
        self.inner.limits
    }

    /// The number of the database that is selected.
    pub(crate) fn database(&self) -> u32 {
        self.inner.acks.settings.database
    }

    pub(crate) fn listen(&self, listener: &Arc<dyn Listener>) {
        self.inner.topology.pushes().listen(listener);
    }

    /// Says that something about the nodes changed.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.inner.topology.changes()
    }

    pub(crate) fn view(&self) -> Arc<View> {
        self.inner.topology.view()
    }

    /// The node for a read, which has to have `since` too.
    pub(crate) fn choose<'v>(
        &self,
        view: &'v View,
        target: Target,
        since: Option<Token>,
    ) -> Result<&'v Seen, Error> {
        // There is one primary, and no line to write to that all readers share.
        let turn = match target {
            Target::Primary => 0,
            _ => self.inner.turn.fetch_add(1, Ordering::Relaxed),
        };
        let zone = self.inner.zone.as_deref();
        let none = || match target {
            Target::Primary => Error::NoPrimary,
            _ => Error::NoNode,
        };
        choose(view, target, since, zone, turn).ok_or_else(none)
    }

    /// Whether a node is in our zone; `None` where either is not known.
    pub(crate) fn is_near(&self, node: &Seen) -> Option<bool> {
        Some(self.inner.zone.as_deref()? == node.zone.as_deref()?)
    }

    /// One step of SCAN at the primary, from a cursor that is `0` at first; gives the next one, if there
    /// is more, and the names that were found.
    pub(crate) async fn scan(
        &self,
        cursor: &[u8],
        pattern: &[u8],
        limits: Limits,
    ) -> Result<(Option<Vec<u8>>, Vec<Value>), Error> {
        let call = Call::Command(&[b"SCAN", cursor, b"MATCH", pattern, b"COUNT", SCAN_STEP]);
        let answer = self.answer(call, Target::Primary, limits).await?;
        let mut parts = answer.value.into_array()?.into_iter();
        let next = parts.next().unwrap_or_default().into_bytes()?.unwrap_or_default();
        let names = parts.next().unwrap_or_default().into_array()?;
        let is_over = next == b"0" || next.is_empty();
        Ok(((!is_over).then_some(next), names))
    }

    /// Sends a call, and again when that may help.
    pub(crate) fn answer(
        &self,
        call: Call<'_>,
        target: Target,
        limits: Limits,
    ) -> impl Future<Output = Result<Answer, Error>> {
        self.answer_beside(call, target, limits, Beside::Nothing)
    }

    /// The same with a question beside it.
    pub(crate) async fn answer_beside(
        &self,
        call: Call<'_>,
        target: Target,
        limits: Limits,
        beside: Beside,
    ) -> Result<Answer, Error> {
        let began = Instant::now();
        let view = self.view();
        let error = match self.choose(&view, target, None) {
            Ok(node) => match call.send(node, limits.response, beside).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            },
            Err(error) => error,
        };
        if !error.is_failover() {
            return Err(error);
        }
        self.inner.topology.nudge();
        if target != Target::Primary
            && let Some(primary) = view.primary()
            && primary.data.is_open()
            && let Ok(answer) = call.send(primary, limits.response, beside).await
        {
            return Ok(answer);
        }
        self.again(call, limits, beside, began, error).await
    }

    /// Sends a call to the primary of the moment, and to the next one, until one answers or the time
    /// for it is over: while nodes change places, who led a moment ago may refuse.
    async fn again(
        &self,
        call: Call<'_>,
        limits: Limits,
        beside: Beside,
        began: Instant,
        mut error: Error,
    ) -> Result<Answer, Error> {
        loop {
            let left = limits.failover.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Err(error);
            }
            let view = self.inner.topology.primary_since(Instant::now(), left).await;
            match view.as_ref().map(|view| view.primary()) {
                Ok(Some(primary)) => match call.send(primary, limits.response, beside).await {
                    Err(refused) if refused.is_failover() => error = refused,
                    result => return result,
                },
                // Why it failed first says more than that it could not be tried again.
                _ => return Err(error),
            }
        }
    }
}

/// What is sent.
#[derive(Clone, Copy)]
pub(crate) enum Call<'a> {
    Command(&'a [&'a [u8]]),
    Script { script: &'a Script, keys: &'a [&'a [u8]], args: &'a [&'a [u8]] },
}

/// What a node is asked together with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    Nothing,
    /// How far it is, right afterwards.
    Offset,
    /// To tell when something that the call reads changes, where it can.
    Changes,
}

/// What came back, from whom, and where it stands in the history.
pub(crate) struct Answer {
    pub(crate) value: Value,
    pub(crate) node: Answered,
    pub(crate) token: Option<Token>,
}

impl Call<'_> {
    /// Sends it to one node.
    pub(crate) async fn send(
        self,
        node: &Seen,
        limit: Duration,
        beside: Beside,
    ) -> Result<Answer, Error> {
        let link = &*node.data;
        let (value, offset) = match self {
            Self::Command(parts) => exchange(link, command(parts), limit, beside).await,
            Self::Script { script, keys, args } => {
                match exchange(link, script.by_digest(keys, args), limit, beside).await {
                    Err(error) if error.code() == Some("NOSCRIPT") => {
                        exchange(link, script.by_text(keys, args), limit, beside).await
                    }
                    result => result,
                }
            }
        }?;
        let token = offset.and_then(|offset| Token::new(&node.replid, offset));
        Ok(Answer { value, node: node.into(), token })
    }
}

impl From<&Seen> for Answered {
    fn from(node: &Seen) -> Self {
        Self {
            node: Arc::clone(&node.member.name),
            zone: node.zone.clone(),
            is_primary: node.role == Role::Primary,
        }
    }
}

pub(crate) fn command(parts: &[&[u8]]) -> redis::Cmd {
    let bytes = parts.iter().map(|part| part.len()).sum();
    let mut command = redis::Cmd::with_capacity(parts.len(), bytes);
    for part in parts {
        command.arg(*part);
    }
    command
}

async fn exchange(
    link: &Link,
    command: redis::Cmd,
    limit: Duration,
    beside: Beside,
) -> Result<(Value, Option<u64>), Error> {
    match beside {
        Beside::Changes if link.is_tracking() => {
            let mut commands = redis::Pipeline::with_capacity(2);
            commands.cmd("CLIENT").arg("CACHING").arg("YES").add_command(command);
            let value = link.send_all(&commands, limit).await?.pop().unwrap_or_default();
            return Ok((value.checked()?, None));
        }
        Beside::Nothing | Beside::Changes => return Ok((link.send(&command, limit).await?, None)),
        Beside::Offset => {}
    }
    let mut commands = redis::Pipeline::with_capacity(2);
    commands.add_command(command).cmd("ROLE");
    let mut answers = link.send_all(&commands, limit).await?.into_iter();
    let value = answers.next().unwrap_or_default().checked()?;
    let offset = match answers.next() {
        // It led no longer when it answered: what it gave may be old by then.
        Some(Value::Array(role)) if role.first().and_then(Value::as_str) == Some("slave") => {
            return Err(Error::server("READONLY", Some("the node leads no longer")));
        }
        Some(Value::Array(role)) => role.get(1).and_then(|offset| offset.as_int().ok()),
        _ => None,
    };
    Ok((value, offset.and_then(|offset| u64::try_from(offset).ok())))
}

/// Messages of channels.
pub struct Subscription {
    net: Net,
    channels: Vec<String>,
    receiver: broadcast::Receiver<Message>,
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Subscription").field("channels", &self.channels).finish_non_exhaustive()
    }
}

impl Subscription {
    /// The next message. [`Message::Gap`] comes first, when the subscription stands, and whenever
    /// messages may have been missed. Nothing is lost when this is given up before it has one.
    pub async fn next(&mut self) -> Message {
        loop {
            match self.receiver.recv().await {
                Ok(Message::Published { channel, .. }) if !self.channels.contains(&channel) => {}
                Ok(message) => return message,
                Err(RecvError::Lagged(_)) => return Message::Gap,
                // It lives as long as `net`.
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let topology = &self.net.inner.topology;
        topology.pushes().want(&self.channels, false);
        topology.nudge();
    }
}
