//! What was done to a session, what came of it, and whether that can have been.
//!
//! Nobody saw when the server did what it was asked for, only that it was between the call and its
//! answer; after an error it may be done at any later time, or never. A session is judged by what holds
//! wherever in these spans each step was: who finds one that cannot be there, or misses one that must
//! be, has found a mistake.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use larder_client::sessions::SessionError;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::application::{LOCK, Pass};

pub(crate) type Data = BTreeMap<String, u32>;

/// The field that [`Step::Edit`] counts in; the others have one writer each.
pub(crate) const EDITS: &str = "edits";
/// By how much clocks may disagree: a server's is that of its last look.
const SLACK: Duration = Duration::from_millis(250);

/// When sessions end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) idle: Duration,
    pub(crate) absolute: Duration,
}

/// Between a call and its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
}

impl Span {
    /// Whether it was over when another one began.
    fn is_before(&self, other: &Self) -> bool {
        self.ended <= other.began
    }
}

/// What leads to a session, and when it came to be.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) pass: Pass,
    pub(crate) made: Span,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Step {
    Peek,
    Load,
    Touch,
    /// A field was set to a number that is greater than all before.
    Patch {
        field: String,
        value: u32,
    },
    /// [`EDITS`] was counted up.
    Edit,
    /// The same under a lock.
    EditLocked,
    Rotate {
        grace: Duration,
    },
    Close,
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// It was done; changes of data and tokens give a version.
    Done(Option<u64>),
    Seen {
        version: u64,
        data: Data,
    },
    /// Others were faster each time, or have it locked.
    Conflict,
    Gone,
    /// Nobody knows.
    Error(String),
}

impl Outcome {
    /// What a step that failed came to.
    pub(crate) fn of(error: &SessionError) -> Self {
        match error {
            SessionError::Gone => Self::Gone,
            SessionError::Conflict { .. } | SessionError::Busy { .. } => Self::Conflict,
            error => Self::Error(error.to_string()),
        }
    }
}

/// A step of a session.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) span: Span,
    /// By which of the keys.
    pub(crate) key: usize,
    pub(crate) step: Step,
    pub(crate) outcome: Outcome,
}

impl Event {
    /// Whether the session was there.
    fn is_alive(&self) -> bool {
        let is_there =
            matches!(self.outcome, Outcome::Done(_) | Outcome::Seen { .. } | Outcome::Conflict);
        is_there && self.step != Step::Close
    }

    /// Whether its idle time began anew.
    fn is_use(&self) -> bool {
        let is_use = match self.step {
            Step::Touch | Step::Patch { .. } | Step::Edit | Step::EditLocked => true,
            Step::Peek | Step::Load | Step::Rotate { .. } | Step::Close => false,
        };
        is_use && matches!(self.outcome, Outcome::Done(_))
    }

    /// When its idle time may have begun anew at the latest; `None` where it did not.
    fn latest_use(&self) -> Option<Option<Instant>> {
        match (&self.step, &self.outcome) {
            (Step::Peek | Step::Rotate { .. } | Step::Close, _) | (_, Outcome::Gone) => None,
            (_, Outcome::Error(_)) => Some(None),
            _ => Some(Some(self.span.ended)),
        }
    }

    /// How many versions it makes at most.
    fn versions(&self) -> u64 {
        match self.step {
            Step::Patch { .. } | Step::Edit | Step::Rotate { .. } => 1,
            // The lock makes one too, and another one when it is asked for again after its end, as
            // may be while there is no primary.
            Step::EditLocked => {
                let took = self.span.ended.duration_since(self.span.began);
                2 + (took.as_millis() / LOCK.as_millis()) as u64
            }
            Step::Peek | Step::Load | Step::Touch | Step::Close => 0,
        }
    }

    fn version(&self) -> Option<u64> {
        if let Outcome::Done(version) = self.outcome { version } else { None }
    }
}

/// A session from its beginning, and all that was done to it.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) user: usize,
    /// Whether it is only looked at once it has begun, so that its idle time ends.
    pub(crate) is_quiet: bool,
    /// The first is that of the beginning.
    pub(crate) keys: Mutex<Vec<Key>>,
    pub(crate) events: Mutex<Vec<Event>>,
}

impl Life {
    pub(crate) fn new(user: usize, is_quiet: bool, first: Key) -> Self {
        let (keys, events) = (Mutex::new(vec![first]), Mutex::default());
        Self { user, is_quiet, keys, events }
    }

    /// Whether it can have been.
    ///
    /// # Errors
    /// What cannot have been, with all that was done.
    pub(crate) fn judge(&self, terms: Terms) -> Result<(), String> {
        let (keys, mut events) = (self.keys.lock(), self.events.lock().clone());
        events.sort_by_key(|event| event.span.began);
        let judge = Judge { terms, keys: &keys, events: &events, began: keys[0].made };
        judge.all().map_err(|(why, at)| {
            let told: Vec<String> = events.iter().map(|event| judge.told(event)).collect();
            format!("{why}: {}\nof:\n{}", judge.told(at), told.join("\n"))
        })
    }
}

struct Judge<'l> {
    terms: Terms,
    keys: &'l [Key],
    events: &'l [Event],
    began: Span,
}

type Verdict<'l> = Result<(), (&'static str, &'l Event)>;

