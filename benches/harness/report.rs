//! A run's folder: `raw.csv` while it goes on, `summary.md`, `chart.svg` and
//! `environment.txt` at its end.
//!
//! The raw table is written row by row, so that a run cut short keeps what it measured; the
//! summary holds nothing that cannot be worked out from it.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::chart::Chart;
use crate::measure::{Bar, Figures, Limit, Measurement, Metric};
use crate::peer::LARDER;
use crate::{Error, Result};

/// What the summary shows of one workload.
#[derive(Clone, Copy, Debug)]
pub struct Sheet<'a> {
    /// The workload's name.
    pub name: &'a str,
    /// What it does, in a line.
    pub about: &'a str,
    /// Figures worth a row.
    pub shows: &'a [Metric],
    /// Demands on Larder.
    pub bars: &'a [Bar],
}

/// The folder of one run.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    raw: File,
}

impl RunFolder {
    /// Creates `<parent>/<name>`, with a counter behind it if it exists: a run never
    /// overwrites another.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn create(parent: &Path, name: &str) -> Result<Self> {
        let path = new_folder(parent, name)?;
        let mut raw = File::create(path.join("raw.csv")).map_err(Error::io("raw.csv"))?;
        let mut header = "round,server,version,workload,clients,pipeline,protocol".to_owned();
        for metric in Metric::ALL {
            header.push(',');
            header.push_str(metric.column());
        }
        writeln!(raw, "{header}").map_err(Error::io("raw.csv"))?;
        Ok(Self { path, raw })
    }

    /// Removes the folder of a run that measured nothing.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn discard(self) -> Result<()> {
        fs::remove_dir_all(&self.path).map_err(Error::io("discard the run's folder"))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a measurement to the raw table.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn append(&mut self, row: &Measurement) -> Result<()> {
        let mut line = format!(
            "{},{},{},{},{},{},RESP{}",
            row.round, row.server, row.version, row.workload, row.clients, row.pipeline, row.resp
        );
        for metric in Metric::ALL {
            line.push(',');
            if let Some(figure) = row.figure(metric) {
                line.push_str(&digits(figure));
            }
        }
        writeln!(self.raw, "{line}").map_err(Error::io("raw.csv"))
    }

    /// Writes summary, chart and environment.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn finish(
        &self,
        figures: &Figures,
        sheets: &[Sheet<'_>],
        servers: &[String],
        environment: &str,
    ) -> Result<()> {
        let write = |name: &str, text: &str| {
            fs::write(self.path.join(name), text).map_err(Error::io(name.to_owned()))
        };
        write("environment.txt", environment)?;
        write("summary.md", &summary(figures, sheets, servers))?;
        let svg = chart(figures, sheets, servers).svg();
        if svg.is_empty() { Ok(()) } else { write("chart.svg", &svg) }
    }
}

