//! Figures, and what is made of them: medians over rounds, and ratios of figures taken in
//! the same round.
//!
//! Ratios are formed per round and their median taken, not the other way round: both halves
//! of a pair were taken within seconds of each other, so what the machine did meanwhile
//! (a neighbour, its clock) falls out.

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Replies within the window.
    Ops,
    /// Length of the window.
    Seconds,
    /// Replies a second.
    Rps,
    /// Server CPU time per reply, microseconds.
    CpuPerOp,
    /// What the kernel took of it.
    KernelCpuPerOp,
    /// Generator CPU time per reply, microseconds: near `Seconds / Ops` it was the limit.
    ClientCpuPerOp,
    /// Median latency, microseconds.
    P50,
    /// 99th percentile.
    P99,
    /// 99.9th percentile.
    P999,
    /// Longest.
    Max,
    /// How far the open-loop generator fell behind its clock, microseconds.
    SendLag,
    /// Error replies.
    Errors,
    /// Growth of resident memory per key, bytes.
    RssPerKey,
    /// Growth of `used_memory` per key, bytes.
    UsedPerKey,
    /// The limit the server ran under, bytes.
    Maxmemory,
    /// Keys resident at the end.
    ResidentKeys,
    /// Share of reads that found nothing.
    MissRatio,
    /// Highest `used_memory` seen, divided by the limit.
    Overshoot,
    /// Resident memory at the end, divided by the limit.
    RssOverLimit,
    /// Furthest that removal of due keys fell behind, milliseconds.
    ExpiryLag,
    /// From the last due time to an empty key space, milliseconds.
    ExpiryTail,
    /// From the request to follow a primary until all of its keys are there, seconds.
    SyncSeconds,
    /// Memory beyond what it was, divided by that: of the server and of what it started.
    ExtraMemory,
    /// How long a save took, seconds.
    SaveSeconds,
}

impl Metric {
    /// All of them, in the order of the raw table's columns.
    pub const ALL: [Self; 24] = [
        Self::Ops,
        Self::Seconds,
        Self::Rps,
        Self::CpuPerOp,
        Self::KernelCpuPerOp,
        Self::ClientCpuPerOp,
        Self::P50,
        Self::P99,
        Self::P999,
        Self::Max,
        Self::SendLag,
        Self::Errors,
        Self::RssPerKey,
        Self::UsedPerKey,
        Self::Maxmemory,
        Self::ResidentKeys,
        Self::MissRatio,
        Self::Overshoot,
        Self::RssOverLimit,
        Self::ExpiryLag,
        Self::ExpiryTail,
        Self::SyncSeconds,
        Self::ExtraMemory,
        Self::SaveSeconds,
    ];

    /// Its column in the raw table.
    pub fn column(self) -> &'static str {
        match self {
            Self::Ops => "ops",
            Self::Seconds => "seconds",
            Self::Rps => "rps",
            Self::CpuPerOp => "cpu_us_per_op",
            Self::KernelCpuPerOp => "kernel_cpu_us_per_op",
            Self::ClientCpuPerOp => "client_cpu_us_per_op",
            Self::P50 => "p50_us",
            Self::P99 => "p99_us",
            Self::P999 => "p999_us",
            Self::Max => "max_us",
            Self::SendLag => "send_lag_max_us",
            Self::Errors => "errors",
            Self::RssPerKey => "rss_bytes_per_key",
            Self::UsedPerKey => "used_bytes_per_key",
            Self::Maxmemory => "maxmemory_bytes",
            Self::ResidentKeys => "resident_keys",
            Self::MissRatio => "miss_ratio",
            Self::Overshoot => "overshoot",
            Self::RssOverLimit => "rss_over_limit",
            Self::ExpiryLag => "expiry_lag_ms",
            Self::ExpiryTail => "expiry_tail_ms",
            Self::SyncSeconds => "sync_s",
            Self::ExtraMemory => "extra_memory",
            Self::SaveSeconds => "save_s",
        }
    }

    /// Its name for a reader.
    pub fn label(self) -> &'static str {
        match self {
            Self::Ops => "replies",
            Self::Seconds => "seconds",
            Self::Rps => "requests/s",
            Self::CpuPerOp => "server CPU µs/op",
            Self::KernelCpuPerOp => "of which in the kernel",
            Self::ClientCpuPerOp => "client CPU µs/op",
            Self::P50 => "p50 µs",
            Self::P99 => "p99 µs",
            Self::P999 => "p99.9 µs",
            Self::Max => "longest µs",
            Self::SendLag => "generator's own lag, longest µs",
            Self::Errors => "error replies",
            Self::RssPerKey => "bytes a key (RSS)",
            Self::UsedPerKey => "bytes a key (used_memory)",
            Self::Maxmemory => "maxmemory, bytes",
            Self::ResidentKeys => "resident keys",
            Self::MissRatio => "miss ratio",
            Self::Overshoot => "highest used_memory / maxmemory",
            Self::RssOverLimit => "RSS at the end / maxmemory",
            Self::ExpiryLag => "furthest behind, ms",
            Self::ExpiryTail => "last key gone after, ms",
            Self::SyncSeconds => "full sync, s",
            Self::ExtraMemory => "extra memory / memory before",
            Self::SaveSeconds => "save, s",
        }
    }
}

