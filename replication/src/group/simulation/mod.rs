//! A whole group in one thread, under faults that a seed chooses.
//!
//! ```text
//! world    network, clocks, disks
//! node     a small node with data
//! client   who writes and reads
//! faults   what goes wrong, and when
//! judge    what must be true all the same
//! ```
//!
//! A history has a stormy part, in which everything may go wrong at once, and a calm one, in which all
//! that is broken is mended. Replay one with `LARDER_SEED=n`, run more with `LARDER_SIM_SEEDS=n`,
//! both for so many from that one on. With `LARDER_SIM_TELL=1` each tells what happens in it.
//!
//! A node loses its memory only while all data is in sync and no outage that was asked for may still
//! come, so that no acknowledged write may be lost; everything else happens at any time.

mod client;
mod faults;
mod judge;
mod node;
mod tests;
mod world;

use super::config::{GroupConfig, Member, NodeId, Zone};
use super::data::{DataNode, Lease};
use super::driver::{Driver, Options, Status};
use super::event::Source;
use super::ports::Timings;
use client::Client;
use judge::Record;
use node::{Entry, Places, SimNode, SimPeers};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::task::JoinHandle;
use world::{Accident, Files, SimClock, SimDisk, SimHost, World};

/// A promise that is broken, to see that a judge finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sabotage {
    None,
    /// Replies leave without a lease.
    NoLease,
    /// Replies leave though nobody else has the write.
    NoAcks,
    /// Whoever bears the name of one that counts does, too.
    AnyLife,
    /// The first member believes that its lease is longer than all others do, so that they elect
    /// another one meanwhile.
    NoPatience,
}

/// How a group is made.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// Founders with data.
    data: usize,
    /// A witness more.
    has_witness: bool,
    /// Nodes that may join later.
    spare: usize,
    clients: usize,
    storm: Duration,
}

impl Shape {
    fn draw(random: &mut fastrand::Rng) -> Self {
        let (data, has_witness) = match random.u8(0..10) {
            0..6 => (3, false),
            6..8 => (2, true),
            _ => (5, false),
        };
        let storm = Duration::from_millis(random.u64(8_000..20_000));
        Self { data, has_witness, spare: random.usize(0..2), clients: random.usize(2..5), storm }
    }

    fn places(&self) -> usize {
        self.data + usize::from(self.has_witness) + self.spare
    }
}

/// What one history came to.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    trace: u64,
    acknowledged: usize,
    epochs: u64,
    verdict: Result<(), String>,
}

/// Somebody asked for what takes power from a node, and does not know what came of it. The group may
/// agree on it, and the node may hear of it, until the group has agreed on something that was asked
/// for later and all its members have heard of that.
struct Doubt {
    /// What is asked for, over and over again.
    message: String,
    asking: JoinHandle<()>,
    /// Since when all know, in true nanoseconds.
    known_since: Option<u64>,
}

impl Doubt {
    /// Longer than a message is on its way.
    const TRAVEL: Duration = Duration::from_millis(1500);

