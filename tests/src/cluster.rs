//! A PostgreSQL of a test's own, and its standbys.
//!
//! Promises a server in a folder that is deleted with it, on a Unix socket there and, if asked for, on a free port of
//! loopback; it ends with whoever started it, however that ends. Run by root it runs as *nobody*: PostgreSQL refuses root.
//! The first cluster of a machine is made by `initdb` and kept beside the build; those after it are copies of it.
//! Nothing in it survives the machine (`fsync = off`), which no test takes away.
//!
//! Used by the tracker's own tests, too (`tracker/src/testing.rs`): it stands on the standard library, `tempfile` and `rustix`.

use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// After this long a server that is not ready never will be.
const PATIENCE: Duration = Duration::from_secs(60);

/// Debian's `nobody` and `nogroup`.
const NOBODY: u32 = 65534;

/// The superuser of every cluster; who it is makes no difference here.
const USER: &str = "p2p";

/// The folder with the server's programs.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let linked = std::env::split_paths(&path)
        .map(|folder| folder.join("initdb"))
        .find_map(|program| fs::canonicalize(program).ok());
    if let Some(program) = linked {
        return program.parent().map(Path::to_owned);
    }
    // Where Debian puts them, the newest version first.
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|folder| folder.join("initdb").exists())
        .collect();
    versions.sort();
    versions.pop()
}

fn program(name: &str) -> Command {
    let folder = programs().expect("PostgreSQL is not installed: tests/prepare.sh nextest");
    let mut command = Command::new(folder.join(name));
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.current_dir("/").env("LC_ALL", "C.UTF-8");
    command
}

fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

fn give(path: &Path) {
    if is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("only root comes here");
    }
}

fn done(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A server and its data.
#[derive(Debug)]
pub struct Cluster {
    folder: TempDir,
    port: Option<u16>,
    settings: Vec<String>,
    server: Option<Child>,
}

impl Cluster {
    /// A new server, empty, on a Unix socket only.
    pub fn start() -> Self {
        Self::start_with(None, &[])
    }

    /// A new server that listens on a port of loopback, too.
    pub fn start_on_port() -> Self {
        Self::start_with(Some(free_port()), &[])
    }

    /// A new server with these settings (`name=value`).
    pub fn start_with(port: Option<u16>, settings: &[&str]) -> Self {
        let mut cluster = Self::new(port, settings);
        copy(&template(), &cluster.data());
        cluster.launch();
        cluster
    }

    fn new(port: Option<u16>, settings: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("pg").tempdir().expect("a folder");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("our folder");
        give(folder.path());
        Self {
            folder,
            port,
            settings: settings.iter().map(|setting| (*setting).to_owned()).collect(),
            server: None,
        }
    }

    /// A standby that follows this server and may be promoted.
    pub fn standby(&self) -> Self {
        let mut standby = Self::new(Some(free_port()), &[]);
        let mut copy = program("pg_basebackup");
        copy.args(["-U", USER, "-c", "fast", "-X", "stream", "-R", "-D"])
            .arg(standby.data())
            .arg("-h")
            .arg(self.folder.path())
            .args(["-p", &self.port.unwrap_or(5432).to_string()]);
        done(&mut copy);
        standby.launch();
        standby
    }

    /// Makes it the primary.
    pub fn promote(&self) {
        done(
            program("pg_ctl")
                .arg("promote")
                .arg("-w")
                .arg("-D")
                .arg(self.data()),
        );
    }

    /// The folder of its data.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A folder that the server may read, for what a test gives it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The database as a tracker is told of it, over the Unix socket.
    pub fn url(&self) -> String {
        let socket = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgres://{USER}@{socket}/postgres")
    }

    /// Its port on loopback.
    pub fn port(&self) -> u16 {
        self.port.expect("a server that was started on a port")
    }

    /// The database as a tracker is told of it, on the ports of these servers.
    pub fn url_of(servers: &[&Self]) -> String {
        let hosts: Vec<String> = servers
            .iter()
            .map(|server| format!("127.0.0.1:{}", server.port()))
            .collect();
        format!("postgres://{USER}@{}/postgres", hosts.join(","))
    }

    /// Starts the server, and waits until it answers.
    pub fn launch(&mut self) {
        let mut command = program("postgres");
        command
            .arg("-D")
            .arg(self.data())
            .arg("-k")
            .arg(self.folder.path());
        let listen = if self.port.is_some() { "127.0.0.1" } else { "" };
        command.args(["-c", &format!("listen_addresses={listen}")]);
        command.args(["-p", &self.port.unwrap_or(5432).to_string()]);
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        end_with_us(&mut command);
        let mut server = command.spawn().expect("postgres starts");
        let said = server.stderr.take().expect("piped");
        let (ready, is_ready) = mpsc::channel();
        let mut log = Vec::new();
        std::thread::spawn(move || {
            let mut ready = Some(ready);
            // To its end: a full pipe would stop the server.
            for line in BufReader::new(said).lines().map_while(Result::ok) {
                if line.contains("ready to accept") {
                    // Whoever waited for it may have given up.
                    ready
                        .take()
                        .into_iter()
                        .for_each(|ready| drop(ready.send(Ok(()))));
                }
                log.push(line);
            }
            ready
                .take()
                .into_iter()
                .for_each(|ready| drop(ready.send(Err(log.join("\n")))));
        });
        match is_ready.recv_timeout(PATIENCE) {
            Ok(Ok(())) => self.server = Some(server),
            Ok(Err(log)) => panic!("PostgreSQL does not start:\n{log}"),
            Err(error) => panic!("PostgreSQL does not get ready: {error}"),
        }
    }

    /// Ends it without warning, and waits for that: what was not committed is lost.
    pub fn kill(&mut self) {
        self.end(Signal::QUIT);
    }

    /// Ends it in good order: everybody is disconnected first.
    pub fn stop(&mut self) {
        self.end(Signal::INT);
    }

    fn end(&mut self, signal: Signal) {
        if let Some(mut server) = self.server.take() {
            send(&server, signal);
            server.wait().expect("a child");
        }
    }

    /// Stops all of its processes where they are: it accepts connections, and says nothing.
    pub fn freeze(&self) {
        self.each_process(Signal::STOP);
    }

    /// Lets them go on.
    pub fn thaw(&self) {
        self.each_process(Signal::CONT);
    }

    fn each_process(&self, signal: Signal) {
        let server = self.server.as_ref().expect("a server that runs");
        // The parent first: what it does not start any more need not be found.
        send(server, signal);
        let path = format!("/proc/{0}/task/{0}/children", server.id());
        for pid in fs::read_to_string(path).expect("its children").split_whitespace() {
            let pid = pid.parse().ok().and_then(Pid::from_raw).expect("a process id");
            // One that ended meanwhile is as good as stopped.
            kill_process(pid, signal).ok();
        }
    }

    /// Runs SQL as the superuser; what it says, without decoration.
    pub fn sql(&self, sql: &str) -> String {
        let mut command = program("psql");
        command
            .args([
                "-X",
                "-A",
                "-t",
                "-q",
                "-v",
                "ON_ERROR_STOP=1",
                "-U",
                USER,
                "-d",
                "postgres",
            ])
            .args(["-p", &self.port.unwrap_or(5432).to_string()])
            .arg("-h")
            .arg(self.folder.path())
            .args(["-c", sql]);
        let output = command.output().expect("psql runs");
        assert!(
            output.status.success(),
            "{sql}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.server.is_some() {
            self.thaw();
        }
        self.end(Signal::QUIT);
    }
}

fn send(server: &Child, signal: Signal) {
    if let Some(pid) = Pid::from_raw(server.id().cast_signed()) {
        // An error means that it has ended already, which is what whoever sends a signal waits for.
        kill_process(pid, signal).ok();
    }
}

/// A test that is killed cannot end what it started: the system does it then, with the signal for ending at once.
fn end_with_us(command: &mut Command) {
    let ask = || {
        Ok(rustix::process::set_parent_process_death_signal(Some(
            Signal::QUIT,
        ))?)
    };
    // SAFETY: between fork and exec only a system call is made, which allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(ask);
    }
}

