//! Two sessions that talk to each other without a socket, and one that a peer lies to.

use super::{super::close::Violation, *};
use p2p_shared::{
    bitfield::Bitfield, chunker::CHUNK_SIZE, id::MerkleRoot, merkle::MerkleProof, protocol::RejectReason,
};

#[path = "have_tests.rs"]
mod haves;
#[path = "race_tests.rs"]
mod races;
#[path = "request_tests.rs"]
mod requests;

const FILE: FileHash = FileHash([1; 32]);
const CHUNKS: u32 = 20;

fn layout() -> Layout {
    Layout::new(u64::from(CHUNKS) * u64::from(CHUNK_SIZE) - 5).unwrap()
}

fn wanted(file: FileHash) -> Wanted {
    Wanted {
        file,
        layout: layout(),
        root: MerkleRoot([0; 32]),
    }
}

fn at(index: u32) -> ChunkIndex {
    ChunkIndex(index)
}

/// What travels from one side to the other.
#[derive(Debug)]
enum Wire {
    Message(PeerMessage),
    Chunk(FileHash, ChunkIndex),
}

/// One side: its state, and a model of the tasks around it.
struct Side {
    state: SessionState,
    out: VecDeque<Wire>,
    /// What it shares, and which chunks of it.
    holds: BTreeMap<FileHash, Bitfield>,
    serving: VecDeque<(FileHash, ChunkIndex)>,
    answered: Answered,
    opening: Vec<FileHash>,
    news: Vec<(FileHash, ChunkNews)>,
    reports: Vec<SessionNews>,
    closed: Option<CloseReason>,
}

impl Side {
    fn new(now: Instant) -> Self {
        Self {
            state: SessionState::new(now),
            out: VecDeque::new(),
            holds: BTreeMap::new(),
            serving: VecDeque::new(),
            answered: Answered::default(),
            opening: Vec::new(),
            news: Vec::new(),
            reports: Vec::new(),
            closed: None,
        }
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Send(message) => self.out.push_back(Wire::Message(message)),
                Action::SendBitfield(file) => {
                    let held = self
                        .holds
                        .get(&file)
                        .cloned()
                        .unwrap_or_else(|| Bitfield::new(CHUNKS));
                    let (first_byte, bits) = (0, held.to_bytes());
                    self.out.push_back(Wire::Message(PeerMessage::Bitfield {
                        file,
                        first_byte,
                        bits,
                    }));
                }
                Action::Open(file) => self.opening.push(file),
                Action::Serve(file, chunk) => self.serving.push_back((file, chunk)),
                Action::Withdraw(file, chunk) => self.withdraw(|asked| asked == (file, chunk)),
                Action::WithdrawAll(file) => self.withdraw(|(of, _)| of == file),
                Action::ServeHashes { .. } => {}
                Action::Tell(file, news) => self.news.push((file, news)),
                Action::Report(news) => self.reports.push(news),
                Action::Close(reason) => self.closed = Some(reason),
            }
        }
    }

    fn withdraw(&mut self, which: impl Fn((FileHash, ChunkIndex)) -> bool) {
        let (gone, left) = self.serving.iter().partition(|asked| which(**asked));
        self.serving = left;
        let gone: VecDeque<_> = gone;
        for (file, chunk) in gone {
            self.answered.requests += 1;
            let reason = RejectReason::Cancelled;
            self.out
                .push_back(Wire::Message(PeerMessage::Reject { file, chunk, reason }));
        }
    }

    fn open(&mut self) {
        for file in std::mem::take(&mut self.opening) {
            let shared = self.holds.contains_key(&file).then(layout);
            let actions = self.state.on_opened(file, shared, self.answered);
            self.carry_out(actions);
        }
    }

    fn serve(&mut self) {
        if let Some((file, chunk)) = self.serving.pop_front() {
            self.answered.requests += 1;
            self.out.push_back(Wire::Chunk(file, chunk));
        }
    }

    fn hear(&mut self, wire: Wire, now: Instant) {
        match wire {
            Wire::Message(message) => {
                let actions = self.state.on_message(message, self.answered, now);
                self.carry_out(actions);
            }
            Wire::Chunk(file, chunk) => self.hear_chunk(file, chunk, layout().length(chunk) as usize, now),
        }
    }

    fn hear_chunk(&mut self, file: FileHash, chunk: ChunkIndex, bytes: usize, now: Instant) {
        match self.state.on_chunk(file, chunk, bytes, now) {
            Ok((_, actions)) => self.carry_out(actions),
            Err(violation) => self.closed = Some(CloseReason::Violation(violation)),
        }
    }

    fn attached(&self, file: FileHash) -> Option<&Bitfield> {
        self.news.iter().rev().find_map(|(of, news)| match news {
            ChunkNews::Attached(bits) if *of == file => Some(bits),
            _ => None,
        })
    }

    fn violation(&self) -> Option<&Violation> {
        match &self.closed {
            Some(CloseReason::Violation(violation)) => Some(violation),
            _ => None,
        }
    }
}

