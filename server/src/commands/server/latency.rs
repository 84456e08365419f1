//! LATENCY: slow events by kind, and the distribution of each command's durations.

use super::command::find_full_name;
use crate::commands::{self, Command, docs};
use crate::config::Settings;
use crate::dispatch::call::{Call, CommandResult};
use crate::observe::latency::{Histogram, Sample, Series};
use larder_protocol::{CommandError, Reply};
use std::collections::VecDeque;

fn millis(millis: u64) -> Reply<'static> {
    Reply::Int(i64::try_from(millis).unwrap_or(i64::MAX))
}

/// LATENCY HISTORY event
pub fn history<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let samples = call.node.latency.series(call.args.at(2)).map(|(_, series)| series.samples);
    let sample =
        |sample: Sample| Reply::Array(vec![Reply::Int(sample.time_s), millis(sample.latency_ms)]);
    Ok(Reply::Array(samples.unwrap_or_default().into_iter().map(sample).collect()))
}

/// LATENCY LATEST
pub fn latest<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let events = call.node.latency.all().into_iter().filter_map(|(event, series)| {
        let last = *series.samples.back()?;
        Some(Reply::Array(vec![
            Reply::from(event),
            Reply::Int(last.time_s),
            millis(last.latency_ms),
            millis(series.worst_ms),
        ]))
    });
    Ok(Reply::Array(events.collect()))
}

/// LATENCY RESET [event [event ...]]
pub fn reset<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let monitor = &call.node.latency;
    Ok(Reply::from(if call.args.len() == 2 {
        monitor.reset_all()
    } else {
        call.args.iter().skip(2).filter(|event| monitor.reset(event)).count()
    }))
}

/// LATENCY HISTOGRAM [command [command ...]]
pub fn histogram<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let stats = &call.node.stats;
    let mut wanted: Vec<&'static Command> = Vec::new();
    if call.args.len() == 2 {
        wanted.extend(commands::all());
    } else {
        for command in call.args.iter().skip(2).filter_map(|name| find_full_name(call.node, name)) {
            wanted.push(command);
            wanted.extend(command.subcommands());
        }
    }
    let known = wanted.into_iter().filter_map(|command| {
        let latencies = stats.latencies(command.id);
        let calls = latencies.calls();
        (calls > 0).then(|| (Reply::from(command.full_name), distribution(calls, &latencies)))
    });
    Ok(Reply::Map(known.collect()))
}

fn distribution(calls: u64, latencies: &Histogram) -> Reply<'static> {
    let rows = latencies.cumulative().into_iter();
    Reply::map([
        ("calls", Reply::Int(calls as i64)),
        ("histogram_usec", Reply::map(rows.map(|(micros, count)| (micros as i64, count as i64)))),
    ])
}

/// LATENCY GRAPH event
pub fn graph<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let event = call.args.at(2);
    let Some((event, series)) = call.node.latency.series(event) else {
        return Err(CommandError::quoting("ERR No samples available for event '", event, "'"));
    };
    Ok(Reply::text(draw_graph(event, &series, call.now_us.div_euclid(1_000_000))))
}

/// Columns of a graph, and lines of its bars.
const GRAPH_COLUMNS: usize = 80;
const GRAPH_LINES: usize = 4;
/// What a bar ends in, by how much of its last line it fills.
const TOPS: [char; 3] = ['_', 'o', '#'];

/// Bars side by side, at most 80 in a row, each with its age below, written downwards.
fn draw_graph(event: &str, series: &Series, now_s: i64) -> String {
    let latencies = || series.samples.iter().map(|sample| sample.latency_ms);
    let (high, low) = (latencies().max().unwrap_or(0), latencies().min().unwrap_or(0));
    let mut graph = format!(
        "{event} - high {high} ms, low {low} ms (all time high {} ms)\n{}\n",
        series.worst_ms,
        "-".repeat(GRAPH_COLUMNS)
    );
    let samples: Vec<&Sample> = series.samples.iter().collect();
    for (index, row) in samples.chunks(GRAPH_COLUMNS).enumerate() {
        if index > 0 {
            graph.push('\n');
        }
        draw_row(&mut graph, row, low, high, now_s);
    }
    graph
}

fn draw_row(graph: &mut String, row: &[&Sample], low: u64, high: u64, now_s: i64) {
    let steps = GRAPH_LINES * TOPS.len();
    let range = (high - low).max(1);
    let heights: Vec<usize> = row
        .iter()
        .map(|sample| {
            let step = u128::from(sample.latency_ms - low) * steps as u128 / u128::from(range);
            usize::try_from(step).map_or(steps - 1, |step| step.min(steps - 1))
        })
        .collect();
    for line in (0..GRAPH_LINES).rev() {
        graph.extend(heights.iter().map(|height| match height.checked_sub(line * TOPS.len()) {
            None => ' ',
            Some(above) => *TOPS.get(above).unwrap_or(&'|'),
        }));
        graph.push('\n');
    }
    let ages: Vec<Vec<u8>> =
        row.iter().map(|sample| age(now_s - sample.time_s).into_bytes()).collect();
    let longest = ages.iter().map(Vec::len).max().unwrap_or(0);
    graph.push_str(&" ".repeat(row.len()));
    graph.push('\n');
    for line in 0..longest {
        graph.extend(ages.iter().map(|age| age.get(line).map_or(' ', |byte| char::from(*byte))));
        graph.push('\n');
    }
}

/// A time span in its largest unit.
fn age(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// LATENCY DOCTOR
pub fn doctor<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let settings = call.node.config.load();
    let now_s = call.now_us.div_euclid(1_000_000);
    Ok(Reply::text(diagnosis(&call.node.latency.all(), &settings, now_s)))
}

