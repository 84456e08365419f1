//! One life of a member: from the start of its node to its end.

use super::face::Request;
use super::news;
use super::recovery::Recovery;
use super::rolling::restart_all;
use super::supervisor::{Order, Shown};
use crate::clock::Clock;
use crate::member::{MemberEvent, MemberOptions};
use crate::node::{Node, StartError};
use larder_replication::group::config::Incarnation;
use larder_replication::group::data::DataNode;
use larder_replication::group::driver::{Driver, Handle, Options, State, Status};
use larder_replication::group::event::Source;
use larder_replication::group::link::{
    CallLimits, Handler, LinkListener, Links, ListenLimits, Plain,
};
use larder_replication::group::ports::GroupClock;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The file that says that the node was in sync in some life.
const IN_SYNC: &str = "in-sync";
/// How often an event that the group could not agree on is told again, and after how long.
const TELLINGS: u32 = 100;
const TELL_AGAIN: Duration = Duration::from_millis(100);

/// Why a life ended.
pub(super) enum Ended {
    /// The node lost its power: for this time, or until it is given back.
    Off(Option<Duration>),
    /// The member ends with it.
    ForGood,
}

/// The node, its driver and its link.
pub(super) struct Life<'m> {
    member: &'m Arc<Shown>,
    node: Node,
    handle: Handle,
    status: watch::Receiver<Arc<Status>>,
    /// The sockets of the link, and what is asked of the group.
    tasks: JoinSet<()>,
    recovery: Recovery,
    /// Whether the member remembers that it was in sync.
    was_in_sync: bool,
    life: Option<Incarnation>,
    /// Whether it was told that the member takes no part in consensus any more.
    has_failed: bool,
    told: UnboundedReceiver<MemberEvent>,
}

impl<'m> Life<'m> {
    /// Starts everything.
    pub(super) async fn begin(member: &'m Arc<Shown>) -> Result<Self, StartError> {
        let plan = &member.plan;
        let listeners = (plan.listen)().map_err(StartError::Listen)?;
        let (tell, told) = unbounded_channel();
        let node = start_node(member, tell)?;
        let links = Links::new(
            plan.me.id.clone(),
            plan.secret.clone(),
            Arc::clone(&plan.dial),
            CallLimits::default(),
        );
        let data = node.member().filter(|_| plan.me.client_address.is_some());
        let life = data.as_ref().map(|data| data.position().incarnation);
        member.set_life(life);
        let options = Options {
            me: plan.me.clone(),
            group: plan.group.clone(),
            founders: plan.members.clone(),
            timings: plan.timing.into(),
            disk: Arc::clone(&plan.disk),
            peers: Arc::new(links),
            node: data.map(|data| Arc::new(data) as Arc<dyn DataNode>),
            lease: Arc::clone(&member.face.lease),
            host: Arc::clone(member) as _,
            clock: Arc::new(SystemClock(member.clock.clone())),
        };
        let handle = Driver::start(options).await.map_err(failed)?;
        let mut tasks = JoinSet::new();
        let answering = handle.clone();
        let handler: Handler = Arc::new(move |from, request| {
            let handle = answering.clone();
            Box::pin(async move { handle.answer(&from, &request).await })
        });
        let me = plan.me.id.clone();
        let link = LinkListener::new(me, plan.secret.clone(), handler, ListenLimits::default());
        for listener in listeners {
            let listener =
                tokio::net::TcpListener::from_std(listener).map_err(StartError::Listen)?;
            let link = link.clone();
            tasks.spawn(async move { link.serve(listener, Arc::new(Plain)).await });
        }
        let status = handle.status();
        let was_in_sync = !plan.disk.read(IN_SYNC).map_err(failed)?.is_empty();
        let has_failed = false;
        let recovery = Recovery::new(was_in_sync);
        Ok(Self {
            member,
            node,
            handle,
            status,
            tasks,
            recovery,
            was_in_sync,
            life,
            has_failed,
            told,
        })
    }

    /// Looks after it until it ends.
    pub(super) async fn run(
        mut self,
        orders: &mut Receiver<Order>,
        wishes: &mut Receiver<Request>,
    ) -> Ended {
        self.learn();
        let node = Arc::clone(self.node.shared());
        let ended = loop {
            tokio::select! {
                changed = self.status.changed() => match changed {
                    Ok(()) => self.learn(),
                    Err(_) => break Ended::ForGood,
                },
                order = orders.recv() => match order {
                    None | Some(Order::End) => break Ended::ForGood,
                    Some(Order::PowerOff(time)) => break Ended::Off(time),
                    Some(Order::PowerOn) => {}
                    // The whole thread stands still.
                    Some(Order::Stall(stalled)) => drop(stalled.recv()),
                },
                Some(wish) = wishes.recv() => self.carry_out(wish),
                Some(event) = self.told.recv() => self.hear(event),
                Some(_) = self.tasks.join_next() => {}
                // SHUTDOWN, or a node that cannot go on.
                () = node.shutdown.requested() => break Ended::ForGood,
            }
        };
        self.tasks.abort_all();
        self.handle.stop().await;
        self.member.face.lease.set_end(0);
        ended
    }