/// Two sides and the wire between them.
struct Pair {
    a: Side,
    b: Side,
    now: Instant,
}

impl Pair {
    fn new() -> Self {
        let now = Instant::now();
        let (a, b) = (Side::new(now), Side::new(now));
        Self { a, b, now }
    }

    /// Lets everything that is under way arrive and be answered.
    fn settle(&mut self) {
        loop {
            self.a.open();
            self.b.open();
            self.a.serve();
            self.b.serve();
            let (to_b, to_a) = (self.a.out.pop_front(), self.b.out.pop_front());
            if to_a.is_none() && to_b.is_none() {
                return;
            }
            to_b.into_iter().for_each(|wire| self.b.hear(wire, self.now));
            to_a.into_iter().for_each(|wire| self.a.hear(wire, self.now));
        }
    }

    fn attach_a(&mut self) {
        let actions = self.a.state.attach(wanted(FILE));
        self.a.carry_out(actions);
    }

    /// A fetches from B, who holds all; both are unchoked.
    fn fetching() -> Self {
        let mut pair = Self::new();
        pair.b.holds.insert(FILE, Bitfield::full(CHUNKS));
        pair.attach_a();
        pair.settle();
        let actions = pair.a.state.set_interest(FILE, true);
        pair.a.carry_out(actions);
        pair.settle();
        pair
    }
}

#[test]
fn who_attaches_learns_what_the_other_holds() {
    let mut pair = Pair::new();
    pair.b.holds.insert(FILE, Bitfield::full(CHUNKS));
    pair.attach_a();
    pair.settle();
    assert!(pair.a.attached(FILE).is_some_and(Bitfield::is_full));
    assert!(matches!(pair.b.reports[..], [SessionNews::Attached(FILE)]));
}

#[test]
fn a_file_that_is_not_shared_is_refused_and_the_session_goes_on() {
    let mut pair = Pair::new();
    pair.attach_a();
    pair.settle();
    let (_, news) = pair.a.news.last().unwrap();
    let not_shared = Detached::Theirs(DetachReason::NotShared);
    assert!(
        matches!(news, ChunkNews::Detached { reason, .. } if format!("{reason:?}") == format!("{not_shared:?}"))
    );
    assert!(pair.a.closed.is_none() && pair.b.closed.is_none());
}

#[test]
fn two_leechers_that_attach_at_once_learn_of_each_other() {
    let mut pair = Pair::new();
    let mut half = Bitfield::new(CHUNKS);
    half.set(at(3));
    pair.a.holds.insert(FILE, half);
    pair.attach_a();
    let actions = pair.b.state.attach(wanted(FILE));
    pair.b.carry_out(actions);
    pair.settle();
    assert_eq!(pair.a.attached(FILE).map(Bitfield::count), Some(0));
    assert_eq!(pair.b.attached(FILE).map(Bitfield::count), Some(1));
}

#[test]
fn who_only_served_and_begins_to_fetch_learns_what_the_other_holds() {
    let mut pair = Pair::new();
    let mut one = Bitfield::new(CHUNKS);
    one.set(at(3));
    pair.a.holds.insert(FILE, one);
    pair.b.holds.insert(FILE, Bitfield::new(CHUNKS));
    pair.attach_a();
    pair.settle();
    let actions = pair.b.state.attach(wanted(FILE));
    pair.b.carry_out(actions);
    pair.settle();
    assert_eq!(pair.b.attached(FILE).map(Bitfield::count), Some(1));
}

#[test]
fn interest_is_answered_by_an_unchoke_and_room() {
    let pair = Pair::fetching();
    let unchoked = pair
        .a
        .news
        .iter()
        .any(|(_, news)| matches!(news, ChunkNews::Choked { choked: false, room } if room.free > 0));
    assert!(unchoked, "{:?}", pair.a.news);
}

