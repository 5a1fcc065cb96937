//! The program: flags, exit codes, signals, and what a `kill -9` leaves behind.

use crate::support::{TestFile, TestPeer, answer, ok};
use p2p_shared::{
    crypto::identity::Identity,
    tracker_api::{ChallengeRequest, ChallengeResponse, FileRecord, RegisterResponse},
};
use reqwest::Client;
use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::TcpListener,
    path::Path,
    process::{Child, ChildStdout, Command, Output, Stdio},
    time::Instant,
};
use tempfile::TempDir;

fn command(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_p2p-tracker"));
    // Nothing of the environment that the tests run in.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("P2P_")) {
        command.env_remove(name);
    }
    command.env("P2P_DATA", data);
    command
}

fn fails(mut command: Command) -> (i32, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert!(stdout.is_empty(), "{}", String::from_utf8_lossy(&stdout));
    (status.code().unwrap(), stderr)
}

/// A tracker that runs as a program of its own.
struct Program {
    child: Child,
    stdout: BufReader<ChildStdout>,
    url: String,
}

impl Program {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let url = line
            .strip_prefix("tracker listening on ")
            .expect(&line)
            .trim()
            .to_owned();
        Self { child, stdout, url }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for the end. Returns exit code, the rest of stdout, and stderr.
    fn ends(mut self) -> (Option<i32>, String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        self.stdout.read_to_string(&mut out).unwrap();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut err)
            .unwrap();
        (self.child.wait().unwrap().code(), out, err)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Already ended, mostly.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn running(folder: &TempDir) -> Program {
    let mut command = command(folder.path());
    command.args(["--listen", "127.0.0.1:0"]);
    Program::start(command)
}

#[tokio::test]
async fn sigterm_and_ctrl_c_end_it_with_0() {
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        let folder = tempfile::tempdir().unwrap();
        let program = running(&folder);
        assert!(
            reqwest::get(format!("{}/healthz", program.url))
                .await
                .unwrap()
                .status()
                .is_success()
        );
        let begin = Instant::now();
        program.signal(signal);
        let (code, stdout, stderr) = program.ends();
        assert_eq!((code, stdout.as_str()), (Some(0), ""), "{stderr}");
        assert!(stderr.contains("tracker stopped"), "{stderr}");
        assert!(begin.elapsed().as_secs() < 15);
    }
}

#[test]
fn flags_variables_and_file_reach_it_wherever_they_stand() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tracker.toml");
    std::fs::write(&file, "listen = \"127.0.0.1:0\"\nlog-format = \"json\"\n").unwrap();
    let mut command = command(&folder.path().join("by variable"));
    command
        .arg("serve")
        .arg("--config")
        .arg(&file)
        .arg("--data")
        .arg(folder.path().join("by flag"));
    let program = Program::start(command);
    assert!(folder.path().join("by flag/tracker.db").exists());
    assert!(!folder.path().join("by variable").exists());
    program.signal(rustix::process::Signal::TERM);
    let (code, _, stderr) = program.ends();
    assert_eq!(code, Some(0));
    for line in stderr.lines() {
        assert!(line.starts_with('{') && line.ends_with('}'), "{line}");
    }
}

#[test]
fn a_wrong_configuration_ends_it_with_2_and_names_key_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tracker.toml");
    std::fs::write(&file, "lease = 5\nlisen = \"127.0.0.1:0\"\n").unwrap();
    let mut with_file = command(folder.path());
    with_file.arg("--config").arg(&file);
    let (code, stderr) = fails(with_file);
    assert_eq!(code, 2);
    assert!(
        stderr.contains("lisen") && stderr.contains("line 2") && stderr.contains("tracker.toml"),
        "{stderr}"
    );

    for (arguments, part) in [
        (["--listen", "nowhere"], "--listen"),
        (["--lease", "0"], "lease"),
        (["--nonsense", "1"], "--nonsense"),
        (["--log", "p2p_tracker=loud"], "loud"),
        (
            ["--config", "/nonexistent/tracker.toml"],
            "/nonexistent/tracker.toml",
        ),
        (["--database", "mysql://x"], "sqlite:PATH"),
    ] {
        let mut command = command(folder.path());
        command.args(arguments);
        let (code, stderr) = fails(command);
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains(part), "{stderr}");
    }
    let mut by_variable = command(folder.path());
    by_variable.env("P2P_LEASE", "long");
    let (code, stderr) = fails(by_variable);
    assert_eq!(code, 2);
    assert!(stderr.contains("long") && stderr.contains("--lease"), "{stderr}");
}

#[test]
fn a_port_that_is_taken_and_data_that_is_in_use_end_it_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut on_port = command(folder.path());
    on_port.args(["--listen", &address]);
    let (code, stderr) = fails(on_port);
    assert_eq!(code, 2);
    assert!(
        stderr.contains(&address) && stderr.contains("--listen"),
        "{stderr}"
    );

    let first = running(&folder);
    let mut second = command(folder.path());
    second.args(["--listen", "127.0.0.1:0"]);
    let (code, stderr) = fails(second);
    assert_eq!(code, 2);
    assert!(stderr.contains(&folder.path().display().to_string()), "{stderr}");
    drop(first);
}