impl<'l> Judge<'l> {
    fn all(&self) -> Verdict<'l> {
        for event in self.events {
            if event.is_alive() {
                self.may_be_there(event)?;
            } else if matches!(event.outcome, Outcome::Gone) {
                self.may_be_gone(event)?;
            }
            if let Outcome::Seen { version, data } = &event.outcome {
                self.may_be_seen(event, *version, data)?;
            }
        }
        let mut versions = HashSet::from([1]);
        for event in self.events {
            let Some(version) = event.version() else { continue };
            if !versions.insert(version) {
                return Err(("a version was made twice", event));
            }
            self.may_be_version(event, version)?;
        }
        Ok(())
    }

    /// Each change makes its versions once, however often it was sent.
    fn may_be_version(&self, event: &'l Event, version: u64) -> Verdict<'l> {
        let changes = self.events.iter().filter(|other| other.span.began < event.span.ended);
        if version > 1 + changes.map(Event::versions).sum::<u64>() {
            return Err(("a change was made twice", event));
        }
        Ok(())
    }

    /// No session is there after its logout, after its time, or by a token that was replaced.
    fn may_be_there(&self, event: &'l Event) -> Verdict<'l> {
        let began = event.span.began;
        let is_logout =
            |other: &Event| other.step == Step::Close && matches!(other.outcome, Outcome::Done(_));
        let before = || self.events.iter().filter(|other| other.span.is_before(&event.span));
        if before().any(is_logout) {
            return Err(("a session came back after its logout", event));
        }
        if began > self.began.ended + self.terms.absolute + SLACK {
            return Err(("a session outlived its absolute time", event));
        }
        // What began later found it there as well, or is a mistake itself.
        let earlier = self.events.iter().filter(|other| other.span.began < began);
        let mut uses = earlier.filter_map(Event::latest_use).collect::<Vec<_>>();
        uses.push(Some(self.began.ended));
        let last = uses.into_iter().collect::<Option<Vec<_>>>();
        let last = last.and_then(|uses| uses.into_iter().max());
        if last.is_some_and(|last| began > last + self.terms.idle + SLACK) {
            return Err(("a session outlived its idle time", event));
        }
        let made = self.keys[event.key].made;
        let replaced = |other: &Event| match (&other.step, &other.outcome) {
            (Step::Rotate { grace }, Outcome::Done(_)) => {
                made.is_before(&other.span) && began > other.span.ended + *grace + SLACK
            }
            _ => false,
        };
        if self.events.iter().any(replaced) {
            return Err(("a token that was replaced still leads to its session", event));
        }
        Ok(())
    }

    /// Nobody misses a session before its time.
    fn may_be_gone(&self, event: &'l Event) -> Verdict<'l> {
        let ended = event.span.ended;
        let may_be_closed = |other: &Event| other.step == Step::Close && other.span.began < ended;
        let made = self.keys[event.key].made;
        let may_be_replaced = |other: &Event| match (&other.step, &other.outcome) {
            (Step::Rotate { grace }, _) => {
                let is_later = other.span.ended > made.began && other.span.began != made.began;
                is_later && other.span.began < ended && ended + SLACK > other.span.began + *grace
            }
            _ => false,
        };
        let is_excused = self.events.iter().any(|it| may_be_closed(it) || may_be_replaced(it));
        if is_excused || ended + SLACK > self.began.began + self.terms.absolute {
            return Ok(());
        }
        let uses = self.events.iter().filter(|other| other.is_use()).map(|other| other.span);
        let mut uses = uses.chain([self.began]).filter(|span| span.is_before(&event.span));
        if uses.any(|span| ended + SLACK < span.began + self.terms.idle) {
            return Err(("a session was lost before its time", event));
        }
        Ok(())
    }

    /// All that was finished before is there, and nothing that was never asked for.
    fn may_be_seen(&self, event: &'l Event, version: u64, data: &Data) -> Verdict<'l> {
        let before = || self.events.iter().filter(|other| other.span.is_before(&event.span));
        if before().filter_map(Event::version).any(|made| made > version) {
            return Err(("an older version was seen", event));
        }
        self.may_be_version(event, version)?;
        let (mut least, mut most) = (Data::new(), Data::new());
        for other in self.events.iter().filter(|other| other.span.began < event.span.ended) {
            let is_finished =
                matches!(other.outcome, Outcome::Done(_)) && other.span.is_before(&event.span);
            // One that is told that the session is gone may have been made before, and asked again.
            let bounds = [(is_finished, &mut least), (true, &mut most)];
            for (_, bound) in bounds.into_iter().filter(|(counts, _)| *counts) {
                match &other.step {
                    Step::Edit | Step::EditLocked => {
                        *bound.entry(EDITS.to_owned()).or_default() += 1;
                    }
                    Step::Patch { field, value } => {
                        let known = bound.entry(field.clone()).or_default();
                        *known = (*known).max(*value);
                    }
                    _ => {}
                }
            }
        }
        let seen = |field: &String| data.get(field).copied().unwrap_or_default();
        if least.iter().any(|(field, value)| seen(field) < *value) {
            return Err(("a change was lost", event));
        }
        let known = |field: &String| most.get(field).copied().unwrap_or_default();
        if data.keys().any(|field| seen(field) > known(field)) {
            return Err(("nobody made a change", event));
        }
        Ok(())
    }

    /// An event in a line, its time in milliseconds since the session began.
    fn told(&self, event: &Event) -> String {
        let at = |moment: Instant| moment.saturating_duration_since(self.began.began).as_millis();
        let Event { span, key, step, outcome } = event;
        let (began, ended) = (at(span.began), at(span.ended));
        format!("{began}..{ended} by key {key}: {step:?} {outcome:?}")
    }
}