#[test]
fn a_request_is_answered_by_its_chunk() {
    let mut pair = Pair::fetching();
    let actions = pair.a.state.request(FILE, vec![at(0), at(19)], pair.now);
    pair.a.carry_out(actions);
    assert_eq!(pair.a.out.len(), 2);
    pair.settle();
    assert!(pair.a.closed.is_none() && pair.b.closed.is_none());
    assert!(
        pair.a
            .reports
            .iter()
            .any(|news| matches!(news, SessionNews::Useful))
    );
}

#[test]
fn more_than_the_window_is_said_back() {
    let mut pair = Pair::fetching();
    let actions = pair
        .a
        .state
        .request(FILE, (0..CHUNKS).map(at).collect(), pair.now);
    let refused = actions.iter().find_map(|action| match action {
        Action::Tell(_, ChunkNews::NotAsked { chunks, room }) => Some((chunks.len(), room.free)),
        _ => None,
    });
    assert_eq!(refused, Some((CHUNKS as usize - 4, 0)));
}

#[test]
fn requests_before_the_unchoke_are_rejected_not_punished() {
    let mut side = Side::new(Instant::now());
    side.holds.insert(FILE, Bitfield::full(CHUNKS));
    let now = Instant::now();
    side.hear(Wire::Message(PeerMessage::Attach { file: FILE }), now);
    side.open();
    let (file, chunk) = (FILE, at(0));
    side.hear(Wire::Message(PeerMessage::Request { file, chunk }), now);
    let reason = RejectReason::Choked;
    assert!(matches!(
        side.out.back(),
        Some(Wire::Message(message)) if *message == PeerMessage::Reject { file, chunk, reason }
    ));
    assert!(side.closed.is_none());
}

#[test]
fn a_queue_of_requests_has_an_end() {
    let mut pair = Pair::fetching();
    for _ in 0..300 {
        let (file, chunk) = (FILE, at(1));
        pair.b
            .hear(Wire::Message(PeerMessage::Request { file, chunk }), pair.now);
    }
    assert_eq!(pair.b.serving.len(), 256);
    assert_eq!(pair.b.out.len(), 44);
}

#[test]
fn a_chunk_nobody_asked_for_ends_the_session() {
    let mut pair = Pair::fetching();
    pair.a.hear(Wire::Chunk(FILE, at(0)), pair.now);
    assert_eq!(pair.a.violation(), Some(&Violation::Unsolicited(FILE, at(0))));
}

#[test]
fn the_same_chunk_twice_ends_the_session() {
    let mut pair = Pair::fetching();
    let actions = pair.a.state.request(FILE, vec![at(0)], pair.now);
    pair.a.carry_out(actions);
    pair.settle();
    assert!(pair.a.closed.is_none());
    pair.a.hear(Wire::Chunk(FILE, at(0)), pair.now);
    assert!(pair.a.violation().is_some());
}

#[test]
fn a_chunk_of_another_index_or_length_ends_the_session() {
    for (chunk, bytes) in [(1, CHUNK_SIZE), (0, CHUNK_SIZE - 1), (0, 0)] {
        let mut pair = Pair::fetching();
        pair.a.state.request(FILE, vec![at(0)], pair.now);
        pair.a.hear_chunk(FILE, at(chunk), bytes as usize, pair.now);
        assert!(pair.a.violation().is_some(), "chunk {chunk} with {bytes} bytes");
    }
}

#[test]
fn nonsense_ends_the_session() {
    let file = FILE;
    let hashes = PeerMessage::Hashes {
        file,
        first: 0,
        hashes: Vec::new(),
        proof: MerkleProof { nodes: Vec::new() },
    };
    let nonsense = [
        PeerMessage::Have {
            file,
            chunk: at(CHUNKS),
        },
        PeerMessage::Bitfield {
            file,
            first_byte: 0,
            bits: vec![0; 3],
        },
        PeerMessage::Reject {
            file,
            chunk: at(0),
            reason: RejectReason::NotHeld,
        },
        hashes,
    ];
    for message in nonsense {
        let mut pair = Pair::fetching();
        pair.a.hear(Wire::Message(message.clone()), pair.now);
        assert!(pair.a.violation().is_some(), "{message:?}");
    }
    let mut pair = Pair::fetching();
    pair.b.hear(
        Wire::Message(PeerMessage::Request {
            file,
            chunk: at(CHUNKS),
        }),
        pair.now,
    );
    assert_eq!(pair.b.violation(), Some(&Violation::OutOfRange(file, at(CHUNKS))));
}