fn diagnosis(events: &[(&'static str, Series)], settings: &Settings, now_s: i64) -> String {
    if events.is_empty() {
        return if settings.latency_monitor_threshold_ms == 0 {
            "The latency monitor is off. CONFIG SET latency-monitor-threshold <milliseconds> \
             switches it on.\n"
        } else {
            "No latency above the threshold has been seen since the monitor was reset.\n"
        }
        .to_owned();
    }
    let mut report = String::from("Latency above the threshold was seen:\n\n");
    for (number, (event, series)) in events.iter().enumerate() {
        report.push_str(&format!("{}. {event}: {}\n", number + 1, figures(series, now_s)));
    }
    let advice = advice(events, settings);
    if advice.is_empty() {
        report.push_str("\nThere is no general advice for these.\n");
    } else {
        report.push_str("\nWhat may help:\n\n");
        for line in advice {
            report.push_str(&format!("- {line}\n"));
        }
    }
    report
}

fn figures(series: &Series, now_s: i64) -> String {
    let samples: &VecDeque<Sample> = &series.samples;
    let count = samples.len().max(1) as u64;
    let average = samples.iter().map(|sample| sample.latency_ms).sum::<u64>() / count;
    let deviations = samples.iter().map(|sample| sample.latency_ms.abs_diff(average));
    let deviation = deviations.sum::<u64>() / count;
    let since_s = samples.front().map_or(1, |oldest| (now_s - oldest.time_s).max(1));
    format!(
        "{} latency spikes (average {average}ms, mean deviation {deviation}ms, period {:.2} sec). \
         Worst all time event {}ms.",
        samples.len(),
        since_s as f64 / count as f64,
        series.worst_ms
    )
}

fn advice(events: &[(&'static str, Series)], settings: &Settings) -> Vec<String> {
    let seen = |event: &str| events.iter().any(|(name, _)| *name == event);
    let mut advice = Vec::new();
    let threshold_us = settings.latency_monitor_threshold_ms.saturating_mul(1000);
    if seen("command") {
        let logged_from_us = settings.slowlog_log_slower_than_us;
        if u64::try_from(logged_from_us).map_or(true, |from| from > threshold_us) {
            advice.push(format!(
                "The slow log does not see all of these commands; CONFIG SET \
                 slowlog-log-slower-than {threshold_us} lets it."
            ));
        }
        advice.push("SLOWLOG GET shows which commands they were.".to_owned());
        advice.push(
            "Commands that walk a whole database or a large value cost what they walk: SCAN in \
             place of KEYS, and several smaller values in place of one large, keep them short."
                .to_owned(),
        );
    }
    if seen("fast-command") {
        advice.push(
            "Commands that are always cheap took long, so the machine did not let the process \
             run: look for other load, or for a virtual machine that waits for its host."
                .to_owned(),
        );
    }
    if seen("expire-cycle") {
        advice.push(
            "Many keys are due at the same moment; deadlines with a random part spread them."
                .to_owned(),
        );
    }
    if seen("eviction-cycle") || seen("eviction-del") {
        advice.push(
            "Much had to be evicted at once: after a lowered maxmemory this passes, otherwise \
             look for writes of large values."
                .to_owned(),
        );
    }
    advice
}

/// LATENCY HELP
pub fn help<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    Ok(docs::help(
        call,
        &[
            "DOCTOR",
            "    Explain the slow events that were seen.",
            "GRAPH <event>",
            "    Draw the samples of one kind of event.",
            "HISTORY <event>",
            "    Show the samples of one kind of event: Unix time, milliseconds.",
            "LATEST",
            "    Show the newest and the worst sample of each kind of event.",
            "RESET [<event> ...]",
            "    Forget the samples of these kinds of events, or of all.",
            "HISTOGRAM [<command> ...]",
            "    Show how the durations of these commands, or of all, are distributed.",
        ],
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(samples: &[(i64, u64)]) -> Series {
        Series {
            samples: samples
                .iter()
                .map(|&(time_s, latency_ms)| Sample { time_s, latency_ms })
                .collect(),
            worst_ms: samples.iter().map(|sample| sample.1).max().unwrap_or(0),
        }
    }

    #[test]
    fn a_graph_has_bars_and_ages() {
        let graph = draw_graph("command", &series(&[(0, 100), (90, 400), (95, 250)]), 100);
        let lines: Vec<&str> = graph.lines().collect();
        assert_eq!(lines[0], "command - high 400 ms, low 100 ms (all time high 400 ms)");
        assert_eq!(lines[2..], [" # ", " |_", " ||", "_||", "   ", "115", "m0s", " s "]);
    }

    #[test]
    fn equal_samples_and_many_samples_draw() {
        let many: Vec<(i64, u64)> = (0..160).map(|second| (second, 7)).collect();
        let graph = draw_graph("command", &series(&many), 1000);
        assert!(graph.lines().all(|line| line.len() <= GRAPH_COLUMNS));
        assert!(draw_graph("command", &series(&[(0, u64::MAX), (1, 0)]), 2).contains('#'));
    }

    #[test]
    fn the_doctor_has_something_to_say_in_each_case() {
        let mut settings = Settings::default();
        assert!(diagnosis(&[], &settings, 0).contains("is off"));
        settings.latency_monitor_threshold_ms = 5;
        assert!(diagnosis(&[], &settings, 0).contains("No latency"));
        let seen = [("command", series(&[(0, 10), (10, 20)]))];
        let text = diagnosis(&seen, &settings, 10);
        assert!(text.contains("1. command: 2 latency spikes (average 15ms, mean deviation 5ms"));
        assert!(text.contains("slowlog-log-slower-than 5000"));
        assert!(diagnosis(&[("other", series(&[(0, 10)]))], &settings, 1).contains("no general"));
    }
}
