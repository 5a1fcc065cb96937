//! What the relay gets to see of a transfer that goes through it: both WebSockets, whole, unmasked.
//!
//! The catalogue of the tracker is another channel, and knows the names of public files; it shows here that a name would be found.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;

use bytes::Bytes;
use p2p_shared::protocol::relay::TunnelId;
use p2p_shared::protocol::relay_codec::{IncomingFrame, MAX_FRAME, data_header, decode_frame};
use p2p_shared::websocket::{Opcode, Reader};
use p2p_tests::fixtures;
use p2p_tests::lab::Lab;
use p2p_tests::programs::{Peer, Sharing, Tracker};
use p2p_tests::proxy::Proxy;
use p2p_tests::relay_client::masked;
use p2p_tests::tap::{Kept, Tap};
use p2p_tests::tree;

/// Bytes of a piece that is looked for: none of these comes by chance.
const PIECE: usize = 16;

/// What must not be found: words, and pieces of contents at all multiples of [`PIECE`].
struct Secrets {
    words: Vec<String>,
    pieces: HashSet<Vec<u8>>,
}

impl Secrets {
    fn of(words: &[&str], contents: &[&[u8]]) -> Self {
        let pieces = contents.iter().flat_map(|content| content.chunks_exact(PIECE));
        Self {
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            pieces: pieces.map(<[u8]>::to_vec).collect(),
        }
    }

    /// The first of them in these bytes.
    fn in_bytes(&self, bytes: &[u8]) -> Option<String> {
        let has = |word: &&String| bytes.windows(word.len()).any(|window| window == word.as_bytes());
        let word = self.words.iter().find(has).cloned();
        word.or_else(|| {
            let mut windows = bytes.windows(PIECE);
            let piece = windows.find(|window| self.pieces.contains(*window))?;
            Some(format!("a piece of the content: {piece:02x?}"))
        })
    }

    /// The same, in a WebSocket as the relay reads and writes it: in every message, and in what the tunnels' bytes come to.
    fn in_websocket(&self, kept: &Kept) -> Option<String> {
        let ways = [Reader::of_client(MAX_FRAME), Reader::of_server(MAX_FRAME)];
        let seen = [&kept.there, &kept.back]
            .into_iter()
            .zip(ways)
            .map(|(way, reader)| Unmasked::read(way, reader));
        seen.into_iter().find_map(|seen| {
            let all = [seen.head, seen.messages]
                .into_iter()
                .chain(seen.tunnels.into_values());
            all.into_iter().find_map(|bytes| self.in_bytes(&bytes))
        })
    }
}

/// One way of a WebSocket.
#[derive(Default)]
struct Unmasked {
    /// Of HTTP.
    head: Vec<u8>,
    /// The messages, one behind the other.
    messages: Vec<u8>,
    /// What they carried, by tunnel.
    tunnels: HashMap<TunnelId, Vec<u8>>,
}

impl Unmasked {
    fn read(way: &[u8], mut reader: Reader) -> Self {
        let end = way.windows(4).position(|window| window == b"\r\n\r\n");
        let (head, rest) = way.split_at(end.expect("the head of a WebSocket") + 4);
        let mut seen = Self {
            head: head.to_vec(),
            ..Self::default()
        };
        let mut rest = Bytes::copy_from_slice(rest);
        while let Some(message) = reader.read(&mut rest).expect("messages") {
            seen.messages.extend(message.payload());
            if message.opcode == Opcode::Binary
                && let IncomingFrame::Data { tunnel, bytes } =
                    decode_frame(message.payload()).expect("a frame")
            {
                seen.tunnels.entry(tunnel).or_default().extend(bytes);
            }
        }
        seen
    }
}

/// Text such as people share: it compresses to next to nothing.
fn write_text(path: &Path) {
    let lines =
        (0..8_000).map(|n| format!("{n:08} what was said in the meeting that nobody was to hear of\n"));
    std::fs::write(path, lines.collect::<String>()).expect("a text");
}

