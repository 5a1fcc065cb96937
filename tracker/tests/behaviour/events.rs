//! What goes on, as somebody hears it who watches.

use crate::support::{PATIENCE, TestFile, TestTracker, problem};
use bytes::Bytes;
use p2p_shared::{
    tracker_api::Have,
    websocket::{self, Opcode, Reader},
};
use p2p_tracker::Ending;
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

const MASK: [u8; 4] = [7, 0, 255, 3];

/// Longest message that a test reads.
const LONGEST: usize = 64 * 1024;

/// One who watches.
struct Watcher {
    stream: TcpStream,
    reader: Reader,
    piece: Bytes,
}

/// What comes next.
#[derive(Debug, PartialEq)]
enum Heard {
    Message(Value),
    /// With its code, if it has one.
    End(Option<u16>),
}

impl Watcher {
    /// Asks for the WebSocket; the status, if it is refused.
    async fn ask(address: SocketAddr, path: &str, headers: &[String]) -> Result<Self, u16> {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        );
        headers
            .iter()
            .for_each(|header| request += &format!("{header}\r\n"));
        request += "\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        match head.split(' ').nth(1).unwrap().parse().unwrap() {
            101 => Ok(Self {
                stream,
                reader: Reader::of_server(LONGEST),
                piece: Bytes::new(),
            }),
            status => Err(status),
        }
    }

    /// Begins to watch, and hears the snapshot.
    async fn start(tracker: &TestTracker, query: &str) -> (Self, Value) {
        let path = format!("/ws{query}");
        let mut watcher = Self::ask(tracker.handle.address(), &path, &[]).await.unwrap();
        let snapshot = watcher.message().await;
        assert_eq!(snapshot["type"], "snapshot");
        (watcher, snapshot)
    }

    async fn send(&mut self, opcode: Opcode, payload: &[u8]) {
        let mut frame = Vec::new();
        websocket::write_head(opcode, payload.len(), Some(MASK), &mut frame);
        let mut masked = payload.to_vec();
        websocket::apply_mask(MASK, &mut masked);
        frame.extend(masked);
        self.stream.write_all(&frame).await.unwrap();
    }

    /// What comes next, pings answered.
    async fn next(&mut self) -> Heard {
        loop {
            if let Some(message) = self.reader.read(&mut self.piece).unwrap() {
                match message.opcode {
                    Opcode::Text => {
                        return Heard::Message(serde_json::from_slice(message.payload()).unwrap());
                    }
                    Opcode::Ping => self.send(Opcode::Pong, message.payload()).await,
                    Opcode::Close => return Heard::End(websocket::close_code(message.payload())),
                    other => panic!("{other:?}"),
                }
                continue;
            }
            let mut buffer = vec![0; 4096];
            let read = timeout(PATIENCE, self.stream.read(&mut buffer))
                .await
                .expect("something");
            match read {
                Ok(0) | Err(_) => return Heard::End(None),
                Ok(length) => self.piece = Bytes::copy_from_slice(&buffer[..length]),
            }
        }
    }

    async fn message(&mut self) -> Value {
        match self.next().await {
            Heard::Message(message) => message,
            end => panic!("{end:?}"),
        }
    }

    /// The next message of this type; what comes before it is passed over.
    async fn wait(&mut self, kind: &str) -> Value {
        loop {
            let message = self.message().await;
            if message["type"] == kind {
                return message;
            }
        }
    }
}

