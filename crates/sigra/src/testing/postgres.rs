use std::{
    env,
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, OpenOptionsExt},
        process::{CommandExt, parent_id},
    },
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    time::{Duration, Instant},
};

use uuid::Uuid;

const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Enough connections for a pool in each of the many test processes of a large machine. The tests' data need not
/// survive a crash, and no database lives long enough to be vacuumed.
const SERVER_SETTINGS: &str = "-c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=1000 \
     -c fsync=off -c full_page_writes=off -c autovacuum=off -c max_wal_size=128MB";

/// How many ports are tried: another process can take a free port before the server does.
const PORTS: usize = 5;

/// Prints when a process began. A process id is reused on a busy machine, but not with the same start time.
const BEGUN: &str = r#"
    begun() {
        if read -r stat 2>/dev/null <"/proc/$1/stat"; then
            set -- ${stat##*) }
            echo "${20}"
        else
            ps -o lstart= -p "$1" 2>/dev/null
        fi
    }
"#;

/// Stops a cluster when a process has ended, however it ended, and deletes its files.
const WATCHER: &str = r#"
    while [ "$(begun "$1")" = "$2" ]; do sleep 0.5; done
    [ -f "$3/data/postmaster.pid" ] && kill -QUIT "$(head -n 1 "$3/data/postmaster.pid")" 2>/dev/null
    sleep 0.5
    rm -rf "$3" "$4"
"#;

/// A temporary PostgreSQL cluster for tests, on a free port, run by the installed programs. It needs no set-up and
/// leaves nothing behind.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use sigra::testing::PostgresCluster;
///
/// let cluster = PostgresCluster::shared()?;
/// let pool = sqlx::PgPool::connect(&cluster.create_database()?).await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct PostgresCluster {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
}

