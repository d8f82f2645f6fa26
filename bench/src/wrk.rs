//! Load from `wrk`: one thread, and the cookie of another session, or another token, with each request.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use tempfile::TempDir;

use crate::Result;

pub const CONNECTIONS: u32 = 32;

/// Long enough for a server to open its connections and prepare its statements.
const WARM_UP: Duration = Duration::from_millis(500);

pub struct Wrk {
    folder: TempDir,
}

/// What one run found.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    pub requests: u64,
    pub requests_per_second: f64,
    pub p50: Duration,
    pub p99: Duration,
}

impl Wrk {
    pub fn new() -> Result<Self> {
        let folder = TempDir::with_prefix("bench-wrk-")?;
        fs::write(folder.path().join("wrk.lua"), include_str!("wrk.lua"))?;
        let wrk = Self { folder };
        wrk.version()?;
        Ok(wrk)
    }

    pub fn version(&self) -> Result<String> {
        let output = Command::new("wrk").arg("--version").output();
        let output = output.map_err(|error| format!("wrk can't be started, install its package: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.split_ascii_whitespace().take(2).collect::<Vec<_>>().join(" "))
    }

    /// Keeps the headers that a server is to be loaded with, one a line.
    pub fn save_headers(&self, server: &str, headers: &[String]) -> Result<PathBuf> {
        let path = self.folder.path().join(format!("{server}.headers"));
        fs::write(&path, headers.join("\n") + "\n")?;
        Ok(path)
    }

    /// Loads a server as long as it takes to warm up, and looks at no figures.
    pub fn warm_up(&self, address: SocketAddr, headers: &Path) -> Result<()> {
        let mut wrk = self.command(address, headers, 60).stdout(Stdio::null()).spawn()?;
        thread::sleep(WARM_UP);
        wrk.kill()?;
        wrk.wait()?;
        Ok(())
    }

    /// Loads a server, and fails unless every answer is a good one.
    pub fn run(&self, address: SocketAddr, headers: &Path, seconds: u32) -> Result<Figures> {
        let output = self.command(address, headers, seconds).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find_map(|line| line.strip_prefix("figures "));
        let line = line.ok_or_else(|| format!("wrk: {text}{}", String::from_utf8_lossy(&output.stderr)))?;
        let numbers = line.split(' ').map(str::parse).collect::<Result<Vec<u64>, _>>()?;
        let [requests, micros, p50, p99, errors] = numbers[..] else {
            return Err(format!("not what wrk.lua prints: {line}").into());
        };
        if errors > 0 {
            return Err(format!("{errors} of {requests} requests failed").into());
        }
        Ok(Figures {
            requests,
            requests_per_second: requests as f64 / Duration::from_micros(micros).as_secs_f64(),
            p50: Duration::from_micros(p50),
            p99: Duration::from_micros(p99),
        })
    }

    fn command(&self, address: SocketAddr, headers: &Path, seconds: u32) -> Command {
        let mut wrk = Command::new("wrk");
        wrk.args(["--threads", "1", "--connections", &CONNECTIONS.to_string()])
            .args(["--duration", &format!("{seconds}s"), "--script"])
            .arg(self.folder.path().join("wrk.lua"))
            .arg(format!("http://{address}/me"))
            .arg("--")
            .arg(headers)
            .stdin(Stdio::null());
        wrk
    }
}
