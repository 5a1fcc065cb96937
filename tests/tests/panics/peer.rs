//! A peer's tours: fetching, sharing, and what its owner and its peers do to it otherwise.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};

use p2p_shared::bitfield::Bitfield;
use p2p_shared::crypto::identity::Identity;
use p2p_shared::hash::HashAlgorithm;
use p2p_shared::ticket::{Seeder, Ticket};
use p2p_tests::content::Content;
use p2p_tests::fake_peer::{self, FakePeer};
use p2p_tests::fixtures;
use p2p_tests::lab::Lab;
use p2p_tests::process::Launch;
use p2p_tests::programs::{Peer, Sharing, Tracker, listening};
use p2p_tests::proxy::Proxy;
use p2p_tests::tree;

use crate::{TRIES, Tour, content, end_well, failing, insist};

pub(crate) const TOURS: [Tour; 4] = [
    Tour {
        role: "a fetching peer",
        go: fetch,
        is_detour: false,
    },
    Tour {
        role: "a sharing peer",
        go: share,
        is_detour: false,
    },
    Tour {
        role: "a peer that is interfered with",
        go: interfere,
        is_detour: true,
    },
    Tour {
        role: "a peer that changes its path",
        go: change_path,
        is_detour: true,
    },
];

/// A door that a fake waits at.
#[derive(Default)]
struct Door {
    open: Mutex<bool>,
    changed: Condvar,
}

impl Door {
    fn pass(&self) {
        let mut open = self.open.lock().unwrap();
        while !*open {
            open = self.changed.wait(open).unwrap();
        }
    }

    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.changed.notify_all();
    }
}

/// A daemon that fetches, with another session that must not notice.
fn fetch(name: &str) -> String {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let peer = Peer::new(&lab, "peer").tracker(&tracker);
    let daemon = peer.start_daemon_with(|launch| failing(launch, name));
    let output = lab.folder("output");

    // The bystander's download is under way all the time: its second half waits for the door.
    let door = Arc::new(Door::default());
    let other = content(&lab, "other.bin", 4 << 20);
    let bystander = FakePeer::with_all(1, &other, behind(&door, 8));
    let other_ticket = other.ticket(vec![bystander.seeder()]);
    let background = peer.get(&other_ticket, &output).start();

    let wanted = content(&lab, "wanted.bin", 6 << 20);
    let source = FakePeer::honest(2, &wanted);
    let ticket = wanted.ticket(vec![source.seeder(), nobody()]);
    insist(|| peer.get(&ticket, &output));
    tree::assert_same(&lab.at("wanted.bin"), &output.join("wanted.bin"));
    ask_everything(&peer, &lab, &wanted.manifest.hash.to_string());

    // Nothing in the folder is selected: what was fetched for its index goes.
    let folder = lab.folder("folder");
    fixtures::write_file(&folder.join("file"), 3, 1000);
    let folder = Arc::new(Content::of_folder(&folder, HashAlgorithm::Sha256));
    let shares_folder = FakePeer::honest(3, &folder);
    let nothing = folder.ticket(vec![shares_folder.seeder()]);
    let not_found = || {
        let ended = peer.get(&nothing, &output).args(["--include", "*.iso"]).run();
        ended.code == Some(3)
    };
    assert!((0..TRIES).any(|_| not_found()), "{name}: get --include");

    door.open();
    drop(background);
    insist(|| peer.get(&other_ticket, &output));
    tree::assert_same(&lab.at("other.bin"), &output.join("other.bin"));

    assert_kept(name, &[&bystander, &source]);
    end_well(daemon)
}

/// No session had to be made anew, but for one that crashed itself.
#[track_caller]
fn assert_kept(name: &str, peers: &[&FakePeer]) {
    let told: Vec<_> = peers.iter().map(|peer| peer.told()).collect();
    let broken: usize = told.iter().map(|told| told.sessions.saturating_sub(1)).sum();
    let allowed = usize::from(name.starts_with("PeerSession::"));
    assert!(
        broken <= allowed,
        "{name}: {broken} sessions had to be made anew: {told:?}"
    );
}

/// A seeder that is not there.
fn nobody() -> Seeder {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
    Seeder {
        key: Identity::from_secret([99; 32]).public_key(),
        addresses: vec![listener.local_addr().expect("its address")],
    }
}

