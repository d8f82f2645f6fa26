//! The application under test.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{Result, cpus::Cpus, http::Connection};

const START: Duration = Duration::from_secs(20);

/// A folder with the application's database and secret, and how to start it there.
pub struct Site {
    program: PathBuf,
    cpus: Cpus,
    folder: TempDir,
}

/// A running application. It is ended when this is dropped.
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
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let child = self
            .cpus
            .server_command(&self.program)
            .current_dir(self.folder.path())
            .env("APP_ENV", "dev")
            .env("HOST", address.ip().to_string())
            .env("PORT", address.port().to_string())
            .env("RATE_LIMITS", "off")
            .env_remove("DATABASE_URL")
            .env_remove("PUBLIC_URL")
            .env_remove("COOKIE_DOMAIN")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let mut server = Server { child, address };
        server.wait_until_healthy().await?;
        Ok(server)
    }
}

impl Server {
    async fn wait_until_healthy(&mut self) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < START {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("the application ended: {status}").into());
            }
            if let Ok(mut connection) = Connection::open(self.address).await
                && connection.get("/healthz", None).await.is_ok_and(|answer| answer.status == 200)
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(format!("the application was not healthy within {START:?}").into())
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Memory in use now, in KiB.
    pub fn rss_kib(&self) -> Result<u64> {
        self.status_kib("VmRSS:")
    }

    /// The most memory that was ever in use, in KiB.
    pub fn peak_rss_kib(&self) -> Result<u64> {
        self.status_kib("VmHWM:")
    }

    fn status_kib(&self, field: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let value = status.lines().find_map(|line| line.strip_prefix(field)).ok_or_else(|| format!("no {field}"))?;
        Ok(value.trim().trim_end_matches(" kB").parse()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
