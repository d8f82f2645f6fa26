//! What a figure was found on.

use std::{fs, process::Command};

use time::{OffsetDateTime, format_description::well_known::Iso8601};

use crate::programs::first_line;

/// The processor, memory and system, in one line.
#[must_use]
pub fn describe() -> String {
    let cpu = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned());
    // Not those that this process may run on: it has pinned itself.
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cores = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let memory = field("/proc/meminfo", "MemTotal").and_then(|kib| kib.trim_end_matches(" kB").parse::<f64>().ok());
    let memory = memory.unwrap_or_default() / 1024.0 / 1024.0;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cpu}, {cores} core(s), {memory:.0} GiB, Linux {}", kernel.trim())
}

/// How many processes wanted a core in the last minute, on average.
#[must_use]
pub fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or_default().to_owned()
}

#[must_use]
pub fn today() -> String {
    let now = OffsetDateTime::now_utc().format(&Iso8601::DATE);
    now.unwrap_or_default()
}

/// The version of a program that says it in one line.
#[must_use]
pub fn version(program: &str) -> String {
    first_line(Command::new(program).arg("--version")).unwrap_or_default()
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