/// The summary page.
pub fn summary(figures: &Figures, sheets: &[Sheet<'_>], servers: &[String]) -> String {
    let rounds = figures.rows.iter().map(|row| row.round).max().unwrap_or(0);
    let mut out = format!(
        "# Whole servers side by side\n\n\
         Medians of {rounds} round(s), the servers taking turns within each. A ratio is {LARDER}'s \
         figure divided by the peer's of the same round, and of these the median. Every \
         measurement is in `raw.csv`; machine, versions and command are in `environment.txt`.\n"
    );
    let barred = bars(figures, sheets);
    if !barred.is_empty() {
        out.push_str("\n## Bars\n\n| workload | figure | against | bar | measured | |\n");
        out.push_str("|---|---|---|---|---:|---|\n");
        out.push_str(&barred);
    }
    let peers: Vec<&String> = servers.iter().filter(|name| *name != LARDER).collect();
    out.push_str(&means(figures, sheets, &peers));
    out.push_str("\n## Figures\n");
    let with_ratios = servers.iter().any(|name| name == LARDER);
    for sheet in sheets {
        if figures.rows.iter().all(|row| row.workload != sheet.name) {
            continue;
        }
        let _ = writeln!(out, "\n### {}\n\n{}\n", sheet.name, sheet.about);
        let mut header = format!("| | {} |", servers.join(" | "));
        let mut ruler = format!("|---|{}", "---:|".repeat(servers.len()));
        if with_ratios {
            for peer in &peers {
                let _ = write!(header, " ÷ {peer} |");
                ruler.push_str("---:|");
            }
        }
        let _ = writeln!(out, "{header}\n{ruler}");
        for metric in sheet.shows {
            let _ = write!(out, "| {} |", metric.label());
            for server in servers {
                let _ = write!(out, " {} |", cell(figures.median(server, sheet.name, *metric)));
            }
            for peer in peers.iter().filter(|_| with_ratios) {
                let ratio = figures.ratio(LARDER, peer, sheet.name, *metric);
                let _ = write!(out, " {} |", ratio.map_or("–".into(), |r| format!("{r:.2}")));
            }
            out.push('\n');
        }
    }
    let errors: f64 = figures.rows.iter().filter_map(|row| row.figure(Metric::Errors)).sum();
    let _ = writeln!(out, "\nError replies over the whole run: {errors:.0}.");
    out
}

/// The geometric mean of CPU per operation over the pipelined workloads, and over the others.
fn means(figures: &Figures, sheets: &[Sheet<'_>], peers: &[&String]) -> String {
    let mut out = String::new();
    for is_pipelined in [false, true] {
        let of_kind = |sheet: &&Sheet<'_>| {
            let row = figures.rows.iter().find(|row| row.workload == sheet.name);
            row.is_some_and(|row| (row.pipeline > 1) == is_pipelined)
        };
        let workloads = || sheets.iter().filter(of_kind).map(|sheet| sheet.name);
        let kind = if is_pipelined { "with" } else { "without" };
        for peer in peers {
            let Some(mean) = figures.mean_ratio(LARDER, peer, workloads(), Metric::CpuPerOp) else {
                continue;
            };
            let _ = writeln!(
                out,
                "\nServer CPU per operation {kind} pipelining, geometric mean of all ratios ÷ {peer}: \
                 {mean:.3}."
            );
        }
    }
    out
}

/// One table row per bar whose workload was run.
fn bars(figures: &Figures, sheets: &[Sheet<'_>]) -> String {
    let mut out = String::new();
    for sheet in sheets {
        for bar in sheet.bars {
            let Some(value) = figures.held_against(LARDER, sheet.name, bar) else { continue };
            let (sign, limit) = match bar.limit {
                Limit::AtMost(limit) => ('≤', limit),
                Limit::AtLeast(limit) => ('≥', limit),
            };
            let _ = writeln!(
                out,
                "| {} | {} | {} | {sign} {limit:.2} | {value:.3} | {} |",
                sheet.name,
                bar.metric.label(),
                bar.against.unwrap_or("itself"),
                if bar.limit.met_by(value) { "pass" } else { "**fail**" },
            );
        }
    }
    out
}

/// Server CPU per operation, for every workload that has it.
fn chart(figures: &Figures, sheets: &[Sheet<'_>], servers: &[String]) -> Chart {
    let groups = sheets
        .iter()
        .map(|sheet| {
            let median = |server: &String| figures.median(server, sheet.name, Metric::CpuPerOp);
            (sheet.name.to_owned(), servers.iter().map(median).collect::<Vec<_>>())
        })
        .filter(|(_, values)| values.iter().any(Option::is_some))
        .collect();
    Chart {
        title: "Server CPU time per operation, µs (less is better)".into(),
        series: servers.to_vec(),
        groups,
    }
}

fn cell(figure: Option<f64>) -> String {
    figure.map_or_else(|| "–".into(), digits)
}

/// Four significant digits at least, no more decimals than the figure's size warrants.
fn digits(figure: f64) -> String {
    match figure.abs() {
        size if size >= 1000.0 || figure.fract() == 0.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.2}"),
        _ => format!("{figure:.4}"),
    }
}

/// Creates `<parent>/<name>`, with a counter behind it if it exists: a run never overwrites another.
///
/// # Errors
/// When the folder cannot be written.
pub fn new_folder(parent: &Path, name: &str) -> Result<PathBuf> {
    let path = (1..1000)
        .map(|count| match count {
            1 => parent.join(name),
            _ => parent.join(format!("{name}-{count}")),
        })
        .find(|path| !path.exists())
        .ok_or_else(|| Error::Usage(format!("too many runs named {name}")))?;
    fs::create_dir_all(&path).map_err(Error::io("run folder"))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::BASELINE;

    fn row(server: &str, cpu: f64) -> Measurement {
        Measurement {
            round: 1,
            server: server.into(),
            version: "x 1".into(),
            workload: "get".into(),
            clients: 50,
            pipeline: 16,
            resp: 2,
            figures: vec![(Metric::CpuPerOp, cpu)],
        }
    }

    #[test]
    fn a_bar_is_judged_by_its_ratio() {
        let bar =
            Bar { metric: Metric::CpuPerOp, against: Some(BASELINE), limit: Limit::AtMost(0.7) };
        let sheets = [Sheet { name: "get", about: "-", shows: &[Metric::CpuPerOp], bars: &[bar] }];
        let servers = [LARDER.to_owned(), BASELINE.to_owned()];
        for (cpu, verdict) in [(0.5, "| 0.500 | pass |"), (0.8, "| 0.800 | **fail** |")] {
            let figures = Figures { rows: vec![row(LARDER, cpu), row(BASELINE, 1.0)] };
            let page = summary(&figures, &sheets, &servers);
            assert!(page.contains(verdict), "{page}");
        }
    }

    #[test]
    fn the_raw_table_has_a_cell_for_every_column() {
        let parent = tempfile::tempdir().unwrap();
        let mut folder = RunFolder::create(parent.path(), "run").unwrap();
        folder.append(&row("a", 1.0)).unwrap();
        let text = fs::read_to_string(folder.path().join("raw.csv")).unwrap();
        let columns: Vec<usize> = text.lines().map(|line| line.split(',').count()).collect();
        assert_eq!(columns, [7 + Metric::ALL.len(); 2]);
        let second = RunFolder::create(parent.path(), "run").unwrap();
        assert!(second.path().ends_with("run-2"));
    }
}
