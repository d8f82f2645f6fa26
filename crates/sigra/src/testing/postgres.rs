use std::{
    fs,
    net::TcpListener,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A PostgreSQL of the tests' own: a temporary cluster on a free port, from the installed programs. It ends,
/// and is deleted, when the process that started it ends.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use sigra::testing::PostgresCluster;
///
/// let cluster = PostgresCluster::start()?;
/// let pool = sqlx::PgPool::connect(&cluster.create_database()?).await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct PostgresCluster {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    databases: AtomicU32,
}

/// Why there is no cluster, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// There are no programs to start one with.
    #[error("PostgreSQL's programs are not installed: install the package `postgresql`, or put `initdb` on the PATH")]
    NotInstalled,
    /// A program failed.
    #[error("`{program}` failed: {message}")]
    Failed {
        /// Its name.
        program: String,
        /// What it said.
        message: String,
    },
    /// The operating system refused something.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl PostgresCluster {
    /// Makes and starts a cluster. It takes a second or two, so tests share one.
    ///
    /// # Errors
    ///
    /// [`ClusterError`], which says what to install if there are no programs.
    pub fn start() -> Result<Self, ClusterError> {
        let programs = programs()?;
        let folder = tempfile::Builder::new().prefix("sigra-postgres-").tempdir()?.keep();
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let cluster = Self { programs, folder, port, databases: AtomicU32::new(0) };
        cluster.watch()?;
        if is_root()? {
            run(Command::new("chown").arg("postgres").arg(&cluster.folder))?;
        }
        let data = cluster.data();
        run(cluster
            .program("initdb")
            .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(&data))?;
        cluster.spawn_server()?;
        Ok(cluster)
    }

    /// A fresh, empty database, as a URL.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Failed`].
    pub fn create_database(&self) -> Result<String, ClusterError> {
        self.create_database_from("template1")
    }

    /// A copy of another database of the cluster that nobody is connected to, as a URL.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Failed`].
    pub fn create_database_from(&self, template: &str) -> Result<String, ClusterError> {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut createdb = self.program("createdb");
        run(createdb
            .args(["-h", "127.0.0.1", "-U", "postgres", "-T", template, "-p"])
            .arg(self.port.to_string())
            .arg(&name))?;
        Ok(self.url(&name))
    }

    /// The URL of one of its databases.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Kills the server, as a crash would.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Failed`].
    pub fn stop(&self) -> Result<(), ClusterError> {
        run(self.program("pg_ctl").args(["stop", "-m", "immediate", "-D"]).arg(self.data()))
    }

    /// Starts the server again.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Failed`].
    pub fn restart(&self) -> Result<(), ClusterError> {
        self.spawn_server()
    }

    fn spawn_server(&self) -> Result<(), ClusterError> {
        let options = format!(
            "-c listen_addresses=127.0.0.1 -c port={} -c unix_socket_directories= -c fsync=off -c max_connections=300",
            self.port
        );
        let log = self.folder.join("data/server.log");
        let mut start = self.program("pg_ctl");
        start.args(["start", "-w", "-t", "60", "-o", &options, "-l"]).arg(log).arg("-D").arg(self.data());
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            match run(&mut start) {
                Err(ClusterError::Failed { .. })
                    if Instant::now() < deadline && self.data().join("postmaster.pid").exists() =>
                {
                    std::thread::sleep(Duration::from_millis(200));
                }
                done => return done,
            }
        }
    }

    /// Leaves a watcher that ends the cluster once this process is gone, however it goes.
    fn watch(&self) -> Result<(), ClusterError> {
        let script = "while kill -0 \"$1\" 2>/dev/null; do sleep 0.5; done
             [ -f \"$2/data/postmaster.pid\" ] && kill -QUIT \"$(head -n 1 \"$2/data/postmaster.pid\")\" 2>/dev/null
             sleep 0.5; rm -rf \"$2\"";
        Command::new("sh")
            .args(["-c", script, "watch", &std::process::id().to_string()])
            .arg(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// One of PostgreSQL's programs. They refuse to run as root.
    fn program(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        let mut command = if is_root().unwrap_or(false) {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir("/");
        command
    }
}

/// Where `initdb` is: on the PATH, or where Debian keeps it.
fn programs() -> Result<PathBuf, ClusterError> {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&on_path).collect::<Vec<_>>();
    let mut of_debian: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|versions| versions.flatten().map(|version| version.path().join("bin")).collect())
        .unwrap_or_default();
    of_debian.sort();
    let has_programs = |folder: &PathBuf| folder.join("initdb").is_file() && folder.join("pg_ctl").is_file();
    of_debian.into_iter().rev().chain(on_path).find(has_programs).ok_or(ClusterError::NotInstalled)
}

fn is_root() -> std::io::Result<bool> {
    Ok(fs::metadata(Path::new("/proc/self"))?.uid() == 0)
}

fn run(command: &mut Command) -> Result<(), ClusterError> {
    // The server inherits these, so nothing may wait for them to be closed.
    let errors = tempfile::NamedTempFile::new()?;
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors.reopen()?).status()?;
    if status.success() {
        return Ok(());
    }
    let program = format!("{:?}", command.get_program());
    Err(ClusterError::Failed { program, message: fs::read_to_string(errors.path())?.trim().to_owned() })
}