/// Why a cluster can't be used, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// PostgreSQL's programs aren't installed.
    #[error("PostgreSQL's programs are not installed: install the package `postgresql`, or put `initdb` on the PATH")]
    NotInstalled,
    /// A program failed.
    #[error("`{program}` failed: {message}")]
    Failed {
        /// Its name.
        program: String,
        /// Its standard error.
        message: String,
    },
    /// The operating system failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl PostgresCluster {
    /// Returns the cluster of this test run. The first test starts it, which takes 1 or 2 seconds. The others find it,
    /// even in other processes: `cargo nextest` runs every test in its own. It ends with the process that runs the
    /// tests.
    ///
    /// Create a database for each test:
    ///
    /// ```no_run
    /// use sigra::testing::PostgresCluster;
    /// use sqlx::PgPool;
    ///
    /// async fn fresh_database() -> PgPool {
    ///     let cluster = PostgresCluster::shared().unwrap_or_else(|error| panic!("{error}"));
    ///     let pool = PgPool::connect(&cluster.create_database().expect("a database")).await.expect("a connection");
    ///     sqlx::raw_sql("CREATE TABLE users (id uuid PRIMARY KEY)").execute(&pool).await.expect("the table users");
    ///     pool
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ClusterError`], which says what to install if programs are missing.
    pub fn shared() -> Result<Self, ClusterError> {
        Self::shared_under(&Owner::of(parent_id())?)
    }

    /// Starts a cluster that no other test uses, for a test that stops it. It ends with this process.
    ///
    /// # Errors
    ///
    /// [`ClusterError`], which says what to install if programs are missing.
    pub fn start() -> Result<Self, ClusterError> {
        Self::start_under(programs()?, &Owner::of(process::id())?, None)
    }

    /// Returns the cluster that all children of one process share. The process that starts it holds a lock, which a
    /// crash releases too, and notes where the cluster is.
    fn shared_under(parent: &Owner) -> Result<Self, ClusterError> {
        let programs = programs()?;
        let path = parent.note();
        let mut note = open_note(&path)?;
        note.lock()?;
        if let Some(noted) = Self::read(&mut note, &programs)?.filter(Self::answers) {
            return Ok(noted);
        }
        let started = Self::start_under(programs, parent, Some(&path))?;
        started.write(&mut note)?;
        Ok(started)
    }

    /// Starts a cluster that ends with a process.
    fn start_under(programs: PathBuf, owner: &Owner, note: Option<&Path>) -> Result<Self, ClusterError> {
        let folder = tempfile::Builder::new().prefix("sigra-postgres-").tempdir_in(place())?.keep();
        let mut cluster = Self { programs, folder, port: 0 };
        cluster.watch(owner, note)?;
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&cluster.folder))?;
        }
        let mut initdb = cluster.program("initdb");
        initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"]);
        run(initdb.arg(cluster.data()))?;
        let mut started = Ok(());
        for _ in 0..PORTS {
            cluster.port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
            started = cluster.spawn_server();
            if started.is_ok() {
                break;
            }
        }
        started.map(|()| cluster)
    }

    /// Returns the noted cluster, if there is one.
    fn read(note: &mut File, programs: &Path) -> io::Result<Option<Self>> {
        let mut noted = Vec::new();
        note.read_to_end(&mut noted)?;
        let Some((port, folder)) = noted.split_first_chunk() else { return Ok(None) };
        let folder = PathBuf::from(OsStr::from_bytes(folder));
        Ok(Some(Self { programs: programs.to_owned(), folder, port: u16::from_be_bytes(*port) }))
    }

    fn write(&self, note: &mut File) -> io::Result<()> {
        note.set_len(0)?;
        note.rewind()?;
        note.write_all(&[&self.port.to_be_bytes(), self.folder.as_os_str().as_bytes()].concat())
    }

    fn answers(&self) -> bool {
        self.data().join("postmaster.pid").exists() && TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok()
    }

    /// Creates an empty database, and returns its URL.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Failed`].
    pub fn create_database(&self) -> Result<String, ClusterError> {
        self.create_database_from("template1")
    }

    /// Creates a copy of another database that has no connections, and returns its URL.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Failed`].
    pub fn create_database_from(&self, template: &str) -> Result<String, ClusterError> {
        let name = format!("test_{}", Uuid::now_v7().simple());
        let mut createdb = Command::new(self.programs.join("createdb"));
        createdb.args(["-h", "127.0.0.1", "-U", "postgres", "-T", template, "-p"]).arg(self.port.to_string());
        run(createdb.arg(&name))?;
        Ok(self.url(&name))
    }

    /// Returns the URL of a database.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Stops the server like a crash. Don't call it on a cluster that is [shared](Self::shared) with other tests.
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
        let options = format!("-c port={} {SERVER_SETTINGS}", self.port);
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

    /// Starts the watcher in its own process group, so that signals that end a test run don't reach it.
    fn watch(&self, owner: &Owner, note: Option<&Path>) -> io::Result<()> {
        let mut watcher = Command::new("sh");
        watcher.args(["-c", &[BEGUN, WATCHER].concat(), "watcher", &owner.id.to_string(), &owner.begun]);
        watcher.arg(&self.folder).args(note);
        watcher.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        watcher.current_dir("/").process_group(0).spawn().map(drop)
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Returns one of the server's programs. They refuse to run as root.
    fn program(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        let mut command = if is_root() {
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

/// Returns the folder for clusters: in memory if enough is free, because every database has hundreds of files, and
/// disks are slow to create them.
fn place() -> PathBuf {
    #[cfg(target_os = "linux")]
    {
        const PLENTY: u64 = 4 << 30;
        let memory = rustix::fs::statvfs("/dev/shm");
        if memory.is_ok_and(|memory| memory.f_bavail.saturating_mul(memory.f_frsize) >= PLENTY) {
            return PathBuf::from("/dev/shm");
        }
    }
    env::temp_dir()
}

/// A process that a cluster ends with.
#[derive(Debug)]
struct Owner {
    id: u32,
    begun: String,
}

impl Owner {
    fn of(id: u32) -> io::Result<Self> {
        let begun = [BEGUN, r#"begun "$1""#].concat();
        let said = Command::new("sh").args(["-c", &begun, "begun", &id.to_string()]).output()?;
        match String::from_utf8_lossy(&said.stdout).trim() {
            "" => Err(io::Error::other(format!("can't find out when process {id} began: install `ps`"))),
            begun => Ok(Self { id, begun: begun.to_owned() }),
        }
    }

    /// Returns the file that notes its cluster.
    fn note(&self) -> PathBuf {
        let begun: String = self.begun.chars().filter(char::is_ascii_alphanumeric).collect();
        env::temp_dir().join(format!("sigra-postgres-of-{}-{begun}", self.id))
    }
}

fn open_note(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// Returns the folder of `initdb`: Debian's, or one on the PATH.
fn programs() -> Result<PathBuf, ClusterError> {
    let on_path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&on_path).collect::<Vec<_>>();
    let mut of_debian: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|versions| versions.flatten().map(|version| version.path().join("bin")).collect())
        .unwrap_or_default();
    of_debian.sort();
    let has_programs = |folder: &PathBuf| folder.join("initdb").is_file() && folder.join("pg_ctl").is_file();
    of_debian.into_iter().rev().chain(on_path).find(has_programs).ok_or(ClusterError::NotInstalled)
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn run(command: &mut Command) -> Result<(), ClusterError> {
    // The server inherits these, so don't wait for them to be closed.
    let errors = tempfile::NamedTempFile::new()?;
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors.reopen()?).status()?;
    if status.success() {
        return Ok(());
    }
    let program = format!("{:?}", command.get_program());
    Err(ClusterError::Failed { program, message: fs::read_to_string(errors.path())?.trim().to_owned() })
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    /// Leaves what a crash while starting leaves: a note of a cluster that doesn't respond.
    fn leave_a_stale_note(run: &Owner) {
        let stale = PostgresCluster { programs: PathBuf::new(), folder: env::temp_dir(), port: 1 };
        stale.write(&mut File::create(run.note()).unwrap()).unwrap();
    }

    fn wait_for_the_end_of(cluster: &PostgresCluster) {
        let deadline = Instant::now() + START_TIMEOUT;
        while cluster.answers() || cluster.folder.exists() {
            assert!(Instant::now() < deadline, "{cluster:?} is still there");
            thread::sleep(Duration::from_millis(100));
        }
    }

    #[test]
    fn a_test_run_shares_one_cluster_that_ends_with_it() {
        let mut run = Command::new("sleep").arg("600").spawn().unwrap();
        let owner = Arc::new(Owner::of(run.id()).unwrap());
        leave_a_stale_note(&owner);

        let at_once = [(); 4].map(|()| {
            let owner = owner.clone();
            thread::spawn(move || PostgresCluster::shared_under(&owner).unwrap())
        });
        let clusters = at_once.map(|thread| thread.join().unwrap());
        assert!(clusters.iter().all(|cluster| cluster.port == clusters[0].port), "{clusters:?}");
        let databases = clusters.each_ref().map(|cluster| cluster.create_database().unwrap());
        assert_ne!(databases[0], databases[1]);

        run.kill().unwrap();
        run.wait().unwrap();
        wait_for_the_end_of(&clusters[0]);
        assert!(!owner.note().exists());
    }

    /// Process ids are reused. What an earlier process with the same id left must not matter.
    #[test]
    fn a_process_is_not_confused_with_an_earlier_one_of_the_same_id() {
        let now = Owner::of(process::id()).unwrap();
        let earlier = Owner { id: now.id, begun: "1".to_owned() };
        assert_ne!(now.note(), earlier.note());

        let folder = tempfile::tempdir().unwrap().keep();
        let left_behind = PostgresCluster { programs: PathBuf::new(), folder, port: 1 };
        left_behind.watch(&earlier, None).unwrap();
        wait_for_the_end_of(&left_behind);

        let cluster = PostgresCluster::start().unwrap();
        for number in 0..3 {
            let mut createdb = Command::new(cluster.programs.join("createdb"));
            createdb.args(["-h", "127.0.0.1", "-U", "postgres", "-p", &cluster.port.to_string()]);
            run(createdb.arg(format!("test_{}_{number}", process::id()))).unwrap();
        }
        cluster.create_database().unwrap();
    }
}
