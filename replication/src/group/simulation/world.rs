//! The simulated world: a network, clocks and disks that fail as the seed says.
//!
//! All of it runs on one thread of tokio with a paused clock, and every decision is drawn from one
//! generator, so a seed is a history. A place is a node or a client, by its number.

use super::super::disk::DiskError;
use super::super::driver::Handle;
use super::super::ports::{Disk, GroupClock, Host, Writing};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How the network is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    pub(super) delay_us: (u64, u64),
    pub(super) loss_percent: u64,
    pub(super) duplicate_percent: u64,
}

impl Weather {
    pub(super) const CALM: Self =
        Self { delay_us: (200, 1500), loss_percent: 0, duplicate_percent: 0 };
}

/// What happened to a node that whoever runs it has to act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accident {
    /// It lost its power, for so long.
    PowerOff(usize, Duration),
    /// It crashed while it wrote to its disk.
    Crash(usize),
}

/// One place.
#[derive(Default)]
struct Place {
    handle: Option<Handle>,
    data: Option<Arc<super::node::SimNode>>,
    /// Grows with each start; what belongs to an earlier one is dead.
    life: u64,
    is_up: bool,
    paused_until: u64,
    pause_began: u64,
    /// Parts in a million by which its clock is faster than the true one.
    drift_ppm: i64,
    clock_offset: u64,
    unix_offset_ms: i64,
    slow_disk_percent: u64,
    /// Until when its disk is busy with what was written before.
    writes_until: u64,
    crashes_at_write: bool,
}

struct State {
    random: fastrand::Rng,
    weather: Weather,
    cuts: BTreeSet<(usize, usize)>,
    /// Ways on which data goes on and the members' questions do not.
    deaf: BTreeSet<(usize, usize)>,
    /// Whether consensus agrees on nothing more, though all else goes on.
    drops_changes: bool,
    slow_us: BTreeMap<(usize, usize), u64>,
    places: Vec<Place>,
    accidents: Vec<Accident>,
    trace: u64,
}

/// The world.
pub(super) struct World {
    start: Instant,
    is_told: bool,
    state: Mutex<State>,
    woken: Notify,
}

impl World {
    pub(super) fn new(start: Instant, seed: u64, places: usize) -> Arc<Self> {
        let mut random = fastrand::Rng::with_seed(seed);
        let place = |_| Place {
            drift_ppm: random.i64(-8000..8000),
            clock_offset: random.u64(0..1 << 50),
            unix_offset_ms: random.i64(-3_600_000..3_600_000),
            ..Place::default()
        };
        let places = (0..places).map(place).collect();
        let state = State {
            random,
            weather: Weather::CALM,
            cuts: BTreeSet::new(),
            deaf: BTreeSet::new(),
            drops_changes: false,
            slow_us: BTreeMap::new(),
            places,
            accidents: Vec::new(),
            trace: seed,
        };
        let is_told = std::env::var_os("LARDER_SIM_TELL").is_some();
        Arc::new(Self { start, is_told, state: Mutex::new(state), woken: Notify::new() })
    }

    /// True nanoseconds since the beginning.
    pub(super) fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// Tells what happens, where one history is looked at.
    pub(super) fn tell(&self, what: impl FnOnce() -> String) {
        if self.is_told {
            println!("{:>9.3} s  {}", self.now() as f64 / 1e9, what());
        }
    }

