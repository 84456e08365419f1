//! The run's folder: `raw.csv` with a line for each failover as it comes, `summary.json`,
//! `summary.md` and `environment.txt` at the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use larder_benches::report::new_folder;
use larder_benches::{Error, Result};

use crate::hop::Hop;
use crate::rounds::Outcome;

/// What a failover was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// kill -9 of the primary.
    Kill,
    /// A planned change.
    Planned,
}

impl Event {
    fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Planned => "planned",
        }
    }
}

/// The folder of one run, and what came out so far.
#[derive(Debug)]
pub(crate) struct Run {
    path: PathBuf,
    raw: File,
    outcomes: BTreeMap<(Event, String), Vec<Outcome>>,
    rest: BTreeMap<String, (usize, f64)>,
    hops: Vec<Hop>,
}

impl Run {
    /// Creates `<parent>/<name>`, with a counter behind it if it exists.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub(crate) fn create(parent: &Path, name: &str) -> Result<Self> {
        let path = new_folder(parent, name)?;
        let mut raw = File::create(path.join("raw.csv")).map_err(Error::io("raw.csv"))?;
        let header = "event,service,round,first_write_ms,pause_ms,failed,acked,lost,\
                      full_syncs_of_survivors,first_failure";
        writeln!(raw, "{header}").map_err(Error::io("raw.csv"))?;
        Ok(Self { path, raw, outcomes: BTreeMap::new(), rest: BTreeMap::new(), hops: Vec::new() })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is nothing to report.
    pub(crate) fn is_empty(&self) -> bool {
        self.outcomes.is_empty() && self.rest.is_empty() && self.hops.is_empty()
    }

