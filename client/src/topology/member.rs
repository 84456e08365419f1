//! The watch over one node.
//!
//! Two links lead to it: one for data, and one for questions and subscriptions, which large replies
//! must not hold up. A node that does not answer the watch in time loses both, and is dialled again
//! after a random, growing wait. A slow data link is asked itself before it is given up.

use super::Shared;
use super::backoff::Backoff;
use crate::error::Error;
use crate::link::Link;
use crate::link::address::Address;
use crate::value::Value;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;

/// How often a node is asked what it is.
const INTERVAL: Duration = Duration::from_millis(500);
/// How soon after one question the next may follow, however many want to know.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a node may take to answer the watch before it counts as gone.
const DEAD_AFTER: Duration = Duration::from_secs(1);

/// A node, under watch.
pub(crate) struct Member {
    pub(crate) name: Arc<str>,
    pub(crate) address: Address,
    zone: Option<Arc<str>>,
    must_lead: bool,
    /// Wakes the watch before its time.
    pub(crate) concern: Arc<Notify>,
}

impl Member {
    pub(super) fn new(address: Address, zone: Option<Arc<str>>, must_lead: bool) -> Self {
        let name = address.to_string().into();
        Self { name, address, zone, must_lead, concern: Arc::default() }
    }
}

/// What a node says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Primary,
    Replica,
}

/// What a node said.
#[derive(Clone)]
pub(crate) struct Report {
    pub(crate) role: Role,
    /// Whether it answers commands, instead of loading or waiting for its primary.
    pub(crate) is_ready: bool,
    /// Whether a replica hears its primary.
    pub(crate) is_linked: bool,
    pub(crate) replid: Arc<str>,
    /// The history that its own one goes on from.
    pub(crate) replid2: Arc<str>,
    pub(crate) offset: u64,
    pub(crate) run_id: Arc<str>,
    pub(crate) zone: Option<Arc<str>>,
    pub(crate) clock_ahead_ms: i64,
    pub(crate) polled_at: Instant,
    pub(crate) data: Arc<Link>,
}

/// The two links to a node, and what does not change while they last.
struct Links {
    data: Arc<Link>,
    control: Arc<Link>,
    run_id: Arc<str>,
    zone: Option<Arc<str>>,
}

/// Watches a node, for ever.
pub(super) async fn watch(shared: Arc<Shared>, member: Arc<Member>) {
    let mut backoff = Backoff::default();
    loop {
        let links = dial(&shared, &member).await;
        match &links {
            Ok(links) => {
                if attend(&shared, &member, links, &mut backoff).await {
                    backoff.reset();
                }
            }
            Err(error) => tracing::debug!(node = &*member.name, %error, "no connection"),
        }
        shared.publish(&member, None);
        if links.is_ok() {
            // Only now does nobody begin to read by them: what is forgotten stays so.
            shared.pushes.link_lost();
        }
        drop(links);
        tokio::time::sleep(backoff.next()).await;
    }
}

async fn dial(shared: &Arc<Shared>, member: &Member) -> Result<Links, Error> {
    let _turn = shared.dials.acquire().await;
    let on_push = {
        let shared = Arc::downgrade(shared);
        Arc::new(move |push| {
            if let Some(shared) = shared.upgrade() {
                shared.pushes.take(push);
            }
        })
    };
    let open =
        |on_push| Link::open(&member.address, &shared.settings, Some(on_push), &member.concern);
    let control = open(on_push.clone()).await?;
    let data = open(on_push).await?;
    // Keys are followed only where a reader asks for it; a node that cannot is read without.
    let mut tracking = redis::cmd("CLIENT");
    tracking.arg("TRACKING").arg("ON").arg("OPTIN");
    match data.send(&tracking, DEAD_AFTER).await {
        Ok(_) => data.tracks(),
        Err(error) => tracing::debug!(node = &*member.name, %error, "keys cannot be followed"),
    }
    let mut about = redis::cmd("INFO");
    about.arg("server");
    let about = match control.send(&about, DEAD_AFTER).await {
        Ok(about) => about,
        Err(error @ (Error::Timeout(_) | Error::Disconnected)) => return Err(error),
        Err(_) => Value::Nil,
    };
    let text = about.as_str().unwrap_or_default();
    let zone = field(text, "availability_zone").filter(|zone| !zone.is_empty());
    Ok(Links {
        data: Arc::new(data),
        control: Arc::new(control),
        run_id: field(text, "run_id").unwrap_or_default().into(),
        zone: member.zone.clone().or(zone.map(Arc::from)),
    })
}

