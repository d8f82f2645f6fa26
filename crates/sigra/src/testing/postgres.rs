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

/// Enough for a pool in each of the many test processes of a large machine. What tests write need not
/// outlive the machine, and no database lives long enough to be worth vacuuming.
const SERVER_SETTINGS: &str = "-c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=1000 \
     -c fsync=off -c full_page_writes=off -c autovacuum=off -c max_wal_size=128MB";

/// How often a free port is looked for: another process may take it before the server does.
const PORTS: usize = 5;

/// Says when a process began. Its id comes round on a busy machine, and together they don't.
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

/// Ends a cluster once a process is gone, however it went, and deletes what is left of it.
const WATCHER: &str = r#"
    while [ "$(begun "$1")" = "$2" ]; do sleep 0.5; done
    [ -f "$3/data/postmaster.pid" ] && kill -QUIT "$(head -n 1 "$3/data/postmaster.pid")" 2>/dev/null
    sleep 0.5
    rm -rf "$3" "$4"
"#;

/// A PostgreSQL of the tests' own: a temporary cluster on a free port, from the installed programs. Nothing
/// has to be set up, and nothing is left behind.
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
    Io(#[from] io::Error),
}

impl PostgresCluster {
    /// The cluster of this run of tests. The first test starts it, which takes a second or two; the others
    /// find it, also those in other processes: `cargo nextest` runs every test in one of its own. It ends when
    /// the process that runs the tests does.
    ///
    /// A test asks it for a database of its own:
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
    /// [`ClusterError`], which says what to install if there are no programs.
    pub fn shared() -> Result<Self, ClusterError> {
        Self::shared_under(&Owner::of(parent_id())?)
    }

    /// A cluster that nobody else knows, for a test that stops it. It ends when this process does.
    ///
    /// # Errors
    ///
    /// [`ClusterError`], which says what to install if there are no programs.
    pub fn start() -> Result<Self, ClusterError> {
        Self::start_under(programs()?, &Owner::of(process::id())?, None)
    }

    /// The cluster of all children of one process. Whoever starts it holds a lock, which a crash releases too,
    /// and notes where it is.
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

    /// Starts a cluster that lasts as long as a process.
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

    /// The cluster that was noted, if one was.
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
        let name = format!("test_{}", Uuid::now_v7().simple());
        let mut createdb = Command::new(self.programs.join("createdb"));
        createdb.args(["-h", "127.0.0.1", "-U", "postgres", "-T", template, "-p"]).arg(self.port.to_string());
        run(createdb.arg(&name))?;
        Ok(self.url(&name))
    }

    /// The URL of one of its databases.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Kills the server, as a crash would. Not one that is [shared](Self::shared) with other tests.
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

    /// Leaves a watcher behind, out of reach of the signals that end a run of tests.
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

    /// One of the server's programs. They refuse to run as root.
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

/// In memory, if there is plenty: every database is hundreds of files, which a disk is slow to make.
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

/// A process that a cluster lasts as long as.
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
            "" => Err(io::Error::other(format!("nobody knows when process {id} began: install `ps`"))),
            begun => Ok(Self { id, begun: begun.to_owned() }),
        }
    }

    /// Where its cluster is noted.
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

/// Where `initdb` is: on the PATH, or where Debian keeps it.
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
    // The server inherits these, so nothing may wait for them to be closed.
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

    /// What a crashed starter leaves: a note of a cluster that does not answer.
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
    fn a_run_of_tests_shares_one_cluster_that_ends_with_it() {
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

    /// The ids of processes come round. What a process left that had the same one is in nobody's way.
    #[test]
    fn a_process_is_not_taken_for_an_earlier_one_with_its_id() {
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
