//! Sessions that many change at once, while their servers fail: none of them may have had a life that
//! it cannot have had.
//!
//! Applications, each a process of its own, have nothing in common but the tokens. They look at
//! sessions, use, patch, edit, lock, rotate and end them, all at random, and what came of it is written down;
//! [`history`](crate::history) judges that. `LARDER_LIVES_SECONDS` sets how long each test takes,
//! `LARDER_RACE_SEED` the seed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use larder_tests::cluster::{Cluster, field};
use larder_tests::eventually;
use parking_lot::Mutex;

use crate::application::{Answer, Application, Request, serve_if_told};
use crate::history::{Event, Key, Life, Outcome, Span, Step, Terms};
use crate::race::seed;
use crate::site::{MAKES, Site};

const APPLICATIONS: usize = 8;
/// What each of them does at once.
const TASKS: usize = 3;
const USERS: usize = 5;
/// Sessions at once.
const SLOTS: usize = 12;
const TERMS: Terms = Terms { idle: Duration::from_millis(1500), absolute: Duration::from_secs(5) };
/// Between two blows.
const REST: Duration = Duration::from_millis(600);
/// How long a session is used that is only looked at afterwards.
const LOUD: Duration = Duration::from_millis(300);

/// The sessions, and whoever uses them.
struct Stage {
    slots: Vec<Mutex<Option<Arc<Life>>>>,
    /// All that ever were.
    lives: Mutex<Vec<Arc<Life>>>,
    /// When all of a user were ended.
    closings: Mutex<Vec<Closing>>,
    over: AtomicBool,
    start: Instant,
}

/// The end of all sessions of a user, but for one if there is one to keep.
struct Closing {
    user: usize,
    kept: Option<Arc<Life>>,
    span: Span,
    outcome: Outcome,
}

impl Closing {
    /// What it was to a session of its user.
    fn to(&self, life: &Arc<Life>) -> Event {
        let is_kept = self.kept.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, life));
        let made = life.keys.lock()[0].made;
        let outcome = match &self.outcome {
            // The key may have been replaced meanwhile, and a session have begun only then.
            Outcome::Done(_) if is_kept || made.ended > self.span.began => {
                Outcome::Error("nobody knows whether it was meant".to_owned())
            }
            outcome => outcome.clone(),
        };
        Event { span: self.span, key: 0, step: Step::Close, outcome }
    }

    /// Whether it was over before a session began.
    fn is_before(&self, life: &Life) -> bool {
        let is_known = matches!(self.outcome, Outcome::Done(_));
        is_known && self.span.ended <= life.keys.lock()[0].made.began
    }
}

/// One that uses sessions.
struct Actor {
    stage: Arc<Stage>,
    application: Arc<Application>,
    random: fastrand::Rng,
    /// Its field, another one after a change of which nobody knows whether it was made: that may yet
    /// be made after the next one.
    field: String,
    number: usize,
    value: u32,
}

impl Stage {
    /// Lets all act for as long as `trouble`, which is called again and again, says.
    async fn run(test: &str, nodes: &[String], seed: u64, mut trouble: impl FnMut() -> bool) {
        let stage = Arc::new(Self {
            slots: (0..SLOTS).map(|_| Mutex::default()).collect(),
            lives: Mutex::default(),
            closings: Mutex::default(),
            over: AtomicBool::new(false),
            start: Instant::now(),
        });
        let mut tasks = Vec::new();
        for process in 0..APPLICATIONS {
            let application = Arc::new(Application::start(test, nodes));
            for task in 0..TASKS {
                let number = process * TASKS + task;
                let actor = Actor {
                    stage: Arc::clone(&stage),
                    application: Arc::clone(&application),
                    random: fastrand::Rng::with_seed(seed ^ number as u64),
                    field: format!("{number}.0"),
                    number,
                    value: 0,
                };
                tasks.push(tokio::spawn(actor.act()));
            }
        }
        while tokio::task::block_in_place(&mut trouble) {}
        stage.over.store(true, Ordering::SeqCst);
        for task in tasks {
            task.await.expect("one that did not give up");
        }
        stage.judge();
    }