    /// Keeps one failover.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn keep(&mut self, event: Event, service: &str, outcome: Outcome) -> Result<()> {
        let rows = self.outcomes.entry((event, service.to_owned())).or_default();
        let failure = outcome.first_failure.replace(['"', '\r', '\n'], " ");
        let line = format!(
            "{},{service},{},{:.1},{:.1},{},{},{},{},\"{failure}\"",
            event.name(),
            rows.len() + 1,
            outcome.first_write_ms,
            outcome.pause_ms,
            outcome.failed,
            outcome.acked,
            outcome.lost,
            outcome.full_syncs,
        );
        println!("{line}");
        rows.push(outcome);
        writeln!(self.raw, "{line}").map_err(Error::io("raw.csv"))
    }

    /// Keeps what a service of so many servers takes of one core while it rests.
    pub(crate) fn keep_rest(&mut self, service: &str, servers: usize, share: f64) {
        println!("rest,{service},{servers} servers,{:.3} % of a core", share * 100.0);
        self.rest.insert(service.to_owned(), (servers, share));
    }

    /// Keeps what the way through the endpoint costs.
    pub(crate) fn keep_hop(&mut self, hop: Hop) {
        println!("hop,{hop:?}");
        self.hops.push(hop);
    }

    /// Whether all bars are met.
    pub(crate) fn is_good(&self) -> bool {
        self.bars().iter().all(|(_, _, _, is_met)| *is_met)
    }

    /// Writes what came out.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(crate) fn finish(&self, environment: &str) -> Result<()> {
        let write = |name: &str, text: &str| {
            fs::write(self.path.join(name), text).map_err(Error::io(name.to_owned()))
        };
        write("environment.txt", environment)?;
        write("summary.json", &self.json())?;
        write("summary.md", &self.markdown())
    }

    /// What is demanded, of whom, what was measured, and whether it is met.
    fn bars(&self) -> Vec<(&'static str, String, String, bool)> {
        let mut bars = Vec::new();
        for ((event, service), outcomes) in &self.outcomes {
            if !service.starts_with("larder") {
                continue;
            }
            let first = Spread::of(outcomes, |outcome| outcome.first_write_ms);
            let sum = |figure: fn(&Outcome) -> usize| outcomes.iter().map(figure).sum::<usize>();
            let mut bar = |what: &'static str, measured: String, is_met: bool| {
                bars.push((what, service.clone(), measured, is_met));
            };
            match event {
                Event::Kill => {
                    let median = format!("{:.0} ms", first.median);
                    bar(
                        "kill: median to the first write at most 1,500 ms",
                        median,
                        first.median <= 1_500.0,
                    );
                    let worst = format!("{:.0} ms", first.worst);
                    bar("kill: worst at most 3,000 ms", worst, first.worst <= 3_000.0);
                    let syncs = sum(|outcome| outcome.full_syncs as usize);
                    bar("kill: no survivor syncs anew", syncs.to_string(), syncs == 0);
                }
                Event::Planned => {
                    let failed = sum(|outcome| outcome.failed);
                    bar("planned: no failed write", failed.to_string(), failed == 0);
                    let pause = Spread::of(outcomes, |outcome| outcome.pause_ms);
                    let worst = format!("{:.0} ms", pause.worst);
                    bar("planned: pause at most 100 ms", worst, pause.worst <= 100.0);
                }
            }
            if service.ends_with("quorum") {
                let lost = sum(|outcome| outcome.lost);
                bar("no acknowledged write lost", lost.to_string(), lost == 0);
            }
        }
        for (service, (servers, share)) in &self.rest {
            if service.starts_with("larder") && *servers == 6 {
                let measured = format!("{:.2} %", share * 100.0);
                bars.push((
                    "six nodes at rest under 1 % of a core",
                    service.clone(),
                    measured,
                    *share < 0.01,
                ));
            }
        }
        bars
    }

    fn markdown(&self) -> String {
        let mut out = "# Failovers\n\n\
             Real processes on one machine, three servers, writers at a steady pace, each with keys \
             of its own, through the primary endpoint of a node that is not the primary (Larder) or \
             by asking Sentinel. After each event everything that was acknowledged is looked for. \
             Each failover is in `raw.csv`; machine, versions and command are in `environment.txt`.\n"
            .to_owned();
        let bars = self.bars();
        if !bars.is_empty() {
            out.push_str("\n## Bars\n\n| bar | service | measured | |\n|---|---|---:|---|\n");
        }
        for (what, service, measured, is_met) in bars {
            let met = if is_met { "met" } else { "**missed**" };
            let _ = writeln!(out, "| {what} | {service} | {measured} | {met} |");
        }
        for event in [Event::Kill, Event::Planned] {
            let title = match event {
                Event::Kill => "kill -9 of the primary",
                Event::Planned => "Planned",
            };
            let mut rows = String::new();
            for ((_, service), outcomes) in self.outcomes.iter().filter(|((e, _), _)| *e == event) {
                let first = Spread::of(outcomes, |outcome| outcome.first_write_ms);
                let pause = Spread::of(outcomes, |outcome| outcome.pause_ms);
                let sum =
                    |figure: fn(&Outcome) -> usize| outcomes.iter().map(figure).sum::<usize>();
                let _ = writeln!(
                    rows,
                    "| {service} | {} | {:.0} / {:.0} / {:.0} | {:.0} / {:.0} | {} | {} | {} | {} |",
                    outcomes.len(),
                    first.least,
                    first.median,
                    first.worst,
                    pause.median,
                    pause.worst,
                    sum(|outcome| outcome.failed),
                    sum(|outcome| outcome.acked),
                    sum(|outcome| outcome.lost),
                    sum(|outcome| outcome.full_syncs as usize),
                );
            }
            if !rows.is_empty() {
                let _ = write!(
                    out,
                    "\n## {title}\n\n| service | times | first write after, ms: least / median / \
                     worst | longest pause, ms: median / worst | failed attempts | acknowledged | of \
                     these lost | full syncs of survivors |\n|---|---:|---:|---:|---:|---:|---:|---:|\n{rows}"
                );
            }
        }
        if !self.rest.is_empty() {
            out.push_str("\n## At rest\n\n| service | servers | of one core |\n|---|---:|---:|\n");
            for (service, (servers, share)) in &self.rest {
                let _ = writeln!(out, "| {service} | {servers} | {:.2} % |", share * 100.0);
            }
        }
        if !self.hops.is_empty() {
            out.push_str(
                "\n## The way through the primary endpoint\n\nGET of 64 bytes, 50 clients; the \
                 node's CPU, in which the endpoint's is contained.\n\n| pipeline | µs/op direct | \
                 µs/op through | requests/s direct | requests/s through |\n|---:|---:|---:|---:|---:|\n",
            );
            for Hop { pipeline, direct_us, through_us, direct_rps, through_rps } in &self.hops {
                let _ = writeln!(
                    out,
                    "| {pipeline} | {direct_us:.2} | {through_us:.2} | {direct_rps:.0} | {through_rps:.0} |"
                );
            }
        }
        out
    }

    fn json(&self) -> String {
        let mut entries = Vec::new();
        for ((event, service), outcomes) in &self.outcomes {
            let first = Spread::of(outcomes, |outcome| outcome.first_write_ms);
            let pause = Spread::of(outcomes, |outcome| outcome.pause_ms);
            let sum = |figure: fn(&Outcome) -> usize| outcomes.iter().map(figure).sum::<usize>();
            entries.push(format!(
                "  {{\"event\": \"{}\", \"service\": \"{service}\", \"times\": {}, \
                 \"first_write_ms\": {}, \"pause_ms\": {}, \"failed\": {}, \"acked\": {}, \
                 \"lost\": {}, \"full_syncs_of_survivors\": {}}}",
                event.name(),
                outcomes.len(),
                first.json(),
                pause.json(),
                sum(|outcome| outcome.failed),
                sum(|outcome| outcome.acked),
                sum(|outcome| outcome.lost),
                sum(|outcome| outcome.full_syncs as usize),
            ));
        }
        entries.extend(self.rest.iter().map(|(service, (servers, share))| {
            format!(
                "  {{\"event\": \"rest\", \"service\": \"{service}\", \"servers\": {servers}, \
                 \"cores\": {share:.5}}}"
            )
        }));
        entries.extend(self.hops.iter().map(|hop| {
            format!(
                "  {{\"event\": \"hop\", \"pipeline\": {}, \"direct_us\": {:.3}, \
                 \"through_us\": {:.3}, \"direct_rps\": {:.0}, \"through_rps\": {:.0}}}",
                hop.pipeline, hop.direct_us, hop.through_us, hop.direct_rps, hop.through_rps
            )
        }));
        format!("[\n{}\n]\n", entries.join(",\n"))
    }
}

