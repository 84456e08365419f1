//! A process that does to sessions what it is told, as a server of an application would.
//!
//! It is this test binary again. Each line that it reads is a request with a number, each that it
//! writes the answer to one; many are under way at once. When something began and ended only the one
//! that asks writes down, so that all times are of one clock.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use larder_client::sessions::token::SessionToken;
use larder_client::sessions::{Grace, Patch, Session, SessionError};
use larder_client::{Sessions, Target};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::history::{Data, EDITS, Outcome, Step, Terms};
use crate::site::connect;

/// Tells a process of this test binary that it is an application, and where the nodes are.
const ROLE: &str = "LARDER_CACHE_APPLICATION";
/// Stands before an answer: the test binary writes lines of its own.
const MARK: &str = "answer: ";
/// Handles of sessions that a process keeps.
const HANDLES: usize = 1000;
/// How long a lock lasts at most.
pub(crate) const LOCK: Duration = Duration::from_millis(200);

/// What an application can be asked for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    Create { user: String },
    Step { pass: Pass, step: Step },
    CloseAll { user: String, keep: Option<Pass> },
}

/// What came of it, and what leads to the session where that is new.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) pass: Option<Pass>,
    pub(crate) outcome: Outcome,
}

/// A token, and what its session is stored under until it is rotated.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Pass {
    token: String,
    digest: String,
}

/// One such process, as those who use it have it.
#[derive(Debug)]
pub(crate) struct Application {
    process: Child,
    asked: Mutex<(u64, ChildStdin)>,
    waiting: Arc<Mutex<HashMap<u64, oneshot::Sender<Answer>>>>,
}

impl Application {
    /// Starts one; `test` is the one that calls [`serve_if_told`], and does so first.
    pub(crate) fn start(test: &str, nodes: &[String]) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("a test binary"));
        command.args(["--exact", test, "--nocapture", "--test-threads", "1"]);
        command.env(ROLE, nodes.join(" ")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("this binary starts");
        let input = process.stdin.take().expect("a pipe");
        let output = BufReader::new(process.stdout.take().expect("a pipe"));
        let waiting: Arc<Mutex<HashMap<u64, oneshot::Sender<Answer>>>> = Arc::default();
        let answered = Arc::clone(&waiting);
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let Some((_, line)) = line.split_once(MARK) else { continue };
                let (number, answer): (u64, Answer) =
                    serde_json::from_str(line).expect("an answer");
                if let Some(waits) = answered.lock().remove(&number) {
                    // Nobody waits any more when a test failed.
                    let _ = waits.send(answer);
                }
            }
            // It ended: so does the hope of those who wait.
            answered.lock().clear();
        });
        Self { process, asked: Mutex::new((0, input)), waiting }
    }

    /// Has it do something.
    pub(crate) async fn ask(&self, request: &Request) -> Answer {
        let (sender, answer) = oneshot::channel();
        {
            let mut asked = self.asked.lock();
            let (number, input) = &mut *asked;
            *number += 1;
            self.waiting.lock().insert(*number, sender);
            let mut line = serde_json::to_string(&(*number, request)).expect("plain data");
            line.push('\n');
            input.write_all(line.as_bytes()).expect("an application that listens");
        }
        answer.await.expect("an application that lives")
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        // Both fail only when the process is gone already, which is what is wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// In a process that is an application: answers until nobody asks any more, and says so.
pub(crate) fn serve_if_told(terms: Terms) -> bool {
    let Ok(nodes) = std::env::var(ROLE) else { return false };
    let nodes: Vec<String> = nodes.split_whitespace().map(str::to_owned).collect();
    let (sender, mut requests) = mpsc::unbounded_channel();
    thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            let request: (u64, Request) = serde_json::from_str(&line).expect("a request");
            if sender.send(request).is_err() {
                break;
            }
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let sessions = connect(&nodes).await.sessions("lives");
        let sessions = sessions.idle(terms.idle).absolute(terms.absolute);
        let sessions = sessions.read_from(Target::Primary).confirm(0, Duration::ZERO);
        let sessions = sessions.build().expect("settings that agree");
        let server = Arc::new(Server { sessions, handles: Mutex::default() });
        while let Some((number, request)) = requests.recv().await {
            let server = Arc::clone(&server);
            tokio::spawn(async move {
                let answer = server.answer(request).await;
                let answer = serde_json::to_string(&(number, answer)).expect("plain data");
                println!("{MARK}{answer}");
            });
        }
    });
    true
}

