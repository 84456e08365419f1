//! Sessions that many change at once, while their servers fail: none of them may have had a life that
//! it cannot have had.
//!
//! Clients with nothing in common but the tokens look at sessions, use, patch, edit, rotate and end
//! them, all at random, and write down what came of it; [`history`](crate::history) judges that.
//! `LARDER_LIVES_SECONDS` sets how long each site runs, `LARDER_RACE_SEED` the seed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use larder_client::sessions::{Grace, SessionError};
use larder_client::{Net, Sessions, Target};
use parking_lot::Mutex;

use crate::history::{Data, EDITS, Event, Key, Life, Outcome, Span, Step, Terms};
use crate::race::seed;
use crate::site::{MAKES, Site};

const CLIENTS: usize = 8;
/// What each client does at once.
const TASKS: usize = 3;
const USERS: usize = 5;
/// Sessions at once.
const SLOTS: usize = 12;
const TERMS: Terms = Terms { idle: Duration::from_millis(1500), absolute: Duration::from_secs(5) };
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
    sessions: Sessions<Data>,
    random: fastrand::Rng,
    /// Its field, another one after a change of which nobody knows whether it was made: that may yet
    /// be made after the next one.
    field: String,
    number: usize,
    value: u32,
}

impl Stage {
    /// Lets all act for as long as `trouble`, which is called again and again, says.
    async fn run(nets: &[Net], seed: u64, mut trouble: impl FnMut() -> bool) {
        let stage = Arc::new(Self {
            slots: (0..SLOTS).map(|_| Mutex::default()).collect(),
            lives: Mutex::default(),
            closings: Mutex::default(),
            over: AtomicBool::new(false),
            start: Instant::now(),
        });
        let mut tasks = Vec::new();
        for (client, net) in nets.iter().enumerate() {
            let sessions = net.sessions("lives").idle(TERMS.idle).absolute(TERMS.absolute);
            let sessions = sessions.read_from(Target::Primary).confirm(0, Duration::ZERO);
            let sessions: Sessions<Data> = sessions.build().expect("settings that agree");
            for task in 0..TASKS {
                let number = client * TASKS + task;
                let actor = Actor {
                    stage: Arc::clone(&stage),
                    sessions: sessions.clone(),
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
        let began = Instant::now();
        let Ok((token, session)) = self.sessions.create(&name(user), &Data::new()).await else {
            return;
        };
        let made = Span { began, ended: Instant::now() };
        let life = Life::new(user, self.random.u32(..3) == 0, Key { token, session, made });
        let life = Arc::new(life);
        self.stage.lives.lock().push(Arc::clone(&life));
        *self.stage.slots[slot].lock() = Some(life);
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
        let began = Instant::now();
        let outcome = self.run(life, &key, &step, began).await;
        if let (Step::Patch { .. }, Outcome::Error(_)) = (&step, &outcome) {
            self.value += 1;
            self.field = format!("{}.{}", self.number, self.value);
        }
        let is_gone = matches!(outcome, Outcome::Gone) || step == Step::Close;
        let is_over = is_gone && is_last_of(life);
        let span = Span { began, ended: Instant::now() };
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
            70..90 => Step::Edit,
            90..94 => Step::Rotate { grace: Duration::from_millis(self.random.u64(100..2000)) },
            94..96 => Step::Rotate { grace: Duration::ZERO },
            _ => Step::Close,
        }
    }

    async fn run(&self, life: &Life, key: &Key, step: &Step, began: Instant) -> Outcome {
        let (sessions, session) = (&self.sessions, &key.session);
        let version = |done: Result<u64, SessionError>| match done {
            Ok(version) => Outcome::Done(Some(version)),
            Err(error) => Outcome::of(&error),
        };
        match step {
            Step::Peek => seen(sessions.peek(&key.token).await),
            Step::Load => seen(sessions.load(&key.token).await),
            Step::Touch => match sessions.touch(session).await {
                Ok(_) => Outcome::Done(None),
                Err(error) => Outcome::of(&error),
            },
            Step::Patch { field, value } => {
                let change = |patch: &mut larder_client::sessions::Patch| {
                    patch.set(field, value);
                };
                version(sessions.patch(session, change).await)
            }
            Step::Edit => {
                let change = |data: &mut Data| *data.entry(EDITS.to_owned()).or_default() += 1;
                version(sessions.edit(session, change).await.map(|edited| edited.version()))
            }
            Step::Rotate { grace } => {
                let is_known = !grace.is_zero();
                let grace = if is_known { Grace::For(*grace) } else { Grace::None };
                match sessions.rotate(session, grace).await {
                    Ok(done) => {
                        let (token, session) = done.value;
                        let (version, ended) = (session.version(), Instant::now());
                        let made = Span { began, ended };
                        life.keys.lock().push(Key { token, session, made });
                        Outcome::Done(Some(version))
                    }
                    Err(error) => Outcome::of(&error),
                }
            }
            Step::Close => match sessions.close(session).await {
                Ok(_) => Outcome::Done(None),
                Err(error) => Outcome::of(&error),
            },
        }
    }

    /// Ends all sessions of a user, with or without one that is kept.
    async fn close_all(&mut self, life: &Arc<Life>) {
        let kept = self.random.bool().then(|| Arc::clone(life));
        let key = kept.as_ref().and_then(|kept| kept.keys.lock().last().cloned());
        let keep = key.as_ref().map(|key| &key.session);
        let began = Instant::now();
        let outcome = match self.sessions.close_all(&name(life.user), keep).await {
            Ok(_) => Outcome::Done(None),
            Err(error) => Outcome::of(&error),
        };
        let span = Span { began, ended: Instant::now() };
        let closing = Closing { user: life.user, kept, span, outcome };
        self.stage.closings.lock().push(closing);
    }
}

fn name(user: usize) -> String {
    format!("user {user}")
}

fn seen(read: Result<Option<larder_client::sessions::Session<Data>>, SessionError>) -> Outcome {
    match read {
        Ok(Some(session)) => {
            Outcome::Seen { version: session.version(), data: session.data().clone() }
        }
        Ok(None) => Outcome::Gone,
        Err(error) => Outcome::of(&error),
    }
}

fn span() -> Duration {
    let seconds = std::env::var("LARDER_LIVES_SECONDS").ok();
    Duration::from_secs(seconds.and_then(|seconds| seconds.parse().ok()).unwrap_or(8))
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().expect("a runtime")
}

#[test]
fn no_session_has_a_life_that_it_cannot_have() {
    let seed = seed();
    for site in MAKES.into_iter().flat_map(|make| [Site::single(make), Site::pair(make)]) {
        runtime().block_on(async {
            let mut nets = Vec::new();
            for _ in 0..CLIENTS {
                nets.push(site.net().await);
            }
            let end = Instant::now() + span() / 2;
            let wait = || {
                std::thread::sleep(Duration::from_millis(100));
                Instant::now() < end
            };
            Stage::run(&nets, seed, wait).await;
        });
    }
}
