//! Keeping the application and the load apart, so that neither is measured with the other's work in it.

use std::{
    fs,
    process::{Command, Stdio},
    thread::available_parallelism,
};

/// The CPUs that the application and the load run on, in the notation of `taskset --cpu-list`.
#[derive(Clone, Debug)]
pub struct Cpus {
    pub server: Option<String>,
    pub load: Option<String>,
}

/// The options that choose them.
#[derive(Clone, Debug, clap::Args)]
pub struct CpuOptions {
    /// The CPUs of what is measured, such as 0 or 0-3 (default: the first, if there are two)
    #[arg(long)]
    server_cpus: Option<String>,
    /// The CPUs of the rest: the load, and PostgreSQL (default: the second, if there are two)
    #[arg(long)]
    load_cpus: Option<String>,
}

impl CpuOptions {
    #[must_use]
    pub fn choose(&self) -> Cpus {
        Cpus::choose(self.server_cpus.clone(), self.load_cpus.clone())
    }
}

impl Cpus {
    /// What was asked for. By default the first CPU serves and the second loads, where there are two and
    /// `taskset` to pin with.
    #[must_use]
    pub fn choose(server: Option<String>, load: Option<String>) -> Self {
        let two = available_parallelism().is_ok_and(|cpus| cpus.get() >= 2);
        let default = |cpu: &str| (two && has_taskset()).then(|| cpu.to_owned());
        Self { server: server.or_else(|| default("0")), load: load.or_else(|| default("1")) }
    }

    /// Moves this process to its CPUs. Called before any thread is started, so that all inherit it.
    pub fn pin_load(&self) -> crate::Result<()> {
        let Some(cpus) = &self.load else { return Ok(()) };
        pin(&std::process::id().to_string(), cpus)
    }

    /// The command that runs a program on the server's CPUs. It becomes the program: the process id stays.
    #[must_use]
    pub fn server_command(&self, program: &std::path::Path) -> Command {
        match &self.server {
            Some(cpus) => {
                let mut taskset = Command::new("taskset");
                taskset.args(["--cpu-list", cpus]).arg(program);
                taskset
            }
            None => Command::new(program),
        }
    }
}

/// Moves the calling thread to a CPU.
pub fn pin_thread(cpu: usize) -> crate::Result<()> {
    // The link is `<process>/task/<thread>`.
    let link = fs::read_link("/proc/thread-self")?;
    let thread = link.file_name().and_then(|name| name.to_str()).ok_or("no thread in /proc/thread-self")?;
    pin(thread, &cpu.to_string())
}

/// Moves a process or a thread to CPUs.
fn pin(id: &str, cpus: &str) -> crate::Result<()> {
    let mut taskset = Command::new("taskset");
    let pinned = taskset.args(["--cpu-list", "--pid", cpus, id]).stdout(Stdio::null()).status()?;
    if pinned.success() { Ok(()) } else { Err(format!("taskset can't pin {id} to CPU {cpus}").into()) }
}

fn has_taskset() -> bool {
    let version = Command::new("taskset").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// How many CPUs a process may run on.
pub fn allowed(pid: u32) -> crate::Result<usize> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mask = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed:")).ok_or("no Cpus_allowed in status")?;
    let bits = mask.chars().filter_map(|digit| digit.to_digit(16)).map(u32::count_ones).sum::<u32>();
    Ok(usize::try_from(bits)?)
}

/// The time that the CPUs have spent, in clock ticks: in all, and on the application and the load.
pub struct OtherWork {
    all: u64,
    busy: u64,
    ours: u64,
}

impl OtherWork {
    /// Since the machine was started. The application is a process of its own, and the load is this one.
    pub fn so_far(application: u32) -> crate::Result<Self> {
        let stat = fs::read_to_string("/proc/stat")?;
        let cpu = stat.lines().next().and_then(|line| line.strip_prefix("cpu ")).ok_or("no cpu in /proc/stat")?;
        // user, nice, system, idle, iowait, irq, softirq, steal; guest time is counted in user already.
        let spent = cpu.split_ascii_whitespace().take(8).map(str::parse).collect::<Result<Vec<u64>, _>>()?;
        let all = spent.iter().sum();
        let idle: u64 = spent.iter().skip(3).take(2).sum();
        Ok(Self { all, busy: all - idle, ours: all_ticks_of(application)? + ticks_of(std::process::id())? })
    }

    /// The share of the CPUs' time that went to other processes.
    #[must_use]
    pub fn share_since(&self, before: &Self) -> f64 {
        let (busy, ours) = (self.busy - before.busy, self.ours - before.ours);
        busy.saturating_sub(ours) as f64 / (self.all - before.all).max(1) as f64
    }
}

/// The CPU time of a process and its children so far, in seconds.
pub fn seconds_of(pid: u32) -> crate::Result<f64> {
    // Linux shows every program ticks of a hundredth of a second (USER_HZ).
    Ok(all_ticks_of(pid)? as f64 / 100.0)
}

fn all_ticks_of(pid: u32) -> crate::Result<u64> {
    with_children(pid)?.into_iter().map(ticks_of).sum()
}

/// A process and those that it has started.
pub fn with_children(pid: u32) -> crate::Result<Vec<u32>> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children.split_ascii_whitespace().map(str::parse);
    Ok(std::iter::once(Ok(pid)).chain(children).collect::<Result<_, _>>()?)
}

fn ticks_of(pid: u32) -> crate::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name may hold anything; after it come the state, ten more fields, and then user and system time.
    let fields = stat.rsplit_once(')').ok_or("no name in /proc/pid/stat")?.1.split_ascii_whitespace();
    Ok(fields.skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?)
}