    fn judge(&self) {
        let lives = self.lives.lock();
        for life in lives.iter() {
            let last = life.events.lock().iter().map(|event| event.span.ended).max();
            let is_after = |closing: &Closing| last.is_none_or(|last| closing.span.began > last);
            for closing in self.closings.lock().iter() {
                let concerns = !closing.is_before(life) && !is_after(closing);
                if closing.user == life.user && concerns {
                    life.events.lock().push(closing.to(life));
                }
            }
            if let Err(why) = life.judge(TERMS) {
                let began = life.keys.lock()[0].made.began;
                panic!("{:?} after the start: {why}", began.saturating_duration_since(self.start));
            }
        }
        let (mut steps, mut seen, mut gone, mut errors) = (0, 0, 0, BTreeMap::new());
        for life in lives.iter() {
            for event in life.events.lock().iter() {
                match &event.outcome {
                    Outcome::Done(_) | Outcome::Conflict => steps += 1,
                    Outcome::Seen { .. } => seen += 1,
                    Outcome::Gone => gone += 1,
                    Outcome::Error(why) => *errors.entry(why.clone()).or_insert(0) += 1,
                }
            }
        }
        let told = format!(
            "{} sessions, {steps} steps, seen {seen} times, missed {gone} times, errors: {errors:?}",
            lives.len()
        );
        println!("{told}");
        let errors: usize = errors.values().sum();
        assert!(lives.len() > 2 * SLOTS && steps > 500 && seen > 500 && gone > 10, "{told}");
        assert!(errors * 5 < steps + seen, "{told}");
    }
}

impl Actor {
    async fn act(mut self) {
        while !self.stage.over.load(Ordering::SeqCst) {
            let slot = self.random.usize(..SLOTS);
            let life = self.stage.slots[slot].lock().clone();
            match life {
                None => self.begin(slot).await,
                Some(life) if self.random.u32(..400) == 0 => self.close_all(&life).await,
                Some(life) => {
                    let is_over = self.step(&life).await;
                    let mut slot = self.stage.slots[slot].lock();
                    if is_over && slot.as_ref().is_some_and(|now| Arc::ptr_eq(now, &life)) {
                        *slot = None;
                    }
                }
            }
            if self.random.u32(..3) == 0 {
                tokio::time::sleep(Duration::from_micros(self.random.u64(..4000))).await;
            }
        }
    }

    async fn begin(&mut self, slot: usize) {
        let user = self.random.usize(..USERS);
        let (answer, made) = self.ask(Request::Create { user: name(user) }).await;
        let Some(pass) = answer.pass else { return };
        let life = Life::new(user, self.random.u32(..3) == 0, Key { pass, made });
        let life = Arc::new(life);
        self.stage.lives.lock().push(Arc::clone(&life));
        *self.stage.slots[slot].lock() = Some(life);
    }

    /// What an application answers, and from when to when it was asked.
    async fn ask(&self, request: Request) -> (Answer, Span) {
        let began = Instant::now();
        let answer = self.application.ask(&request).await;
        (answer, Span { began, ended: Instant::now() })
    }

    /// Does something with a session; whether it is over.
    async fn step(&mut self, life: &Life) -> bool {
        let (at, key) = {
            let keys = life.keys.lock();
            let last = keys.len() - 1;
            let at = if self.random.u32(..4) == 0 { self.random.usize(..=last) } else { last };
            (at, keys[at].clone())
        };
        let is_last_of = |life: &Life| at + 1 == life.keys.lock().len();
        let is_quiet = life.is_quiet && key.made.began.elapsed() > LOUD;
        let step = if is_quiet { Step::Peek } else { self.choose() };
        let request = Request::Step { pass: key.pass, step: step.clone() };
        let (Answer { pass, outcome }, span) = self.ask(request).await;
        if let Some(pass) = pass {
            life.keys.lock().push(Key { pass, made: span });
        }
        if let (Step::Patch { .. }, Outcome::Error(_)) = (&step, &outcome) {
            self.value += 1;
            self.field = format!("{}.{}", self.number, self.value);
        }
        let is_gone = matches!(outcome, Outcome::Gone) || step == Step::Close;
        let is_over = is_gone && is_last_of(life);
        life.events.lock().push(Event { span, key: at, step, outcome });
        // Others look at what is over too.
        is_over && self.random.bool()
    }

    fn choose(&mut self) -> Step {
        match self.random.u32(..100) {
            0..15 => Step::Peek,
            15..40 => Step::Load,
            40..50 => Step::Touch,
            50..70 => {
                self.value += 1;
                Step::Patch { field: self.field.clone(), value: self.value }
            }
            70..86 => Step::Edit,
            86..90 => Step::EditLocked,
            90..94 => Step::Rotate { grace: Duration::from_millis(self.random.u64(100..2000)) },
            94..96 => Step::Rotate { grace: Duration::ZERO },
            _ => Step::Close,
        }
    }