/// A daemon that shares, asked by two others.
fn share(name: &str) -> String {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let peer = Peer::new(&lab, "peer").tracker(&tracker);
    let daemon = peer.start_daemon_with(|launch| failing(launch, name));
    let source = lab.at("shared.bin");
    fixtures::write_file(&source, 5, 6 << 20);
    let said = insist(|| peer.share(&source));
    let ticket = said
        .events()
        .into_iter()
        .find(|event| event["event"] == "ticket")
        .expect("a ticket");
    let ticket: Ticket = ticket["ticket"].as_str().unwrap().parse().unwrap();

    let hash = ticket.manifest.hash.to_string();
    let fetchers = ["one", "two"].map(|name| Peer::new(&lab, name).tracker(&tracker));
    let output = |fetcher: &Peer| {
        lab.folder(&format!(
            "output of {}",
            fetcher.folder().file_name().unwrap().display()
        ))
    };
    let running = fetchers
        .each_ref()
        .map(|fetcher| fetcher.get(&ticket.to_string(), &output(fetcher)).start());
    for (fetcher, running) in fetchers.iter().zip(running) {
        let _ended = running.end().expect_code(0);
        tree::assert_same(&source, &output(fetcher).join("shared.bin"));
    }
    ask_everything(&peer, &lab, &hash);
    end_well(daemon)
}

/// Every other command, and the tracker gone and back.
fn ask_everything(peer: &Peer, lab: &Lab, hash: &str) {
    insist(|| peer.command("list"));
    insist(|| peer.command("status"));
    insist(|| peer.command("verify").arg(hash));
    let small = lab.at("small.bin");
    if !small.exists() {
        fixtures::write_file(&small, 6, 300_000);
    }
    insist(|| peer.share(&small));
    remove(peer, &fixtures::sha256(&small));
}

/// Removes it; the try whose answer was lost may have done so already.
fn remove(peer: &Peer, hash: &str) {
    let remove = || peer.command("remove").arg(hash).run().code;
    if remove() != Some(0) {
        let again = remove();
        assert!(matches!(again, Some(0 | 3)), "{again:?}");
    }
    assert_eq!(state(peer, hash), None, "it is still listed");
}

/// What `list` says of it.
fn state(peer: &Peer, hash: &str) -> Option<String> {
    let listed = insist(|| peer.command("list")).events();
    let share = listed.into_iter().find(|share| share["hash"] == hash)?;
    Some(share["state"].as_str().expect("a state").to_owned())
}

/// A daemon whose owner pauses, restarts and removes; with peers to be introduced to each other, and one that lies.
fn interfere(name: &str) -> String {
    let lab = Lab::new();
    let peer = Peer::new(&lab, "peer");
    let start = || peer.start_daemon_with(|launch| failing(launch, name));
    let stalled = Stalled::new(&lab);
    let daemon = start();
    stalled.begin_and_pause(name, &peer);
    let before = end_well(daemon);
    let daemon = start();
    stalled.go_on(&peer);
    give_up(&lab, &peer);
    meet_a_liar(&lab, &peer);
    before + &end_well(daemon)
}

/// A download that does not come to its end before it is let.
struct Stalled {
    source: PathBuf,
    output: PathBuf,
    hash: String,
    ticket: String,
    door: Arc<Door>,
    /// Has everything and sends the first half; the second waits for the door.
    slow: FakePeer,
    /// Takes part and has nothing.
    empty: FakePeer,
}

impl Stalled {
    fn new(lab: &Lab) -> Self {
        let content = content(lab, "stalled.bin", 4 << 20);
        let door = Arc::new(Door::default());
        let slow = FakePeer::with_all(1, &content, behind(&door, 8));
        let nothing = Bitfield::new(content.layout().chunks());
        let empty = FakePeer::start(2, &content, nothing, |_| fake_peer::Answer::Stall);
        Self {
            hash: content.manifest.hash.to_string(),
            ticket: content.ticket(vec![slow.seeder(), empty.seeder()]),
            source: lab.at("stalled.bin"),
            output: lab.folder("output"),
            door,
            slow,
            empty,
        }
    }

    fn begin_and_pause(&self, name: &str, peer: &Peer) {
        let waiting = peer.get(&self.ticket, &self.output).start();
        self.slow.wait("ask for what is behind the door", |told| {
            told.requests.iter().any(|chunk| chunk.0 >= 8)
        });
        self.empty
            .wait("name the other peer", |told| told.introductions > 0);
        insist(|| peer.command("pause").arg(&self.hash));
        assert_eq!(state(peer, &self.hash).as_deref(), Some("paused"));
        drop(waiting);
        assert_kept(name, &[&self.slow, &self.empty]);
    }