/// Asks a node again and again what it is, until it is out of reach. Whether it ever answered.
async fn attend(
    shared: &Arc<Shared>,
    member: &Arc<Member>,
    links: &Links,
    backoff: &mut Backoff,
) -> bool {
    let mut answered = false;
    let mut subscribed: Vec<String> = Vec::new();
    loop {
        let report = match ask(links).await {
            Ok(report) => report,
            Err(error) => {
                tracing::debug!(node = &*member.name, %error, "the watch has no answer");
                return answered;
            }
        };
        let leads = report.role == Role::Primary;
        if member.must_lead && !leads {
            // The name may lead elsewhere by now.
            return false;
        }
        answered = true;
        shared.publish(member, Some(report));
        let is_primary =
            shared.view().primary().is_some_and(|primary| primary.member.name == member.name);
        let (wanted, has_new) = if is_primary { shared.pushes.wanted() } else { (vec![], false) };
        match subscribe(links, &mut subscribed, wanted).await {
            Ok(is_more) if is_more || has_new => shared.pushes.gap(),
            Ok(_) => {}
            // All are subscribed to anew by the next link.
            Err(_) => return answered,
        }
        if links.data.is_suspect()
            && links.data.send(&redis::cmd("PING"), DEAD_AFTER).await.is_err()
        {
            return answered;
        }
        tokio::time::sleep(PAUSE).await;
        let wait = if shared.view().primary().is_some() {
            backoff.reset();
            INTERVAL
        } else {
            backoff.next()
        };
        let _ = tokio::time::timeout(wait, member.concern.notified()).await;
        if !links.data.is_open() || !links.control.is_open() {
            return answered;
        }
    }
}

/// Brings the subscriptions of a link up to date. Whether there are more than before.
async fn subscribe(
    links: &Links,
    subscribed: &mut Vec<String>,
    wanted: Vec<String>,
) -> Result<bool, Error> {
    let without = |all: &[String], known: &[String]| -> Vec<String> {
        all.iter().filter(|channel| !known.contains(channel)).cloned().collect()
    };
    let more = without(&wanted, subscribed);
    links.control.subscribe(&without(subscribed, &wanted), false, DEAD_AFTER).await?;
    links.control.subscribe(&more, true, DEAD_AFTER).await?;
    *subscribed = wanted;
    Ok(!more.is_empty())
}

/// Asks a node what it is.
async fn ask(links: &Links) -> Result<Report, Error> {
    let mut questions = redis::Pipeline::with_capacity(4);
    questions.cmd("ROLE").cmd("INFO").arg("replication").cmd("TIME").cmd("PING");
    let asked = now_ms();
    let mut answers = links.control.send_all(&questions, DEAD_AFTER).await?.into_iter();
    let answered = now_ms();
    let polled_at = Instant::now();
    let mut answer = || answers.next().unwrap_or_default();
    let (role, info, time, ping) = (answer(), answer(), answer(), answer());
    let info = info.as_str().unwrap_or_default();
    let role = match &role {
        Value::Array(parts) => parts.first().and_then(Value::as_str),
        _ => field(info, "role"),
    };
    let role = match role {
        Some("master") => Role::Primary,
        Some(_) => Role::Replica,
        None => return Err(Error::Reply("a role")),
    };
    let position = if role == Role::Primary { "master_repl_offset" } else { "slave_repl_offset" };
    let theirs = server_ms(time).unwrap_or(answered);
    Ok(Report {
        role,
        is_ready: !matches!(ping, Value::Error { .. }),
        is_linked: field(info, "master_link_status") == Some("up"),
        replid: field(info, "master_replid").unwrap_or_default().into(),
        replid2: field(info, "master_replid2").unwrap_or_default().into(),
        offset: field(info, position).and_then(|text| text.parse().ok()).unwrap_or_default(),
        run_id: Arc::clone(&links.run_id),
        zone: links.zone.clone(),
        clock_ahead_ms: theirs - (asked + answered) / 2,
        polled_at,
        data: Arc::clone(&links.data),
    })
}

/// A field of INFO.
fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// TIME in milliseconds.
pub(crate) fn server_ms(time: Value) -> Option<i64> {
    let parts = time.into_array().ok()?;
    let seconds = parts.first()?.as_int().ok()?;
    let micros = parts.get(1)?.as_int().ok()?;
    seconds.checked_mul(1000)?.checked_add(micros / 1000)
}

/// Our own clock, in milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