#[test]
fn a_flood_of_messages_or_files_ends_the_session() {
    let now = Instant::now();
    let mut side = Side::new(now);
    for nonce in 0..20_001 {
        side.hear(Wire::Message(PeerMessage::Ping { nonce }), now);
    }
    assert_eq!(side.violation(), Some(&Violation::TooMany("messages")));
    let mut side = Side::new(now);
    for n in 0..=MAX_FILES as u32 {
        let file = FileHash(std::array::from_fn(|i| n.to_be_bytes()[i % 4]));
        side.hear(Wire::Message(PeerMessage::Attach { file }), now);
    }
    assert_eq!(side.violation(), Some(&Violation::TooMany("files")));
}

#[test]
fn a_cancelled_chunk_that_comes_all_the_same_is_dropped_without_offence() {
    let mut pair = Pair::fetching();
    let actions = pair.a.state.request(FILE, vec![at(0)], pair.now);
    pair.a.carry_out(actions);
    pair.a.state.cancel(FILE, at(0));
    let bytes = layout().length(at(0)) as usize;
    let (delivery, _) = pair.a.state.on_chunk(FILE, at(0), bytes, pair.now).unwrap();
    assert_eq!(delivery, Delivery::Drop);
}

#[test]
fn a_peer_that_drops_the_file_returns_what_was_asked_of_it() {
    let mut pair = Pair::fetching();
    let actions = pair.a.state.request(FILE, vec![at(0), at(1)], pair.now);
    pair.a.carry_out(actions);
    let (file, reason) = (FILE, DetachReason::Stopped);
    pair.a
        .hear(Wire::Message(PeerMessage::Detach { file, reason }), pair.now);
    let (_, news) = pair.a.news.last().unwrap();
    assert!(matches!(news, ChunkNews::Detached { unfinished, .. } if unfinished == &[at(0), at(1)]));
    // What was on its way arrives and is nobody's fault.
    pair.settle();
    assert!(pair.a.closed.is_none() && pair.b.closed.is_none());
}

#[test]
fn the_end_tells_every_owner_what_is_unfinished() {
    let mut pair = Pair::fetching();
    pair.a.state.request(FILE, vec![at(7)], pair.now);
    let actions = pair.a.state.on_close(&CloseReason::Truncated);
    assert!(matches!(
        &actions[..],
        [Action::Tell(FILE, ChunkNews::Detached { reason: Detached::Closed(CloseReason::Truncated), unfinished })]
            if unfinished == &[at(7)]
    ));
}

#[test]
fn a_silent_peer_is_given_up_and_an_idle_session_closed() {
    let (start, answered) = (Instant::now(), Answered::default());
    let mut state = SessionState::new(start);
    let actions = state.on_tick(answered, start + Duration::from_secs(20));
    assert!(matches!(actions[..], [Action::Close(CloseReason::Silent)]));
    let mut state = SessionState::new(start);
    for second in 0..60 {
        let now = start + Duration::from_secs(second);
        state.on_message(PeerMessage::Pong { nonce: 0 }, answered, now);
        assert!(!matches!(state.on_tick(answered, now)[..], [Action::Close(_)]));
    }
    let actions = state.on_tick(Answered::default(), start + Duration::from_secs(60));
    assert!(matches!(
        actions[..],
        [Action::Close(CloseReason::Ours(GoodbyeReason::Idle))]
    ));
}

#[test]
fn the_first_round_trip_is_told_to_who_fetches_once() {
    let mut state = SessionState::new(Instant::now());
    state.attach(wanted(FILE));
    for nonce in [1, 2] {
        let at = Instant::now() + Duration::from_secs(6 * nonce);
        state.on_tick(Answered::default(), at);
        let actions = state.on_message(PeerMessage::Pong { nonce }, Answered::default(), at);
        let is_told = matches!(actions[..], [Action::Tell(FILE, ChunkNews::RoundTrip(_))]);
        assert_eq!(is_told, nonce == 1);
    }
}