    /// After a restart.
    fn go_on(&self, peer: &Peer) {
        assert_eq!(state(peer, &self.hash).as_deref(), Some("paused"));
        self.door.open();
        insist(|| peer.command("resume").arg(&self.hash));
        insist(|| peer.get(&self.ticket, &self.output));
        tree::assert_same(&self.source, &self.output.join("stalled.bin"));
    }
}

/// Sends what comes before `first`, and the rest when the door is open.
fn behind(
    door: &Arc<Door>,
    first: u32,
) -> impl Fn(&mut fake_peer::Asked<'_>) -> fake_peer::Answer + Send + Sync + use<> {
    let door = Arc::clone(door);
    move |asked| {
        if asked.chunk.0 >= first {
            door.pass();
        }
        fake_peer::Answer::Send
    }
}

/// Removes what is being fetched.
fn give_up(lab: &Lab, peer: &Peer) {
    let unwanted = content(lab, "unwanted.bin", 1 << 20);
    let door = Arc::new(Door::default());
    let source = FakePeer::with_all(3, &unwanted, behind(&door, 0));
    let running = peer
        .get(&unwanted.ticket(vec![source.seeder()]), &lab.folder("output"))
        .start();
    source.wait("ask for something", |told| !told.requests.is_empty());
    remove(peer, &unwanted.manifest.hash.to_string());
    drop(running);
}

/// Fetches from a liar and an honest peer. The honest one sends nothing before the liar was asked.
fn meet_a_liar(lab: &Lab, peer: &Peer) {
    let wanted = content(lab, "lied about.bin", 12 << 20);
    let liar = FakePeer::with_all(4, &wanted, |asked| {
        asked.bytes[0] ^= 1;
        fake_peer::Answer::Send
    });
    let watched = liar.watch();
    let honest = FakePeer::with_all(5, &wanted, move |_| {
        watched.wait("ask the liar", |told| !told.requests.is_empty());
        fake_peer::Answer::Send
    });
    let ticket = wanted.ticket(vec![liar.seeder(), honest.seeder()]);
    let output = lab.folder("output");
    insist(|| peer.get(&ticket, &output));
    tree::assert_same(&lab.at("lied about.bin"), &output.join("lied about.bin"));
    liar.wait("send the liar away", |told| told.ended == told.sessions);
}

/// A daemon that fetches through the relay, until its source can be connected to.
fn change_path(name: &str) -> String {
    let lab = Lab::new();
    let slow = |launch: Launch| launch.arg("--relay-rate").arg("1048576");
    let tracker = Tracker::start_with(&lab, slow);
    let source = lab.at("moved.bin");
    fixtures::write_file(&source, 8, 16 << 20);
    let gate = Proxy::to(nowhere());
    let sharer = Peer::new(&lab, "sharer").tracker(&tracker);
    let announce = gate.address().to_string();
    let program = sharer.share(&source).arg("--announce").arg(announce).start();
    let (listens, _) = program.wait_err(0, "where it listens", listening);
    let sharing = Sharing::wait(program);

    let peer = Peer::new(&lab, "peer").tracker(&tracker);
    let announce = nowhere().to_string();
    let daemon = peer.start_daemon_with(|launch| failing(launch, name).arg("--announce").arg(announce));
    let output = lab.folder("output");
    let get = peer.get(&sharing.ticket, &output).start();
    let relayed = |line: &str| line.contains("\"path\":\"relayed\"").then_some(());
    get.wait_out(0, "the relayed path", relayed);
    gate.retarget(listens);
    drop(get);
    insist(|| peer.get(&sharing.ticket, &output));
    tree::assert_same(&source, &output.join("moved.bin"));
    // What the relay carried ends when nothing is outstanding on it any more.
    daemon.wait_err(0, "the end of the session that was replaced", |line| {
        is_replaced(line).then_some(())
    });
    end_well(daemon)
}

/// The end of a session for another one; whichever side finds first that nothing is outstanding.
fn is_replaced(line: &str) -> bool {
    let ends = [
        "another session with this peer is kept",
        "other side: Duplicate",
        // It was the one that is to crash.
        "failpoint PeerSession::RetireSession panic",
    ];
    ends.iter().any(|end| line.contains(end))
}

/// Where nobody listens: free a moment ago, and held by nobody.
fn nowhere() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
    listener.local_addr().expect("its address")
}
