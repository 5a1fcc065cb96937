//! What a tracker acknowledged is there after any number of kills, once: a ledger is kept of every announcement that was answered, and
//! compared with the catalogue.
//!
//! `P2P_TEST_KILLS` says how many kills (100 at full size).

use crate::{
    cluster::Cluster,
    setting,
    support::{PATIENCE, TestFile, answer, ok},
};
use futures_util::future::join_all;
use p2p_shared::{
    crypto::identity::Identity,
    id::FileHash,
    tracker_api::{ChallengeRequest, ChallengeResponse, FilesPage, RegisterResponse},
};
use reqwest::Client;
use std::{
    collections::HashSet,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Kills of a usual run.
const KILLS: u64 = 3;

/// Callers at once. Each waits for its answer, so a group of the writer holds as many.
const CALLERS: usize = 24;

/// Writes answered between two kills: at 500 a second, about half a second's.
const A_ROUND: usize = 250;

/// A tracker as a program, to be killed.
struct Program {
    child: Child,
    url: String,
}

impl Program {
    fn start(folder: &Path, database: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_p2p-tracker"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("P2P_")) {
            command.env_remove(name);
        }
        command
            .args([
                "--listen",
                "127.0.0.1:0",
                "--replica",
                "ledger",
                "--database",
                database,
            ])
            .env("P2P_DATA", folder)
            .env("P2P_LOG", "error");
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let url = line
            .strip_prefix("tracker listening on ")
            .expect("a tracker that starts");
        Self {
            url: url.trim().to_owned(),
            child,
        }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    async fn register(&self, client: &Client) -> RegisterResponse {
        let identity = Identity::generate().unwrap();
        let ask = ChallengeRequest {
            public_key: identity.public_key(),
        };
        let challenge = client
            .post(format!("{}/api/peers/challenge", self.url))
            .json(&ask);
        let challenge: ChallengeResponse = ok(challenge).await;
        let register = answer(&identity, &challenge);
        ok(client
            .post(format!("{}/api/peers/register", self.url))
            .json(&register))
        .await
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Killed already, when all is well.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The file of a number: no two have one content.
fn file(number: u64) -> TestFile {
    TestFile::new((number % 251) as u8, 100 + (number / 251) as usize)
}

/// Announces one file after the other until the tracker is gone, each once more than it has to be.
async fn announce_on(url: String, token: String, numbers: Arc<AtomicU64>, ledger: Arc<Mutex<Vec<FileHash>>>) {
    let client = Client::new();
    loop {
        let file = file(numbers.fetch_add(1, Ordering::Relaxed));
        for _ in 0..2 {
            let request = client
                .post(format!("{url}/api/files/announce"))
                .json(&file.full());
            match request.bearer_auth(&token).send().await {
                Ok(answer) => assert!(answer.status().is_success(), "{}", answer.status()),
                // Killed: nobody knows what became of this one.
                Err(_) => return,
            }
        }
        ledger.lock().unwrap().push(file.hash());
    }
}

/// Every hash of the catalogue, as often as it is listed.
async fn catalogue(url: &str) -> Vec<FileHash> {
    let client = Client::new();
    let mut hashes = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut list = format!("{url}/api/files?limit=500");
        if let Some(cursor) = &cursor {
            list = format!("{list}&cursor={cursor}");
        }
        let page: FilesPage = ok(client.get(list)).await;
        hashes.extend(page.files.iter().map(|file| file.file.hash));
        match page.next {
            Some(next) => cursor = Some(next),
            None => return hashes,
        }
    }
}

async fn kill_again_and_again(database: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (numbers, ledger) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Vec::new())));
    let client = Client::new();
    let (mut busy, kills) = (Duration::ZERO, setting("P2P_TEST_KILLS", KILLS));
    for kill in 0..kills {
        let mut program = Program::start(folder.path(), database);
        let token = program.register(&client).await.token;
        let before = ledger.lock().unwrap().len();
        let begin = Instant::now();
        let callers = (0..CALLERS).map(|_| {
            let announcing = announce_on(
                program.url.clone(),
                token.clone(),
                Arc::clone(&numbers),
                Arc::clone(&ledger),
            );
            tokio::spawn(announcing)
        });
        let callers: Vec<_> = callers.collect();
        while ledger.lock().unwrap().len() < before + A_ROUND {
            assert!(
                // A disk that many use at once makes SQLite wait for seconds.
                begin.elapsed() < 6 * PATIENCE,
                "only {} writes",
                ledger.lock().unwrap().len() - before
            );
            // Not to wait for a time to pass: to look at the ledger now and then.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        busy += begin.elapsed();
        program.kill();
        for caller in join_all(callers).await {
            caller.unwrap();
        }
        println!("kill {}: {} acknowledged", kill + 1, ledger.lock().unwrap().len());
    }
    let program = Program::start(folder.path(), database);
    let listed = catalogue(&program.url).await;
    let there: HashSet<FileHash> = listed.iter().copied().collect();
    let ledger = ledger.lock().unwrap();
    let lost = ledger.iter().filter(|hash| !there.contains(*hash)).count();
    let rate = ledger.len() as f64 / busy.as_secs_f64();
    println!(
        "{} acknowledged at {rate:.0} files a second over {kills} kills, {lost} lost",
        ledger.len()
    );
    assert_eq!(lost, 0, "acknowledged and lost");
    assert_eq!(listed.len(), there.len(), "listed twice");
    assert!(ledger.len() as u64 >= kills * A_ROUND as u64);
}

#[tokio::test]
async fn what_was_acknowledged_is_in_sqlite_once_after_every_kill() {
    kill_again_and_again("sqlite:tracker.db").await;
}

#[tokio::test]
async fn what_was_acknowledged_is_in_postgresql_once_after_every_kill() {
    let cluster = Cluster::start();
    kill_again_and_again(&cluster.url()).await;
    assert_eq!(
        cluster.sql("SELECT count(*) - count(DISTINCT hash) FROM files"),
        "0"
    );
    // Each has its chunk hashes: a record is whole or not there.
    assert_eq!(
        cluster.sql("SELECT count(*) FROM files WHERE NOT EXISTS (SELECT FROM chunks WHERE file = files.id)"),
        "0"
    );
}
