//! The nodes as they were when they last spoke, and who of them is the primary.
//!
//! Two nodes may say that they are the primary: after a failover the former one may not have heard
//! of it. The one that went on from the other's history is the later one.

use super::member::{Member, Report, Role};
use crate::link::Link;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Positions of the primary that are remembered, to tell how old a replica's position is.
const HISTORY: usize = 64;
/// What a replica without a link to its primary is behind.
const UNKNOWN: Duration = Duration::MAX;

/// What is known of the nodes.
#[derive(Default)]
pub(crate) struct View {
    /// Grows whenever the primary is another one or has another history.
    pub(crate) epoch: u64,
    primary: Option<usize>,
    /// The nodes in reach.
    pub(crate) nodes: Vec<Seen>,
}

/// A node in reach.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) member: Arc<Member>,
    pub(crate) zone: Option<Arc<str>>,
    pub(crate) role: Role,
    /// The name of its history.
    pub(crate) replid: Arc<str>,
    /// How much of the history it has.
    pub(crate) offset: u64,
    /// How old what it has was at `polled_at`, at most.
    pub(crate) lag: Duration,
    pub(crate) polled_at: Instant,
    /// Its clock minus ours, in milliseconds.
    pub(crate) clock_ahead_ms: i64,
    pub(crate) data: Arc<Link>,
}

impl View {
    /// The primary.
    pub(crate) fn primary(&self) -> Option<&Seen> {
        self.nodes.get(self.primary?)
    }
}

/// What the nodes said last.
#[derive(Default)]
pub(crate) struct Table {
    pub(super) reports: Vec<(Arc<Member>, Report)>,
    /// The primary by a Sentinel's word.
    pub(crate) preferred: Option<String>,
    /// Who was the primary: name, process, history.
    leader: Option<(Arc<str>, Arc<str>, Arc<str>)>,
    /// When the primary was seen at which position.
    history: VecDeque<(Instant, u64)>,
}

impl Table {
    /// Replaces what a node said, `None` when it is out of reach.
    pub(crate) fn set(&mut self, member: &Arc<Member>, report: Option<Report>) {
        let place = self.reports.iter().position(|(known, _)| known.name == member.name);
        match (place, report) {
            (Some(place), Some(report)) => self.reports[place].1 = report,
            (Some(place), None) => drop(self.reports.remove(place)),
            (None, Some(report)) => self.reports.push((Arc::clone(member), report)),
            (None, None) => {}
        }
    }

    /// The view that the reports make.
    pub(crate) fn view(&mut self, before: &View) -> View {
        let primary = self.choose();
        let mut epoch = before.epoch;
        if let Some(place) = primary {
            let (member, report) = &self.reports[place];
            let name = Arc::clone(&member.name);
            let leader = (name, Arc::clone(&report.run_id), Arc::clone(&report.replid));
            let seen = (report.polled_at, report.offset);
            if self.leader.as_ref() != Some(&leader) {
                epoch += 1;
                self.leader = Some(leader);
                self.history.clear();
            }
            if self.history.back().is_none_or(|last| last.0 < seen.0) {
                self.history.push_back(seen);
            }
            if self.history.len() > HISTORY {
                self.history.pop_front();
            }
        }
        let nodes = self.reports.iter().map(|(member, report)| self.seen(member, report)).collect();
        View { epoch, primary, nodes }
    }

    fn seen(&self, member: &Arc<Member>, report: &Report) -> Seen {
        Seen {
            member: Arc::clone(member),
            zone: report.zone.clone(),
            role: report.role,
            replid: Arc::clone(&report.replid),
            offset: report.offset,
            lag: self.lag(report),
            polled_at: report.polled_at,
            clock_ahead_ms: report.clock_ahead_ms,
            data: Arc::clone(&report.data),
        }
    }

    /// How old what a node has was when it was asked: the time since the primary had no more.
    fn lag(&self, report: &Report) -> Duration {
        if report.role == Role::Primary {
            return Duration::ZERO;
        }
        let same = self.leader.as_ref().is_some_and(|leader| leader.2 == report.replid);
        if !report.is_linked || !report.is_ready || !same {
            return UNKNOWN;
        }
        let had = self.history.iter().rev().find(|seen| seen.1 <= report.offset);
        had.map_or(UNKNOWN, |seen| report.polled_at.saturating_duration_since(seen.0))
    }

    /// The primary among the nodes that say they are.
    fn choose(&self) -> Option<usize> {
        let claims: Vec<usize> = (0..self.reports.len())
            .filter(|place| {
                let report = &self.reports[*place].1;
                report.role == Role::Primary && report.is_ready
            })
            .collect();
        let claim = |wanted: &dyn Fn(usize) -> bool| {
            let mut fit = claims.iter().copied().filter(|place| wanted(*place));
            fit.next()
        };
        let goes_on = |later: usize| {
            let later = &self.reports[later].1;
            claims.iter().any(|place| self.reports[*place].1.replid == later.replid2)
        };
        let preferred =
            |place: usize| self.preferred.as_deref() == Some(&*self.reports[place].0.name);
        let leads = |place: usize| {
            self.leader.as_ref().is_some_and(|leader| leader.0 == self.reports[place].0.name)
        };
        claim(&preferred)
            .or_else(|| claim(&goes_on))
            .or_else(|| claim(&leads))
            .or_else(|| claims.iter().copied().max_by_key(|place| self.reports[*place].1.offset))
    }
}