/// A tracker, and somebody between it and everybody else, its relay included.
struct Scene {
    lab: Lab,
    tap: Tap,
    _tracker: Tracker,
}

impl Scene {
    fn new() -> Self {
        let lab = Lab::new();
        // The tracker has to be told where it is found before it is there to be found.
        let nowhere: SocketAddr = "127.0.0.1:9".parse().expect("an address");
        let behind = Proxy::to(nowhere);
        let tap = Tap::to(behind.address());
        let url = format!("http://{}", tap.address());
        let tracker = Tracker::start_with(&lab, |launch| launch.args(["--public-url", &url]));
        behind.retarget(tracker.address());
        Self {
            lab,
            tap,
            _tracker: tracker,
        }
    }

    fn peer(&self, name: &str) -> Peer {
        Peer::new(&self.lab, name).tracker_at(&format!("http://{}", self.tap.address()))
    }

    /// Sends it from one peer to another, through the relay alone.
    fn send(&self, source: &Path) {
        let only = ["--policy", "relay-only"];
        let sharing = Sharing::wait(self.peer("sharer").share(source).args(only).start());
        let output = self.lab.folder("output");
        let get = self.peer("fetcher").get(&sharing.ticket, &output).args(only);
        let ended = get.run().expect_code(0);
        tree::assert_same(source, &output.join(source.file_name().expect("a name")));
        let events = ended.events();
        let done = events
            .iter()
            .find(|event| event["event"] == "done")
            .expect("the end");
        assert_eq!(done["bytes_by_path"]["relayed"], sharing.size, "{done}");
    }

    /// What passed: the WebSockets to the relay, and everything else.
    fn seen(&self) -> (Vec<Kept>, Vec<Kept>) {
        let seen = self.tap.kept().into_iter();
        seen.partition(|kept| kept.there.starts_with(b"GET /relay "))
    }
}

/// `content` as it would pass if nobody sealed it.
fn in_the_clear(content: &[u8]) -> Kept {
    let mut kept = Kept {
        there: b"GET /relay HTTP/1.1\r\n\r\n".to_vec(),
        back: b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec(),
    };
    // Of a length that no piece has.
    for bytes in content.chunks(65_521) {
        let payload = [&data_header(TunnelId(0))[..], bytes].concat();
        kept.there.extend(masked(Opcode::Binary, &payload));
    }
    kept
}

#[test]
fn the_relay_sees_neither_contents_nor_names() {
    let scene = Scene::new();
    let folder = scene.lab.folder("a-telling-folder");
    write_text(&folder.join("a-telling-text.txt"));
    fixtures::write_file(&folder.join("a-telling-film.bin"), 5, (1 << 20) + 77);
    scene.send(&folder);

    let text = std::fs::read(folder.join("a-telling-text.txt")).expect("the text");
    let film = std::fs::read(folder.join("a-telling-film.bin")).expect("the film");
    let secrets = Secrets::of(&["a-telling-", "nobody was to hear"], &[&text, &film]);
    let (relayed, other) = scene.seen();
    let carried: usize = relayed
        .iter()
        .map(|kept| kept.there.len().max(kept.back.len()))
        .sum();
    assert!(relayed.len() >= 2, "one WebSocket of each peer");
    assert!(
        carried > 2 * (text.len() + film.len()),
        "the transfer passed here, in and out: {carried} bytes"
    );
    for kept in &relayed {
        assert_eq!(secrets.in_websocket(kept), None);
    }

    // The same search finds what is there to be found: the name in the catalogue, and either content if it were not sealed.
    let in_catalogue = |kept: &Kept| secrets.in_bytes(&kept.there);
    assert_eq!(other.iter().find_map(in_catalogue).as_deref(), Some("a-telling-"));
    for content in [&text, &film] {
        let found = secrets.in_websocket(&in_the_clear(&content[1000..]));
        assert!(found.is_some(), "nothing found in the clear");
        assert_eq!(
            secrets.in_bytes(&in_the_clear(content).there),
            None,
            "what is masked is not found as it lies there"
        );
    }
}
