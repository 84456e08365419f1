//! A process's own accounting, from `/proc`: CPU time and resident memory.
//!
//! CPU is the sum of its threads' `schedstat` (nanoseconds on a core). The tick-based
//! `stat` (10 ms steps on most kernels) stands in where schedstat is not kept, or where a
//! thread ended within the window and took its nanoseconds with it.

use std::fs;
use std::time::Duration;

use crate::{Error, Result};

/// Kernel ticks a second in `/proc/<pid>/stat`: `USER_HZ`, fixed at 100 in Linux's ABI.
const TICK: Duration = Duration::from_millis(10);

/// CPU time of a process at one moment.
#[derive(Clone, Debug)]
pub struct CpuTime {
    /// Thread id and nanoseconds on a core; empty where schedstat is not kept.
    threads: Vec<(u32, u64)>,
    ticks: u64,
}

impl CpuTime {
    /// Reads the accounting of `pid` now.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn of(pid: u32) -> Result<Self> {
        let mut threads = Vec::new();
        let folder = format!("/proc/{pid}/task");
        let tasks = fs::read_dir(&folder).map_err(Error::io(folder))?;
        for task in tasks.flatten() {
            let Some(id) = task.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let spent = fs::read_to_string(task.path().join("schedstat"))
                .ok()
                .and_then(|text| text.split_whitespace().next().and_then(|ns| ns.parse().ok()));
            threads.extend(spent.map(|ns| (id, ns)));
        }
        let path = format!("/proc/{pid}/stat");
        let stat = fs::read_to_string(&path).map_err(Error::io(path))?;
        // The second field is the program's name and may hold anything, so count behind it:
        // utime and stime are fields 14 and 15.
        let behind_name = stat.rsplit(')').next().unwrap_or_default();
        let ticks = behind_name
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum();
        Ok(Self { threads, ticks })
    }

    /// CPU time spent between `earlier` and this moment.
    pub fn since(&self, earlier: &Self) -> Duration {
        let all_alive =
            earlier.threads.iter().all(|(id, _)| self.threads.iter().any(|(other, _)| other == id));
        let total = |moment: &Self| moment.threads.iter().map(|(_, ns)| ns).sum::<u64>();
        if self.threads.is_empty() || !all_alive {
            let ticks = self.ticks.saturating_sub(earlier.ticks);
            return TICK.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX));
        }
        Duration::from_nanos(total(self).saturating_sub(total(earlier)))
    }
}

/// Resident memory of `pid` in bytes.
///
/// # Errors
/// When the process is gone.
pub fn resident(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).map_err(Error::io(path))?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|kib| kib.parse::<u64>().ok())
        .map(|kib| kib * 1024)
        .ok_or_else(|| Error::Protocol("no VmRSS in /proc".into()))
}

/// Memory of `pid` and of the processes that it started, in bytes; what several of them share counts
/// once.
///
/// # Errors
/// When the process is gone.
pub fn tree_memory(pid: u32) -> Result<u64> {
    let mut sum = proportional(pid)?;
    let path = format!("/proc/{pid}/task");
    let tasks = fs::read_dir(&path).map_err(Error::io(path))?;
    for task in tasks.flatten() {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        // A child may end between the two looks.
        sum += children
            .split_whitespace()
            .filter_map(|child| proportional(child.parse().ok()?).ok())
            .sum::<u64>();
    }
    Ok(sum)
}

/// A process's share of the memory that it uses.
fn proportional(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).map_err(Error::io(path))?;
    text.lines()
        .find_map(|line| line.strip_prefix("Pss:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|kib| kib.parse::<u64>().ok())
        .map(|kib| kib * 1024)
        .ok_or_else(|| Error::Protocol("no Pss in /proc".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn work_shows_in_the_accounting() {
        let pid = std::process::id();
        let before = CpuTime::of(pid).unwrap();
        let until = Instant::now() + Duration::from_millis(60);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        // Half of it, and by ticks if another test's thread ended meanwhile.
        assert!(CpuTime::of(pid).unwrap().since(&before) >= Duration::from_millis(20));
        assert!(resident(pid).unwrap() > 0);
        assert!(tree_memory(pid).unwrap() > 0);
    }
}