#[test]
fn a_disk_that_cannot_be_used_ends_it_with_7() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a file");
    std::fs::write(&file, "not a folder").unwrap();
    let (code, stderr) = fails(command(&file.join("data")));
    assert_eq!(code, 7);
    assert!(stderr.contains("a file") && stderr.contains("--data"), "{stderr}");

    std::fs::write(
        folder.path().join("tracker.db"),
        "this is not a database, but long enough to be read as one",
    )
    .unwrap();
    let (code, stderr) = fails(command(folder.path()));
    assert_eq!(code, 7);
    assert!(
        stderr.contains("tracker.db") && stderr.contains("not a database"),
        "{stderr}"
    );
}

#[tokio::test]
async fn the_operators_key_is_printed_once_and_not_on_stdout() {
    let folder = tempfile::tempdir().unwrap();
    let start = || {
        let mut command = command(folder.path());
        command.args([
            "--listen",
            "127.0.0.1:0",
            "--public-url",
            "https://tracker.example.org",
        ]);
        Program::start(command)
    };
    let first = start();
    first.signal(rustix::process::Signal::TERM);
    let (_, stdout, stderr) = first.ends();
    let key = stderr
        .lines()
        .find_map(|line| line.trim().strip_prefix("p2pk_"))
        .expect(&stderr);
    assert!(!stdout.contains(key));
    assert_eq!(stderr.matches(key).count(), 1);
    assert!(stderr.contains("X-API-Key") && stderr.contains("P2P_API_KEY"));

    let second = start();
    second.signal(rustix::process::Signal::TERM);
    assert!(!second.ends().2.contains("p2pk_"));
}

async fn register(client: &Client, url: &str) -> TestPeer {
    let identity = Identity::generate().unwrap();
    let ask = ChallengeRequest {
        public_key: identity.public_key(),
    };
    let challenge: ChallengeResponse = ok(client.post(format!("{url}/api/peers/challenge")).json(&ask)).await;
    let request = answer(&identity, &challenge);
    let registered: RegisterResponse =
        ok(client.post(format!("{url}/api/peers/register")).json(&request)).await;
    TestPeer { identity, registered }
}

/// Announces files one after the other, and kills the tracker while one is on its way. Returns those that were
/// acknowledged.
async fn announce_and_kill(
    client: &Client,
    program: &Program,
    files: Vec<TestFile>,
    kill_after: usize,
) -> Vec<TestFile> {
    let peer = register(client, &program.url).await;
    let mut acknowledged = Vec::new();
    for (sent, file) in files.into_iter().enumerate() {
        let announce = client
            .post(format!("{}/api/files/announce", program.url))
            .json(&file.full());
        let answer = tokio::spawn(announce.bearer_auth(peer.token()).send());
        if sent == kill_after {
            program.signal(rustix::process::Signal::KILL);
        }
        match answer.await.unwrap() {
            Ok(answer) if answer.status().is_success() => acknowledged.push(file),
            refused => assert!(sent >= kill_after, "{refused:?}"),
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::new();
    let mut acknowledged = Vec::new();
    for (round, kill_after) in [1, 5, 12].into_iter().enumerate() {
        let program = running(&folder);
        let files = (0..15)
            .map(|at| TestFile::new((round * 15 + at) as u8, 1000 + at))
            .collect();
        acknowledged.extend(announce_and_kill(&client, &program, files, kill_after).await);
        assert_eq!(program.ends().0, None, "killed");
    }
    assert!(acknowledged.len() >= 18);
    let program = running(&folder);
    for file in &acknowledged {
        let record: FileRecord = ok(client.get(format!("{}{}", program.url, file.path("")))).await;
        assert_eq!(record.file.merkle_root, file.manifest.merkle_root);
        let chunks = client.get(format!("{}{}", program.url, file.path("/chunks?format=bytes")));
        assert_eq!(
            chunks.send().await.unwrap().bytes().await.unwrap(),
            file.digest_bytes()
        );
    }
}

#[test]
fn it_takes_as_many_connections_as_the_system_lets_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut limited = Command::new("sh");
    limited
        .args([
            "-c",
            "ulimit -Sn 64 && exec \"$@\"",
            "sh",
            env!("CARGO_BIN_EXE_p2p-tracker"),
        ])
        .args(["--listen", "127.0.0.1:0", "--data"])
        .arg(folder.path());
    let program = Program::start(limited);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", program.child.id())).unwrap();
    let files = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .unwrap();
    let mut files = files
        .split_whitespace()
        .map(|limit| limit.parse::<u64>().unwrap_or(u64::MAX));
    let (soft, hard) = (files.next().unwrap(), files.next().unwrap());
    assert_eq!(soft, hard.min(1 << 20));
    assert!(soft > 64);
}