    /// Adds to what makes one run different from another one.
    pub(super) fn trace(&self, what: u64) {
        let now = self.now();
        let mut state = self.state.lock();
        for word in [now, what] {
            state.trace = (state.trace ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        }
    }

    pub(super) fn traced(&self) -> u64 {
        self.state.lock().trace
    }

    pub(super) fn random<T>(&self, draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        draw(&mut self.state.lock().random)
    }

    /// Goes from place to place: waits as long as it takes, and tells whether it arrives.
    pub(super) async fn travel(&self, from: usize, to: usize) -> bool {
        self.awake(from).await;
        let (delay, is_lost) = {
            let mut state = self.state.lock();
            let (low, high) = state.weather.delay_us;
            let slow = state.slow_us.get(&(from, to)).copied().unwrap_or(0);
            let delay = state.random.u64(low..=high) + slow;
            let loss = state.weather.loss_percent;
            let is_lost = state.random.u64(0..100) < loss;
            (Duration::from_micros(delay), is_lost || state.cuts.contains(&(from, to)))
        };
        tokio::time::sleep(delay).await;
        self.awake(to).await;
        !is_lost && !self.state.lock().cuts.contains(&(from, to))
    }

    /// As [`travel`](Self::travel), for a question of one member to another or its answer.
    pub(super) async fn call(&self, from: usize, to: usize) -> bool {
        self.travel(from, to).await && !self.state.lock().deaf.contains(&(from, to))
    }

    /// Whether what is sent now arrives twice.
    pub(super) fn is_doubled(&self) -> bool {
        let mut state = self.state.lock();
        let percent = state.weather.duplicate_percent;
        state.random.u64(0..100) < percent
    }

    /// Waits until a place is not paused.
    pub(super) async fn awake(&self, place: usize) {
        loop {
            let until = self.state.lock().places[place].paused_until;
            let now = self.now();
            if until <= now {
                return;
            }
            let rest = Duration::from_nanos(until - now + 1000);
            // Or until somebody wakes it.
            let _ = tokio::time::timeout(rest, self.woken.notified()).await;
        }
    }

    pub(super) fn is_paused(&self, place: usize) -> bool {
        self.state.lock().places[place].paused_until > self.now()
    }

    pub(super) fn pause(&self, place: usize, duration: Duration) {
        let now = self.now();
        let mut state = self.state.lock();
        let place = &mut state.places[place];
        if place.paused_until <= now {
            place.pause_began = now;
        }
        place.paused_until = place.paused_until.max(now + duration.as_nanos() as u64);
    }

    pub(super) fn wake(&self, place: usize) {
        self.state.lock().places[place].paused_until = 0;
        self.woken.notify_waiters();
    }

    pub(super) fn set_weather(&self, weather: Weather) {
        self.state.lock().weather = weather;
    }

    pub(super) fn cut(&self, from: usize, to: usize) {
        self.state.lock().cuts.insert((from, to));
    }

    pub(super) fn deafen(&self, from: usize, to: usize) {
        self.state.lock().deaf.insert((from, to));
    }

    pub(super) fn drops_changes(&self) -> bool {
        self.state.lock().drops_changes
    }

    pub(super) fn drop_changes(&self) {
        self.state.lock().drops_changes = true;
    }

    pub(super) fn slow(&self, from: usize, to: usize, delay_us: u64) {
        self.state.lock().slow_us.insert((from, to), delay_us);
    }

    pub(super) fn heal_network(&self) {
        let mut state = self.state.lock();
        state.cuts.clear();
        state.deaf.clear();
        state.drops_changes = false;
        state.slow_us.clear();
        state.weather = Weather::CALM;
    }

    pub(super) fn jump_unix_clock(&self, place: usize, by_ms: i64) {
        self.state.lock().places[place].unix_offset_ms += by_ms;
    }

    pub(super) fn set_slow_disk(&self, place: usize, percent: u64) {
        self.state.lock().places[place].slow_disk_percent = percent;
    }

    pub(super) fn crash_at_write(&self, place: usize) {
        self.state.lock().places[place].crashes_at_write = true;
    }

    /// A node begins a life there; what it belongs to is told by the number.
    pub(super) fn begin_life(&self, place: usize) -> u64 {
        let mut state = self.state.lock();
        let place = &mut state.places[place];
        place.life += 1;
        place.is_up = true;
        place.paused_until = 0;
        place.crashes_at_write = false;
        place.writes_until = 0;
        place.life
    }

    pub(super) fn settle_in(&self, place: usize, handle: Handle) {
        self.state.lock().places[place].handle = Some(handle);
    }

    pub(super) fn set_data(&self, place: usize, data: Option<Arc<super::node::SimNode>>) {
        self.state.lock().places[place].data = data;
    }

    /// Its life ends at once; gives what was left of it.
    pub(super) fn end_life(&self, place: usize) -> Option<Handle> {
        let mut state = self.state.lock();
        let place = &mut state.places[place];
        place.is_up = false;
        place.life += 1;
        if let Some(data) = place.data.take() {
            data.end();
        }
        place.handle.take()
    }

    pub(super) fn lives(&self, place: usize, life: u64) -> bool {
        let state = self.state.lock();
        state.places[place].is_up && state.places[place].life == life
    }

    pub(super) fn is_up(&self, place: usize) -> bool {
        self.state.lock().places[place].is_up
    }

    pub(super) fn handle(&self, place: usize) -> Option<Handle> {
        self.state.lock().places[place].handle.clone()
    }

    pub(super) fn data(&self, place: usize) -> Option<Arc<super::node::SimNode>> {
        self.state.lock().places[place].data.clone()
    }

    pub(super) fn take_accidents(&self) -> Vec<Accident> {
        std::mem::take(&mut self.state.lock().accidents)
    }
}

/// The clock of one node. While the node is paused it stands still for the node: what runs then is
/// what ran before the pause.
pub(super) struct SimClock {
    pub(super) world: Arc<World>,
    pub(super) place: usize,
}

impl GroupClock for SimClock {
    fn boottime_nanos(&self) -> u64 {
        let mut now = self.world.now();
        let state = self.world.state.lock();
        let place = &state.places[self.place];
        if place.paused_until > now {
            now = place.pause_began;
        }
        let drift = i128::from(now) * i128::from(place.drift_ppm) / 1_000_000;
        place.clock_offset + (i128::from(now) + drift) as u64
    }