    /// Takes note of what the driver knows now, and tells it.
    fn learn(&mut self) {
        let status = Arc::clone(&self.status.borrow_and_update());
        let (face, node) = (&self.member.face, self.node.shared());
        if let Some(before) = face.show(&status.config) {
            if status.config.failovers > before.failovers
                && let Some(took_ms) = status.last_failover_ms
            {
                face.add_failover(Duration::from_millis(took_ms));
            }
            for event in news::events_since(&before, &status.config) {
                tracing::info!(group = %face.name, "{}: {}", event.source, event.message);
            }
            for message in news::messages(&face.name, &before, &status.config) {
                let text = message.text.as_bytes();
                node.push.channels.publish(node, message.channel.as_bytes(), text);
            }
        }
        if let Some(reason) = status.failure.as_ref().filter(|_| !self.has_failed) {
            self.has_failed = true;
            tracing::error!(%reason, "this member takes no part in decisions until it starts again");
        }
        let is_replica = status.state == State::Replica;
        if !self.was_in_sync && self.member.is_in_sync(&status.config) {
            // What it remembers decides about two events, no more.
            self.was_in_sync = true;
            let written = self.member.plan.disk.replace(IN_SYNC, &[1]);
            self.tasks.spawn(async move {
                if let Err(error) = written.await {
                    tracing::warn!(%error, "that this node was in sync cannot be remembered");
                }
            });
        }
        if let Some(life) = self.life
            && let Some(text) = self.recovery.step(&face.me, &status.config, is_replica, life)
        {
            self.tell(text);
        }
        self.member.set_followers(&status.followers);
        self.member.observer.look();
    }

    /// Has the group agree on an event of this node.
    fn tell(&mut self, message: String) {
        let (handle, source) =
            (self.handle.clone(), Source::CacheCluster(self.member.face.me.0.clone()));
        let config = self.member.face.config();
        let last = config.events.last().map_or(0, |event| event.number);
        self.tasks.spawn(async move {
            let status = handle.status();
            for _ in 0..TELLINGS {
                // The answer may have been lost, and not the event.
                let is_told = status.borrow().config.events.iter().any(|event| {
                    event.number > last && event.message == message && event.source == source
                });
                if is_told || handle.note(source.clone(), message.clone()).await.is_ok() {
                    return;
                }
                tokio::time::sleep(TELL_AGAIN).await;
            }
            tracing::warn!(message, "the group was not told what happened");
        });
    }

    /// What the node tells of itself.
    fn hear(&mut self, event: MemberEvent) {
        match event {
            // The driver learns of it by its own messages.
            MemberEvent::HigherEpoch { epoch } => tracing::debug!(epoch, "there is a later epoch"),
            MemberEvent::LostWrites { path, from, to, is_whole } => {
                let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
                let part = if is_whole { "" } else { "the latest of the " };
                self.tell(format!(
                    "Kept {part}writes of cache node {} that the group never got (offsets {from} to \
                     {to}) in {name}",
                    self.member.face.me
                ));
            }
            MemberEvent::LostWritesUnsaved { reason } => self.tell(format!(
                "Cache node {} can not keep its writes that the group never got: {reason}",
                self.member.face.me
            )),
        }
    }

    /// Does what a client wished for; how it ends is told by events, also if it comes to nothing.
    fn carry_out(&mut self, wish: Request) {
        let (handle, face) = (self.handle.clone(), &self.member.face);
        let (name, me) = (face.name.clone(), face.me.clone());
        self.tasks.spawn(async move {
            let what = wish.name();
            let done = match wish {
                Request::Failover(to) => handle.hand_over(to).await.map(drop),
                Request::TestFailover => handle.test_failover().await,
                Request::InterruptZone { zone, for_ms } => {
                    handle.interrupt_zone(zone, Duration::from_millis(for_ms)).await
                }
                Request::AddNode(member) => handle.add_member(member).await,
                Request::RemoveNode(id) => handle.remove_member(id).await,
                Request::Restart => restart_all(&handle, &me).await,
            };
            if let Err(error) = done {
                tracing::warn!(group = %name, %error, "not completed: {what}");
                let source = Source::ReplicationGroup(name);
                let told = handle.note(source, format!("{what} not completed: {error}")).await;
                if let Err(error) = told {
                    tracing::warn!(%error, "nor can the group agree on an event of that");
                }
            }
        });
    }
}

fn failed(error: impl std::fmt::Display) -> StartError {
    StartError::Group(error.to_string())
}

fn start_node(member: &Arc<Shown>, tell: UnboundedSender<MemberEvent>) -> Result<Node, StartError> {
    let plan = &member.plan;
    let (me, face) = (plan.me.id.clone(), Arc::clone(&member.face));
    let mut options =
        MemberOptions::new(&plan.group, me, Arc::clone(&member.face.lease), &plan.secret_bytes)
            .lost_writes_dir(plan.settings.dir.clone())
            .beat(plan.timing.beat())
            .on_failover(move |told| face.ask_failover(told))
            // Nobody hears it at the end of a life.
            .on_event(move |event| drop(tell.send(event)));
    if let Some(network) = &plan.network {
        options = options.network(network.clone());
    }
    let mut settings = plan.settings.clone();
    // Of a witness nobody shall read that there is nothing.
    settings.replica_serve_stale_data &= plan.me.client_address.is_some();
    let mut builder =
        Node::builder().settings(settings).config_file(plan.config_file.clone()).member(options);
    if let Some(then) = &plan.on_change {
        let then = Arc::clone(then);
        builder = builder.on_change(move |settings| then(settings));
    }
    let node = builder.start()?;
    // Nobody else sets it.
    let _ = node.shared().group.set(Arc::clone(&member.face));
    member.set_node(node.shared());
    Ok(node)
}

/// The machine's clocks.
struct SystemClock(Clock);

impl GroupClock for SystemClock {
    fn boottime_nanos(&self) -> u64 {
        self.0.boottime_nanos()
    }

    fn unix_ms(&self) -> i64 {
        self.0.unix_ms()
    }
}