/// One workload run once against one server.
#[derive(Clone, Debug)]
pub struct Measurement {
    /// Which round, from 1.
    pub round: u32,
    /// The server's name in the run.
    pub server: String,
    /// What it says it is.
    pub version: String,
    /// The workload's name.
    pub workload: String,
    /// Connections that made the load.
    pub clients: usize,
    /// Requests per pipeline.
    pub pipeline: usize,
    /// 2 or 3.
    pub resp: u8,
    /// What was measured.
    pub figures: Vec<(Metric, f64)>,
}

impl Measurement {
    /// The figure for `metric`, if this workload has it.
    pub fn figure(&self, metric: Metric) -> Option<f64> {
        self.figures.iter().find(|(kind, _)| *kind == metric).map(|(_, figure)| *figure)
    }
}

/// A demand on the measured server.
#[derive(Clone, Copy, Debug)]
pub struct Bar {
    /// What it is about.
    pub metric: Metric,
    /// The peer whose figure the server's is divided by; none for the figure itself.
    pub against: Option<&'static str>,
    /// The demand.
    pub limit: Limit,
}

/// How a bar is met.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// By this or less.
    AtMost(f64),
    /// By this or more.
    AtLeast(f64),
}

impl Limit {
    /// Whether `value` meets it.
    pub fn met_by(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }
}

/// All measurements of a run.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// In the order they were taken.
    pub rows: Vec<Measurement>,
}

impl Figures {
    /// Median over the rounds.
    pub fn median(&self, server: &str, workload: &str, metric: Metric) -> Option<f64> {
        median(self.of(server, workload).filter_map(|row| row.figure(metric)).collect())
    }

    /// Median over the rounds of the ratio between two servers within a round.
    pub fn ratio(&self, server: &str, peer: &str, workload: &str, metric: Metric) -> Option<f64> {
        let ratios = self.of(server, workload).filter_map(|row| {
            let paired = self.of(peer, workload).find(|other| other.round == row.round)?;
            let (own, theirs) = (row.figure(metric)?, paired.figure(metric)?);
            (theirs != 0.0).then(|| own / theirs)
        });
        median(ratios.collect())
    }

    /// Geometric mean of the ratios between two servers over those of `workloads` that both ran.
    pub fn mean_ratio<'w>(
        &self,
        server: &str,
        peer: &str,
        workloads: impl Iterator<Item = &'w str>,
        metric: Metric,
    ) -> Option<f64> {
        let logs: Vec<f64> = workloads
            .filter_map(|workload| self.ratio(server, peer, workload, metric))
            .map(f64::ln)
            .collect();
        (!logs.is_empty()).then(|| (logs.iter().sum::<f64>() / logs.len() as f64).exp())
    }

    /// The value a bar is held against: a ratio or the figure itself.
    pub fn held_against(&self, server: &str, workload: &str, bar: &Bar) -> Option<f64> {
        match bar.against {
            Some(peer) => self.ratio(server, peer, workload, bar.metric),
            None => self.median(server, workload, bar.metric),
        }
    }

    fn of<'a>(
        &'a self,
        server: &'a str,
        workload: &'a str,
    ) -> impl Iterator<Item = &'a Measurement> {
        self.rows.iter().filter(move |row| row.server == server && row.workload == workload)
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(round: u32, server: &str, rps: f64) -> Measurement {
        Measurement {
            round,
            server: server.into(),
            version: String::new(),
            workload: "get".into(),
            clients: 1,
            pipeline: 1,
            resp: 2,
            figures: vec![(Metric::Rps, rps)],
        }
    }

    #[test]
    fn ratios_are_formed_within_a_round() {
        let rows = vec![
            row(1, "a", 10.0),
            row(1, "b", 5.0),
            row(2, "a", 100.0),
            row(2, "b", 25.0),
            row(3, "a", 30.0),
            row(3, "b", 10.0),
        ];
        let figures = Figures { rows };
        assert_eq!(figures.median("a", "get", Metric::Rps), Some(30.0));
        // 2, 4, 3: not 30 / 10.
        assert_eq!(figures.ratio("a", "b", "get", Metric::Rps), Some(3.0));
        assert_eq!(figures.ratio("a", "c", "get", Metric::Rps), None);
        let mean = figures.mean_ratio("a", "b", ["get", "set"].into_iter(), Metric::Rps);
        assert!(mean.is_some_and(|mean| (mean - 3.0).abs() < 1e-9), "{mean:?}");
    }

    #[test]
    fn an_even_number_of_rounds_takes_the_midpoint() {
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }
}
