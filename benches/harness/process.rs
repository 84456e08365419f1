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
    user_ticks: u64,
    kernel_ticks: u64,
}

/// CPU time that a process spent in a while.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// All of it.
    pub whole: Duration,
    /// What the kernel took of it for the process. The kernel tells this in ticks only, so it is a
    /// share of `whole` and exact to a tick.
    pub kernel: Duration,
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
        let mut ticks = behind_name.split_whitespace().skip(11);
        let mut ticks = || ticks.next().and_then(|field| field.parse().ok()).unwrap_or_default();
        let (user_ticks, kernel_ticks) = (ticks(), ticks());
        Ok(Self { threads, user_ticks, kernel_ticks })
    }

    /// CPU time spent between `earlier` and this moment.
    pub fn since(&self, earlier: &Self) -> Spent {
        let all_alive =
            earlier.threads.iter().all(|(id, _)| self.threads.iter().any(|(other, _)| other == id));
        let total = |moment: &Self| moment.threads.iter().map(|(_, ns)| ns).sum::<u64>();
        let user_ticks = self.user_ticks.saturating_sub(earlier.user_ticks);
        let kernel_ticks = self.kernel_ticks.saturating_sub(earlier.kernel_ticks);
        let ticks = user_ticks + kernel_ticks;
        let whole = if self.threads.is_empty() || !all_alive {
            TICK.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX))
        } else {
            Duration::from_nanos(total(self).saturating_sub(total(earlier)))
        };
        Spent { whole, kernel: whole.mul_f64(kernel_ticks as f64 / ticks.max(1) as f64) }
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
        let spent = CpuTime::of(pid).unwrap().since(&before);
        // Half of it, and by ticks if another test's thread ended meanwhile.
        assert!(spent.whole >= Duration::from_millis(20), "{spent:?}");
        // Spinning asks the kernel for the time at most.
        assert!(spent.kernel < spent.whole, "{spent:?}");
        assert!(resident(pid).unwrap() > 0);
        assert!(tree_memory(pid).unwrap() > 0);
    }
}