/// Least, median and worst of some figures.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    least: f64,
    median: f64,
    worst: f64,
}

impl Spread {
    fn of(outcomes: &[Outcome], figure: impl Fn(&Outcome) -> f64) -> Self {
        let mut figures: Vec<f64> = outcomes.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        let at = |index: usize| figures.get(index).copied().unwrap_or_default();
        let last = figures.len().saturating_sub(1);
        let median = f64::midpoint(at(last / 2), at(last.div_ceil(2)));
        Self { least: at(0), median, worst: at(last) }
    }

    fn json(self) -> String {
        let Self { least, median, worst } = self;
        format!("{{\"least\": {least:.1}, \"median\": {median:.1}, \"worst\": {worst:.1}}}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(first_write_ms: f64, lost: usize) -> Outcome {
        Outcome {
            first_write_ms,
            pause_ms: 2.0 * first_write_ms,
            failed: 1,
            first_failure: "a, \"b\"\r\nc".into(),
            acked: 10,
            lost,
            full_syncs: 0,
        }
    }

    #[test]
    fn a_spread_is_that_of_sorted_figures() {
        let outcomes: Vec<Outcome> = [4.0, 1.0, 3.0, 2.0].map(|ms| outcome(ms, 0)).into();
        let spread = Spread::of(&outcomes, |outcome| outcome.first_write_ms);
        assert_eq!(spread, Spread { least: 1.0, median: 2.5, worst: 4.0 });
        let one = Spread::of(&outcomes[..1], |outcome| outcome.first_write_ms);
        assert_eq!((one.least, one.median, one.worst), (4.0, 4.0, 4.0));
    }

    #[test]
    fn a_lost_write_misses_the_bar_of_quorum_alone() {
        let parent = tempfile::tempdir().unwrap();
        let mut run = Run::create(parent.path(), "x").unwrap();
        for service in ["larder-primary", "sentinel", "larder-quorum"] {
            run.keep(Event::Kill, service, outcome(1_000.0, 0)).unwrap();
        }
        run.keep(Event::Kill, "larder-primary", outcome(1_900.0, 3)).unwrap();
        run.keep(Event::Kill, "sentinel", outcome(9_000.0, 3)).unwrap();
        assert!(run.is_good());
        run.keep(Event::Kill, "larder-quorum", outcome(1_000.0, 1)).unwrap();
        assert!(!run.is_good());
        run.finish("here\n").unwrap();
        let text = fs::read_to_string(run.path().join("summary.md")).unwrap();
        assert!(
            text.contains("no acknowledged write lost | larder-quorum | 1 | **missed**"),
            "{text}"
        );
        let raw = fs::read_to_string(run.path().join("raw.csv")).unwrap();
        assert_eq!(raw.lines().count(), 7, "{raw}");
    }
}
