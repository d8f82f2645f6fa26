//! The application under test, and any other server, as a process.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    Result,
    cpus::{self, Cpus},
    http::{Answer, Connection},
};

const START: Duration = Duration::from_secs(20);

/// A folder with the application's database and secret, and how to start it there.
pub struct Site {
    program: PathBuf,
    cpus: Cpus,
    folder: TempDir,
}

/// A running server. It is ended when this is dropped.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

impl Site {
    pub fn new(program: &Path, cpus: &Cpus) -> Result<Self> {
        let program = program.canonicalize().map_err(|error| format!("{}: {error}", program.display()))?;
        Ok(Self { program, cpus: cpus.clone(), folder: TempDir::with_prefix("bench-")? })
    }

    /// Starts the application on a free port, and waits until it is healthy.
    pub async fn start(&self) -> Result<Server> {
        let address = free_address()?;
        let mut command = self.cpus.server_command(&self.program);
        command
            .current_dir(self.folder.path())
            .env("APP_ENV", "dev")
            .env("HOST", address.ip().to_string())
            .env("PORT", address.port().to_string())
            .env("RATE_LIMITS", "off")
            .env_remove("DATABASE_URL")
            .env_remove("PUBLIC_URL")
            .env_remove("COOKIE_DOMAIN")
            .stdout(Stdio::null());
        Server::start(command, address, START, "/healthz", |answer| answer.status == 200).await
    }
}

/// A port that nobody listens on.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

impl Server {
    /// Starts a server that listens at an address, and waits until a page is answered as it should be.
    pub async fn start(
        mut command: Command,
        address: SocketAddr,
        patience: Duration,
        page: &str,
        is_up: impl Fn(&Answer) -> bool,
    ) -> Result<Self> {
        let mut server = Self { child: command.stdin(Stdio::null()).spawn()?, address };
        let started = Instant::now();
        while started.elapsed() < patience {
            if let Some(status) = server.child.try_wait()? {
                return Err(format!("the server ended: {status}").into());
            }
            if let Ok(mut connection) = Connection::open(address).await
                && connection.get(page, None).await.is_ok_and(|answer| is_up(&answer))
                && server.child.try_wait()?.is_none()
            {
                return Ok(server);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(format!("the server was not up within {patience:?}").into())
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Memory in use now, in KiB.
    pub fn rss_kib(&self) -> Result<u64> {
        status_kib(self.pid(), "VmRSS:")
    }

    /// The most memory that was ever in use, in KiB: of the process, and of those that it has started.
    pub fn peak_rss_kib(&self) -> Result<u64> {
        cpus::with_children(self.pid())?.into_iter().map(|pid| status_kib(pid, "VmHWM:")).sum()
    }
}

fn status_kib(pid: u32, field: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let value = status.lines().find_map(|line| line.strip_prefix(field)).ok_or_else(|| format!("no {field}"))?;
    Ok(value.trim().trim_end_matches(" kB").parse()?)
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