    fn begin(group: &Group) -> Self {
        let message = format!("It is {}", group.world.now());
        let (world, text) = (Arc::clone(&group.world), message.clone());
        let places = group.members.len();
        let asking = tokio::spawn(async move {
            tokio::time::sleep(Self::TRAVEL).await;
            loop {
                for place in 0..places {
                    let Some(handle) = world.handle(place) else { continue };
                    let source = Source::ReplicationGroup("sim".to_owned());
                    let noted = handle.note(source, text.clone());
                    let noted = tokio::time::timeout(Self::TRAVEL * 2, noted).await;
                    if matches!(noted, Ok(Ok(()))) {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        Self { message, asking, known_since: None }
    }

    fn remains(mut self, group: &Group, config: &GroupConfig) -> Option<Self> {
        let knows = |place: usize| {
            let status = group.status(place).filter(|_| !group.world.is_paused(place));
            status.is_some_and(|status| {
                status.config.events.iter().any(|event| event.message == self.message)
            })
        };
        let mut members = config.members.keys().filter_map(|id| group.places.get(id));
        let since = match members.all(|&place| knows(place)) {
            true => self.known_since.unwrap_or(group.world.now()),
            false => u64::MAX,
        };
        self.known_since = (since != u64::MAX).then_some(since);
        let is_over = group.world.now().saturating_sub(since) > Self::TRAVEL.as_nanos() as u64;
        (!is_over).then_some(self)
    }
}

impl Drop for Doubt {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

/// A group under test.
struct Group {
    world: Arc<World>,
    shape: Shape,
    members: Vec<Member>,
    founders: usize,
    files: Vec<Files>,
    places: Places,
    record: Arc<Record>,
    sabotage: Sabotage,
    /// Whether somebody may still lose its power by what was asked for.
    doubt: Option<Doubt>,
    /// When those without power get it back, in true nanoseconds.
    back: BTreeMap<usize, u64>,
    clients: Vec<JoinHandle<()>>,
    /// The revision that was told last.
    told: u64,
}

impl Group {
    fn new(seed: u64, shape: Shape, sabotage: Sabotage) -> Self {
        let world = World::new(tests::beginning(), seed, shape.places() + shape.clients);
        let member = |place: usize| Member {
            id: NodeId(format!("sim-{:03}", place + 1)),
            zone: Zone(["a", "b", "c"][place % 3].to_owned()),
            client_address: (place != shape.data || !shape.has_witness)
                .then(|| ([127, 0, 0, 1], 7000 + place as u16).into()),
            group_address: ([127, 0, 0, 1], 8000 + place as u16).into(),
        };
        let members: Vec<Member> = (0..shape.places()).map(member).collect();
        let places = members.iter().enumerate().map(|(place, one)| (one.id.clone(), place));
        Self {
            world,
            shape,
            founders: shape.places() - shape.spare,
            files: members.iter().map(|_| Files::default()).collect(),
            places: Arc::new(places.collect()),
            members,
            record: Arc::default(),
            sabotage,
            doubt: None,
            back: BTreeMap::new(),
            clients: Vec::new(),
            told: 0,
        }
    }

    /// Starts a node; one that was there before comes back with its disk and without its memory.
    async fn start(&mut self, place: usize) {
        let world = &self.world;
        let me = self.members[place].clone();
        let life = world.begin_life(place);
        world.tell(|| format!("{place} starts"));
        let lease = Arc::new(Lease::default());
        let data = me.client_address.map(|_| {
            let (places, record) = (Arc::clone(&self.places), Arc::clone(&self.record));
            let name = (me.id.clone(), place);
            SimNode::new(name, world, Arc::clone(&lease), places, record, self.sabotage)
        });
        world.set_data(place, data.clone());
        let founders = match place < self.founders {
            true => self.members[..self.founders].to_vec(),
            false => Vec::new(),
        };
        let files = Arc::clone(&self.files[place]);
        let clock = SimClock { world: Arc::clone(world), place };
        let options = Options {
            group: "sim".to_owned(),
            founders,
            timings: match self.sabotage {
                Sabotage::NoPatience if place == 0 => {
                    Timings { lease: Timings::default().lease * 4, ..Timings::default() }
                }
                _ => Timings::default(),
            },
            disk: Arc::new(SimDisk { world: Arc::clone(world), place, life, files }),
            peers: Arc::new(SimPeers {
                world: Arc::clone(world),
                me: me.id.clone(),
                place,
                life,
                places: Arc::clone(&self.places),
            }),
            node: data.map(|data| Arc::new(data) as Arc<dyn DataNode>),
            lease,
            host: Arc::new(SimHost { world: Arc::clone(world), place, life }),
            clock: Arc::new(clock),
            me,
        };
        match Driver::start(options).await {
            Ok(handle) => world.settle_in(place, handle),
            // Its disk failed at the start: it is tried again.
            Err(_) => self.power_off(place, Duration::from_millis(500)),
        }
    }

    fn start_clients(&mut self) {
        for number in 0..self.shape.clients {
            let client = Client {
                world: Arc::clone(&self.world),
                places: Arc::clone(&self.places),
                place: self.members.len() + number,
                record: Arc::clone(&self.record),
            };
            self.clients.push(tokio::spawn(client.run()));
        }
    }

    /// Ends a node's life at once; it has power again after a time.
    fn power_off(&mut self, place: usize, duration: Duration) {
        self.world.tell(|| format!("{place} loses its power for {duration:?}"));
        let until = self.world.now() + duration.as_nanos() as u64;
        let known = self.back.entry(place).or_insert(until);
        *known = until.max(*known);
        if let Some(handle) = self.world.end_life(place) {
            // Nothing of what it still does reaches the world.
            tokio::spawn(async move { handle.stop().await });
        }
    }

    /// Lets time pass, and acts on what happens meanwhile as whoever runs the nodes would.
    async fn pass(&mut self, duration: Duration) {
        let until = self.world.now() + duration.as_nanos() as u64;
        while self.world.now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
            for accident in self.world.take_accidents() {
                match accident {
                    Accident::Crash(place) => self.power_off(place, Duration::from_millis(400)),
                    Accident::PowerOff(place, duration) => {
                        self.power_off(place, duration.max(Duration::from_millis(300)));
                    }
                }
            }
            let now = self.world.now();
            let ready: Vec<usize> =
                self.back.iter().filter(|(_, at)| **at <= now).map(|(place, _)| *place).collect();
            for place in ready {
                self.back.remove(&place);
                self.start(place).await;
            }
            self.restart_broken();
            self.tell_config();
        }
    }

    fn tell_config(&mut self) {
        let config = self.config();
        if config.revision != self.told {
            self.told = config.revision;
            self.world.tell(|| format!("revision {}: {}", config.revision, self.describe()));
        }
    }

    /// A member whose consensus gave up, as after a disk that failed, is started anew.
    fn restart_broken(&mut self) {
        for place in 0..self.members.len() {
            let status = self.status(place);
            if status.is_some_and(|status| status.failure.is_some()) {
                self.power_off(place, Duration::from_millis(300));
            }
        }
    }

    fn status(&self, place: usize) -> Option<Arc<Status>> {
        let handle = self.world.handle(place)?;
        let status = handle.status();
        let status = Arc::clone(&status.borrow());
        Some(status)
    }

    /// The latest configuration that anybody knows.
    fn config(&self) -> Arc<GroupConfig> {
        (0..self.members.len())
            .filter_map(|place| self.status(place))
            .map(|status| Arc::clone(&status.config))
            .max_by_key(|config| (config.revision, config.events.len()))
            .unwrap_or_default()
    }

    /// Whether one node may lose its memory without a risk for acknowledged writes.
    fn may_lose_memory(&mut self) -> bool {
        let config = self.config();
        if let Some(doubt) = self.doubt.take() {
            self.doubt = doubt.remains(self, &config);
        }
        config.primary.is_some()
            && config.interrupted.is_none()
            && self.doubt.is_none()
            && self.back.is_empty()
            && node::is_whole(&config, &self.world, &self.places)
    }

    /// Mends everything.
    async fn calm(&mut self) {
        self.world.heal_network();
        for place in 0..self.members.len() {
            self.world.wake(place);
            self.world.set_slow_disk(place, 0);
        }
        self.pass(Duration::from_millis(500)).await;
    }

    /// Whether somebody leads with a lease and all data is in sync, in logs of the same length.
    fn is_well(&self) -> bool {
        let config = self.config();
        let Some(primary) = config.primary.as_ref().and_then(|id| self.places.get(id)) else {
            return false;
        };
        let leads = self.status(*primary).is_some_and(|status| status.has_lease);
        leads && config.interrupted.is_none() && node::is_whole(&config, &self.world, &self.places)
    }

    fn logs(&self) -> Vec<(usize, Vec<Entry>)> {
        let config = self.config();
        let members = config.data_members().filter_map(|one| self.places.get(&one.id));
        members.filter_map(|&place| Some((place, self.world.data(place)?.log()))).collect()
    }

    /// The calm part, and the judges.
    async fn judge(&mut self) -> Result<(), String> {
        self.calm().await;
        let mut waited = 0;
        while !self.is_well() {
            self.pass(Duration::from_millis(200)).await;
            waited += 1;
            if waited > 250 {
                return Err(format!("no progress in 50 s of calm: {}", self.describe()));
            }
        }
        let before = self.record.replies.lock().iter().filter(|one| one.value.is_some()).count();
        self.pass(Duration::from_secs(2)).await;
        let after = self.record.replies.lock().iter().filter(|one| one.value.is_some()).count();
        if after == before {
            return Err(format!("no write in 2 s of calm: {}", self.describe()));
        }
        self.record.is_over.store(true, Ordering::Relaxed);
        // Longer than any call.
        self.pass(Duration::from_secs(2)).await;
        assert!(
            self.clients.drain(..).all(|client| client.is_finished()),
            "a client calls for ever"
        );
        judge::one_primary_at_a_time(&self.record)?;
        let logs = self.logs();
        judge::all_have_the_same(&logs)?;
        judge::nothing_is_lost(&self.record, &logs[0].1)?;
        judge::linearizable(&self.record)
    }

    fn describe(&self) -> String {
        let config = self.config();
        let mut text = format!(
            "epoch {} primary {:?} in sync {:?} leaving {:?} interrupted {:?};",
            config.epoch,
            config.primary,
            config.in_sync.keys().map(|id| &id.0).collect::<Vec<_>>(),
            config.leaving,
            config.interrupted
        );
        for place in 0..self.members.len() {
            if let Some(status) = self.status(place) {
                let offset = self.world.data(place).map(|data| DataNode::position(&data).offset);
                text += &format!(
                    " {}: {:?} epoch {} promised {} lease {} age {} leader {:?} at {offset:?} failure {:?};",
                    place + 1,
                    status.state,
                    status.config.epoch,
                    status.promised,
                    status.has_lease,
                    status.lease_age_ms,
                    status.consensus_leader.as_ref().map(|id| &id.0),
                    status.failure
                );
            } else {
                text += &format!(" {}: down;", place + 1);
            }
        }
        text
    }
}

/// Runs something on a thread of its own with time that passes only when nothing is left to do.
fn simulate<T: Send + 'static>(seed: u64, history: impl AsyncFnOnce() -> T + Send + 'static) -> T {
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let result = runtime.block_on(history());
    runtime.shutdown_background();
    result
}

/// A group of three that is well, with clients.
async fn well(seed: u64, sabotage: Sabotage) -> Group {
    let storm = Duration::ZERO;
    let shape = Shape { data: 3, has_witness: false, spare: 0, clients: 3, storm };
    let mut group = Group::new(seed, shape, sabotage);
    for place in 0..group.founders {
        group.start(place).await;
    }
    group.start_clients();
    for _ in 0..100 {
        group.pass(Duration::from_millis(100)).await;
        if group.is_well() {
            break;
        }
    }
    group
}

/// What a change of the primary of a group that was well cost.
struct Change {
    /// From what happened to the first write that a later epoch acknowledged, in milliseconds.
    writes_ms: u64,
    /// Full syncs of those who were not hit.
    full_syncs: usize,
    /// Whether another node is the primary afterwards.
    is_moved: bool,
    verdict: Result<(), String>,
}

/// The primary of a group that is well loses its power, or hands over.
fn change_primary(seed: u64, is_planned: bool) -> Change {
    simulate(seed, async move || {
        let mut group = well(seed, Sabotage::None).await;
        let later = group.world.random(|random| random.u64(0..400));
        group.pass(Duration::from_millis(later)).await;
        let config = group.config();
        let primary = config.primary.as_ref().and_then(|id| group.places.get(id).copied());
        let primary = primary.expect("a primary");
        let began = group.world.now();
        if is_planned {
            let handle = group.world.handle(primary).expect("it is up");
            let handed_over = tokio::spawn(async move { handle.hand_over(None).await });
            group.pass(Duration::from_secs(1)).await;
            assert!(matches!(handed_over.await, Ok(Ok(_))), "seed {seed}");
        } else {
            group.power_off(primary, Duration::from_secs(4));
        }
        group.pass(Duration::from_secs(3)).await;
        let full_syncs = group.record.full_syncs.lock().clone();
        let hit = (!is_planned).then_some(primary);
        let full_syncs =
            full_syncs.iter().filter(|(at, place)| *at > began && Some(*place) != hit).count();
        let replies = group.record.replies.lock().clone();
        let first = replies.iter().find(|one| one.epoch > config.epoch && one.value.is_some());
        let writes_ms = first.map_or(u64::MAX, |one| (one.at - began) / 1_000_000);
        let is_moved = group.config().primary != config.primary;
        let verdict = group.judge().await;
        Change { writes_ms, full_syncs, is_moved, verdict }
    })
}

/// One history.
fn run(seed: u64, sabotage: Sabotage) -> Outcome {
    simulate(seed, async move || {
        let mut random = fastrand::Rng::with_seed(seed ^ 0x5eed);
        let shape = Shape::draw(&mut random);
        let mut group = Group::new(seed, shape, sabotage);
        for place in 0..group.founders {
            group.start(place).await;
        }
        group.start_clients();
        group.storm(&mut random).await;
        let verdict = group.judge().await;
        let acknowledged = group.record.replies.lock().len();
        for reply in group.record.replies.lock().iter() {
            group.world.trace(reply.at ^ reply.epoch);
        }
        let epochs = group.config().epoch;
        Outcome { trace: group.world.traced(), acknowledged, epochs, verdict }
    })
}