    /// Ends all sessions of a user, with or without one that is kept.
    async fn close_all(&mut self, life: &Arc<Life>) {
        let kept = self.random.bool().then(|| Arc::clone(life));
        let key = kept.as_ref().and_then(|kept| kept.keys.lock().last().cloned());
        let keep = key.map(|key| key.pass);
        let (answer, span) = self.ask(Request::CloseAll { user: name(life.user), keep }).await;
        // Without the one to keep nothing was done.
        if !matches!(answer.outcome, Outcome::Gone) {
            let closing = Closing { user: life.user, kept, span, outcome: answer.outcome };
            self.stage.closings.lock().push(closing);
        }
    }
}

fn name(user: usize) -> String {
    format!("user {user}")
}

/// How long a test takes.
fn length() -> Duration {
    let seconds = std::env::var("LARDER_LIVES_SECONDS").ok();
    Duration::from_secs(seconds.and_then(|seconds| seconds.parse().ok()).unwrap_or(12))
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().expect("a runtime")
}

/// Hits a group of processes, each of which is a zone, and waits until it could bear the next blow.
/// Says what it did.
fn hit(cluster: &mut Cluster, random: &mut fastrand::Rng) -> &'static str {
    let primary = cluster.primary();
    let blow = match random.u32(..8) {
        0 | 1 => {
            kill(cluster, primary);
            "killed the primary"
        }
        2 => {
            kill(cluster, (primary + random.usize(1..3)) % 3);
            "killed a replica"
        }
        3 => {
            cluster.nodes[primary].signal("STOP");
            cluster.wait_other_primary(primary);
            sleep(REST);
            cluster.nodes[primary].signal("CONT");
            "stopped the primary for a while"
        }
        // So short that nobody may be chosen meanwhile, or long enough.
        4 | 5 => {
            cluster.interrupt_zone(primary, Duration::from_millis(random.u64(50..2500)));
            "took the power from the zone of the primary"
        }
        6 => {
            let replica = (primary + random.usize(1..3)) % 3;
            cluster.interrupt_zone(replica, Duration::from_millis(random.u64(50..2500)));
            "took the power from the zone of a replica"
        }
        // Nothing comes of it where no replica is in sync at this moment.
        _ => {
            cluster.nodes[primary].connect().run("GROUP FAILOVER");
            "handed over"
        }
    };
    cluster.wait_whole();
    blow
}

/// Kills a node, which has no memory of its own, and starts it again when the group goes on without it:
/// what it acknowledged counts until then, and with another such loss it might be too much.
fn kill(cluster: &mut Cluster, node: usize) {
    cluster.nodes[node].kill();
    let id = cluster.nodes[node].id.clone();
    eventually("the group goes on without it", || {
        let known = cluster.other(node).status();
        known.is_some_and(|known| {
            let in_sync = field(&known, "in-sync").items();
            in_sync.iter().all(|one| one.text() != id)
        })
    });
    cluster.nodes[node].launch();
}

#[test]
fn no_session_has_a_life_that_it_cannot_have() {
    if serve_if_told(TERMS) {
        return;
    }
    let seed = seed();
    for site in MAKES.into_iter().flat_map(|make| [Site::single(make), Site::pair(make)]) {
        let end = Instant::now() + length() / 4;
        let wait = || {
            sleep(Duration::from_millis(100));
            Instant::now() < end
        };
        let test = "lives::no_session_has_a_life_that_it_cannot_have";
        runtime().block_on(Stage::run(test, &site.addresses(), seed, wait));
    }
}

#[test]
fn nor_while_a_group_loses_zones_again_and_again() {
    if serve_if_told(TERMS) {
        return;
    }
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut cluster = Cluster::start(&["--write-acks", "quorum"]);
    let nodes: Vec<String> = cluster.nodes.iter().map(|node| node.addr.to_string()).collect();
    let start = Instant::now();
    let trouble = || {
        sleep(REST);
        let began = start.elapsed();
        let blow = hit(&mut cluster, &mut random);
        println!("{began:?}: {blow}, whole again at {:?}", start.elapsed());
        start.elapsed() < length()
    };
    let test = "lives::nor_while_a_group_loses_zones_again_and_again";
    runtime().block_on(Stage::run(test, &nodes, seed, trouble));
}