struct Server {
    sessions: Sessions<Data>,
    /// Handles as they were read first, however old: an application may keep one for a whole request.
    handles: Mutex<HashMap<Pass, Session<Data>>>,
}

type Made = Result<Answer, SessionError>;

impl Pass {
    fn token(&self) -> SessionToken {
        SessionToken::parse(&self.token).expect("a token that an application gave")
    }
}

impl Server {
    async fn answer(&self, request: Request) -> Answer {
        let made = match request {
            Request::Create { user } => self.create(&user).await,
            Request::Step { pass, step } => self.step(&pass, &step).await,
            Request::CloseAll { user, keep } => self.close_all(&user, keep).await,
        };
        made.unwrap_or_else(|error| Answer { pass: None, outcome: Outcome::of(&error) })
    }

    async fn create(&self, user: &str) -> Made {
        let (token, session) = self.sessions.create(user, &Data::new()).await?;
        Ok(self.given(&token, session))
    }

    async fn step(&self, pass: &Pass, step: &Step) -> Made {
        let sessions = &self.sessions;
        let session = match step {
            Step::Peek => return Ok(seen(sessions.peek(&pass.token()).await?)),
            Step::Load => return Ok(seen(sessions.load(&pass.token()).await?)),
            _ => self.handle(pass).await?,
        };
        let version = match step {
            Step::Peek | Step::Load => None,
            Step::Touch => sessions.touch(&session).await.map(|_| None)?,
            Step::Patch { field, value } => {
                let change = |patch: &mut Patch| {
                    patch.set(field, value);
                };
                Some(sessions.patch(&session, change).await?)
            }
            Step::Edit => {
                let change = |data: &mut Data| *data.entry(EDITS.to_owned()).or_default() += 1;
                Some(sessions.edit(&session, change).await?.version())
            }
            Step::EditLocked => {
                let locked = sessions.lock(&session, LOCK).await?;
                let mut data = locked.data().clone();
                *data.entry(EDITS.to_owned()).or_default() += 1;
                let edited = sessions.compare_and_set(&locked, &data).await;
                sessions.unlock(locked).await?;
                Some(edited?)
            }
            Step::Rotate { grace } => {
                let is_none = grace.is_zero();
                let grace = if is_none { Grace::None } else { Grace::For(*grace) };
                let (token, session) = sessions.rotate(&session, grace).await?.value;
                return Ok(self.given(&token, session));
            }
            Step::Close => sessions.close(&session).await.map(|_| None)?,
        };
        Ok(Answer { pass: None, outcome: Outcome::Done(version) })
    }

    async fn close_all(&self, user: &str, keep: Option<Pass>) -> Made {
        let kept = match keep {
            Some(pass) => Some(self.handle(&pass).await?),
            None => None,
        };
        self.sessions.close_all(user, kept.as_ref()).await?;
        Ok(Answer { pass: None, outcome: Outcome::Done(None) })
    }

    /// The answer to who gets a token.
    fn given(&self, token: &SessionToken, session: Session<Data>) -> Answer {
        let outcome = Outcome::Done(Some(session.version()));
        let pass = Pass { token: token.reveal(), digest: session.digest().to_string() };
        self.keep(&pass, session);
        Answer { pass: Some(pass), outcome }
    }

    fn keep(&self, pass: &Pass, session: Session<Data>) {
        let mut handles = self.handles.lock();
        if handles.len() >= HANDLES {
            handles.clear();
        }
        handles.insert(pass.clone(), session);
    }

    /// What leads to a session beside its token, read where it is not known.
    async fn handle(&self, pass: &Pass) -> Result<Session<Data>, SessionError> {
        if let Some(session) = self.handles.lock().get(pass) {
            return Ok(session.clone());
        }
        let session = self.sessions.peek(&pass.token()).await?.ok_or(SessionError::Gone)?;
        // One that the token was led on to may be used for longer than the token: only now.
        if session.digest().as_str() == pass.digest {
            self.keep(pass, session.clone());
        }
        Ok(session)
    }
}

fn seen(session: Option<Session<Data>>) -> Answer {
    let outcome = match session {
        Some(session) => Outcome::Seen { version: session.version(), data: session.data().clone() },
        None => Outcome::Gone,
    };
    Answer { pass: None, outcome }
}