#[tokio::test]
async fn who_watches_hears_how_things_are_and_then_what_changes() {
    let tracker = TestTracker::start();
    let anna = tracker.peer().await;
    let (mut watcher, snapshot) = Watcher::start(&tracker, "").await;
    assert_eq!(
        (&snapshot["peers_online"], &snapshot["files"]),
        (&json!(1), &json!(0))
    );
    let bert = tracker.peer().await;
    let file = TestFile::new(1, 600_000);
    tracker.announce(&bert, &file.full()).await;
    let leave = tracker.delete(&format!("/api/peers/{}", anna.id()));
    leave.bearer_auth(anna.token()).send().await.unwrap();

    let online = watcher.wait("peer_online").await;
    assert_eq!(online["peer_id"], bert.id());
    let announced = watcher.wait("file_announced").await;
    assert_eq!(
        (&announced["hash"], &announced["size"]),
        (&json!(file.hash()), &json!(600_000))
    );
    let offline = watcher.wait("peer_offline").await;
    assert_eq!(offline["peer_id"], anna.id());
    let swarm = watcher.wait("swarm").await;
    assert_eq!(
        (&swarm["hash"], &swarm["seeders"], &swarm["leechers"]),
        (&json!(file.hash()), &json!(1), &json!(0))
    );
    let numbers =
        [&snapshot, &online, &announced, &offline, &swarm].map(|message| message["seq"].as_u64().unwrap());
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    let rates = watcher.wait("rates").await;
    assert!(rates["requests"].as_f64().unwrap() > 0.0, "{rates}");

    tracker
        .delete(&file.path(""))
        .send()
        .await
        .unwrap()
        .error_for_status()
        .unwrap();
    assert_eq!(watcher.wait("file_removed").await["hash"], json!(file.hash()));
}

#[tokio::test]
async fn who_watches_hears_of_what_it_chose_only() {
    let tracker = TestTracker::start();
    let (one, other) = (TestFile::new(1, 1000), TestFile::new(2, 1000));
    let (mut files, _) = Watcher::start(&tracker, &format!("?topics=files&file={}", other.hash())).await;
    let (mut changing, _) = Watcher::start(&tracker, "?topics=relay").await;
    changing.send(Opcode::Text, b"{\"topics\": [\"peers\"]}").await;
    assert_eq!(changing.message().await["type"], "subscribed");
    let peer = tracker.peer().await;
    for file in [&one, &other] {
        tracker.announce(&peer, &file.full()).await;
        tracker.announce(&peer, &file.have(Have::Partial)).await;
    }
    let heard = files.message().await;
    assert_eq!(
        (&heard["type"], &heard["hash"]),
        (&json!("file_announced"), &json!(other.hash()))
    );
    assert_eq!(changing.message().await["peer_id"], peer.id());
}

#[tokio::test]
async fn what_cannot_be_watched_is_refused() {
    let tracker = TestTracker::start();
    let at = tracker.handle.address();
    let ask = async |path: &str, origin: Option<&str>| {
        let headers: Vec<_> = origin
            .map(|origin| format!("Origin: {origin}"))
            .into_iter()
            .collect();
        Watcher::ask(at, path, &headers).await.err()
    };
    for path in ["/ws?topics=gossip", "/ws?file=zz", "/ws?colour=1"] {
        assert_eq!(ask(path, None).await, Some(400), "{path}");
    }
    for origin in ["https://evil.example", "null", "http://localhost", ""] {
        assert_eq!(ask("/ws", Some(origin)).await, Some(403), "{origin}");
    }
    assert_eq!(ask("/ws", Some(&format!("http://{at}"))).await, None);
    problem(tracker.get("/ws"), 426, "upgrade-required").await;
}

#[tokio::test]
async fn a_client_that_breaks_the_protocol_is_told_so_and_left() {
    let tracker = TestTracker::start();
    let (mut watcher, _) = Watcher::start(&tracker, "?topics=replicas").await;
    watcher.send(Opcode::Text, b"no subscription").await;
    assert_eq!(watcher.next().await, Heard::End(Some(1008)));

    // A message of 4 GiB is refused for its head, before any of it is kept.
    let (mut watcher, _) = Watcher::start(&tracker, "?topics=replicas").await;
    let mut head = Vec::new();
    websocket::write_head(Opcode::Text, 1 << 32, Some(MASK), &mut head);
    watcher.stream.write_all(&head).await.unwrap();
    assert_eq!(watcher.next().await, Heard::End(Some(1002)));
}

#[tokio::test]
async fn a_tracker_that_stops_says_goodbye_and_waits_for_nobody() {
    let tracker = TestTracker::start();
    let (mut watcher, _) = Watcher::start(&tracker, "?topics=replicas").await;
    let stopped = tokio::spawn(tracker.handle.shutdown());
    assert_eq!(watcher.next().await, Heard::End(Some(1001)));
    let ending = timeout(Duration::from_secs(9), stopped)
        .await
        .expect("before its drain is over");
    assert_eq!(ending.unwrap(), Ending::Stopped);
}