/// A port that nobody has just now. The server binds it a moment later; ports are handed out in turn, so that nobody else is
/// likely to be given it meanwhile.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}

/// An empty cluster that was never started, made once.
fn template() -> PathBuf {
    let folder = beside_the_build();
    let made = folder.join("made");
    let lock = File::create(folder.join("lock")).expect("a lock");
    lock.lock().expect("a lock");
    if !made.exists() {
        // Where nobody may go, nobody makes it elsewhere.
        let place = tempfile::tempdir().expect("a folder");
        give(place.path());
        let data = place.path().join("data");
        let mut init = program("initdb");
        init.args([
            "-U",
            USER,
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
            "--wal-segsize=1",
        ]);
        done(init.arg("-D").arg(&data));
        let settings = "fsync = off\nshared_buffers = 32MB\nmax_connections = 120\nmax_wal_size = 64MB\n\
                        unix_socket_permissions = 0777\n";
        let mut conf = fs::read_to_string(data.join("postgresql.conf")).expect("its settings");
        conf.push_str(settings);
        fs::write(data.join("postgresql.conf"), conf).expect("its settings");
        copy(&data, &made);
    }
    made
}

/// The build's folder, of which this executable is a part.
fn beside_the_build() -> PathBuf {
    let mut folder = std::env::current_exe().expect("the path of this executable");
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let folder = folder.join("test-postgres");
    fs::create_dir_all(&folder).expect("our folder");
    folder
}

/// Copies a folder with owners and modes; whole, or not there.
fn copy(from: &Path, to: &Path) {
    let beside = to.with_extension("copying");
    // Of somebody who was stopped in the middle of it.
    drop(fs::remove_dir_all(&beside));
    done(
        Command::new("cp")
            .args(["-a", "--reflink=auto"])
            .arg(from)
            .arg(&beside),
    );
    fs::rename(&beside, to).expect("our folder");
}