    fn unix_ms(&self) -> i64 {
        let now = self.world.now();
        self.world.state.lock().places[self.place].unix_offset_ms
            + 1_700_000_000_000
            + (now / 1_000_000) as i64
    }
}

/// Files of one node, which stay when it dies.
pub(super) type Files = Arc<Mutex<BTreeMap<String, Vec<Vec<u8>>>>>;

/// The disk as one life of a node sees it.
pub(super) struct SimDisk {
    pub(super) world: Arc<World>,
    pub(super) place: usize,
    pub(super) life: u64,
    pub(super) files: Files,
}

impl SimDisk {
    /// Writes are done one after the other, each as late as the disk is slow; without power they are
    /// not.
    fn write(
        &self,
        change: impl FnOnce(&mut BTreeMap<String, Vec<Vec<u8>>>) + Send + 'static,
    ) -> Writing {
        let broken = || DiskError::Broken("simulated".to_owned());
        if !self.world.lives(self.place, self.life) {
            return Box::pin(ready(Err(broken())));
        }
        let now = self.world.now();
        let (crashes, is_there, until) = {
            let mut state = self.world.state.lock();
            let State { random, places, accidents, .. } = &mut *state;
            let place = &mut places[self.place];
            let crashes = std::mem::take(&mut place.crashes_at_write);
            if crashes {
                place.is_up = false;
                accidents.push(Accident::Crash(self.place));
            }
            let is_slow = random.u64(0..100) < place.slow_disk_percent;
            let slow_us = if is_slow { random.u64(100..300_000) } else { 0 };
            let is_busy = place.writes_until > now;
            // Timers count milliseconds: what is one earlier is done before.
            let takes_us = if is_busy { slow_us.max(1000) } else { slow_us };
            place.writes_until = place.writes_until.max(now) + takes_us * 1000;
            // What is there is there in order.
            (crashes, !crashes || random.bool() && !is_busy, place.writes_until)
        };
        if until <= now || crashes {
            if is_there {
                change(&mut self.files.lock());
            }
            return Box::pin(ready(if crashes { Err(broken()) } else { Ok(()) }));
        }
        let (world, files) = (Arc::clone(&self.world), Arc::clone(&self.files));
        let (place, life) = (self.place, self.life);
        let written = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_nanos(until - now)).await;
            world.lives(place, life).then(|| change(&mut files.lock()))
        });
        Box::pin(async move { written.await.ok().flatten().ok_or_else(broken) })
    }
}

impl Disk for SimDisk {
    fn read(&self, name: &str) -> Result<Vec<Vec<u8>>, DiskError> {
        Ok(self.files.lock().get(name).cloned().unwrap_or_default())
    }

    fn replace(&self, name: &str, record: &[u8]) -> Writing {
        let (name, record) = (name.to_owned(), record.to_vec());
        self.write(|files| drop(files.insert(name, vec![record])))
    }

    fn append(&self, name: &str, record: &[u8]) -> Writing {
        let (name, record) = (name.to_owned(), record.to_vec());
        self.write(|files| files.entry(name).or_default().push(record))
    }
}

/// Whoever runs a node.
pub(super) struct SimHost {
    pub(super) world: Arc<World>,
    pub(super) place: usize,
    pub(super) life: u64,
}

impl Host for SimHost {
    fn power_off(&self, duration: Duration) {
        if self.world.lives(self.place, self.life) {
            self.world.state.lock().accidents.push(Accident::PowerOff(self.place, duration));
        }
    }
}
