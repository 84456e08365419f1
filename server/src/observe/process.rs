//! What the operating system knows about this process and this machine.
//!
//! Only INFO and MEMORY ask, so nothing is cached but what never changes. What cannot be learned on
//! a platform is 0.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use std::sync::LazyLock;

/// CPU time in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuTime {
    /// In the kernel.
    pub system_us: i64,
    /// In the process's own code.
    pub user_us: i64,
}

impl CpuTime {
    /// Both together.
    pub fn total_us(self) -> u64 {
        u64::try_from(self.system_us + self.user_us).unwrap_or(0)
    }
}

fn cpu_time(who: UsageWho) -> CpuTime {
    let micros = |time: TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
    getrusage(who).map_or_else(
        |_| CpuTime::default(),
        |usage| CpuTime {
            system_us: micros(usage.system_time()),
            user_us: micros(usage.user_time()),
        },
    )
}

/// CPU time of all threads of this process.
pub fn own_cpu_time() -> CpuTime {
    cpu_time(UsageWho::RUSAGE_SELF)
}

/// CPU time of child processes that have ended.
pub fn children_cpu_time() -> CpuTime {
    cpu_time(UsageWho::RUSAGE_CHILDREN)
}

/// CPU time of the calling thread.
#[cfg(target_os = "linux")]
pub fn thread_cpu_time() -> CpuTime {
    cpu_time(UsageWho::RUSAGE_THREAD)
}

/// CPU time of the calling thread, which this platform does not tell.
#[cfg(not(target_os = "linux"))]
pub fn thread_cpu_time() -> CpuTime {
    CpuTime::default()
}

/// Bytes of this process that are in memory.
pub fn resident_bytes() -> u64 {
    static PAGE_BYTES: LazyLock<u64> = LazyLock::new(|| {
        let asked = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE);
        asked.ok().flatten().and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(4096)
    });
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * *PAGE_BYTES
}

/// Bytes of memory that this machine has.
pub fn machine_bytes() -> u64 {
    static BYTES: LazyLock<u64> = LazyLock::new(|| {
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kilobytes.unwrap_or(0) * 1024
    });
    *BYTES
}

/// Kernel name, its release, and the machine's architecture.
pub fn operating_system() -> String {
    match nix::sys::utsname::uname() {
        Ok(name) => [name.sysname(), name.release(), name.machine()]
            .map(|part| part.to_string_lossy())
            .join(" "),
        Err(_) => std::env::consts::OS.to_owned(),
    }
}
