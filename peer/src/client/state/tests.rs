use super::{
    pause::{LONGEST_RETRY_AFTER, RETRY_AFTER_REFUSAL},
    *,
};
use p2p_shared::{
    hash::HashAlgorithm,
    id::MerkleRoot,
    manifest::{Modified, ShareKind},
    tracker_api::{Problem, slug},
};

const LEASE: Duration = Duration::from_secs(60);
const INTERVAL: u32 = 120;

fn hash(n: u8) -> FileHash {
    FileHash([n; 32])
}

fn announcement(n: u8, have: Have) -> Announcement {
    let manifest = Manifest {
        hash: hash(n),
        algorithm: HashAlgorithm::Sha256,
        size: 1,
        merkle_root: MerkleRoot([0; 32]),
        name: "file".parse().unwrap(),
        kind: ShareKind::File,
        mode: 0o644,
        modified: Modified { seconds: 0, nanos: 0 },
    };
    Announcement {
        manifest: Arc::new(manifest),
        hashes: Some(Arc::new([ChunkHash([n; 32])])),
        have,
        fresh: false,
    }
}

fn problem(slug: &str, status: u16) -> CallError {
    CallError::Problem {
        tracker: "http://t:1".parse().unwrap(),
        problem: Box::new(Problem::new(slug, "title", status, "detail")),
        retry_after: None,
    }
}

fn unreachable() -> CallError {
    CallError::Unreachable {
        tracker: "http://t:1".parse().unwrap(),
        reason: "connection refused".into(),
    }
}

fn complete() -> AnnounceResponse {
    AnnounceResponse {
        complete: true,
        next_chunk: 1,
        interval: INTERVAL,
    }
}

/// A tracker under test, its clock, and what it shall know.
struct Bench {
    state: TrackerState,
    now: Instant,
    wanted: HashMap<FileHash, Arc<Announcement>>,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            state: TrackerState::new(now),
            now,
            wanted: HashMap::new(),
        }
    }

    fn registered() -> Self {
        let mut bench = Self::new();
        bench.poll();
        bench.accept();
        bench
    }

    fn accept(&mut self) {
        let lease = Lease {
            token: format!("token {}", self.state.epoch).into(),
            length: LEASE,
        };
        self.state.on_registered(self.now, self.state.epoch, lease);
    }

    fn want(&mut self, announcement: Announcement) {
        self.wanted
            .insert(announcement.manifest.hash, Arc::new(announcement));
    }

    fn poll(&mut self) -> Vec<Action> {
        self.state.poll(self.now, &self.wanted)
    }

    /// Goes on to when the state wants to be polled.
    fn wake(&mut self) -> Vec<Action> {
        self.now = self.state.next_wake().unwrap();
        self.poll()
    }

    /// The one announcement that is due now.
    fn announce(&mut self) -> AnnounceCall {
        match self.poll().as_slice() {
            [Action::Announce(call)] => call.clone(),
            other => panic!("not one announcement: {other:?}"),
        }
    }

    fn answer(&mut self, call: &AnnounceCall, answer: AnnounceResponse) {
        self.state.on_announced(self.now, call, answer, u32::MAX);
    }

    fn refuse(&mut self, call: &AnnounceCall, error: &CallError) {
        self.state.on_announce_failed(self.now, call, error, u32::MAX);
    }

    fn fail(&mut self, error: &CallError) {
        self.state.on_failed(self.now, self.state.epoch, error, u32::MAX);
    }
}

#[test]
fn it_registers_at_once_and_only_once() {
    let mut bench = Bench::new();
    assert_eq!(bench.poll(), [Action::Register { epoch: 1 }]);
    assert_eq!(bench.poll(), []);
}

#[test]
fn a_heartbeat_is_due_after_a_third_of_the_lease() {
    let mut bench = Bench::registered();
    let start = bench.now;
    assert!(matches!(bench.wake().as_slice(), [Action::Heartbeat { .. }]));
    assert_eq!(bench.now - start, LEASE / 3);
    bench.state.on_heartbeat(bench.now, 1, LEASE);
    assert!(matches!(bench.wake().as_slice(), [Action::Heartbeat { .. }]));
    assert_eq!(bench.now - start, LEASE / 3 * 2);
}

#[test]
fn a_tracker_that_is_away_is_asked_less_and_less_but_within_eight_seconds() {
    let mut bench = Bench::new();
    bench.poll();
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let before = bench.now;
        bench.fail(&unreachable());
        assert!(matches!(bench.wake().as_slice(), [Action::Register { .. }]));
        pauses.push((bench.now - before).as_millis());
    }
    assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 8000, 8000, 8000]);
}

#[test]
fn a_lost_heartbeat_keeps_the_registration_and_is_repeated() {
    let mut bench = Bench::registered();
    bench.wake();
    bench.fail(&unreachable());
    assert!(bench.state.token().is_some());
    assert!(matches!(
        bench.wake().as_slice(),
        [Action::Heartbeat { epoch: 1, .. }]
    ));
}

#[test]
fn a_tracker_that_forgot_this_peer_is_registered_with_and_told_everything_again() {
    let mut bench = Bench::registered();
    bench.want(announcement(1, Have::Seeder));
    let call = bench.announce();
    bench.answer(&call, complete());
    assert!(bench.state.is_announced(&hash(1), Have::Seeder));
    bench.wake();
    bench.fail(&problem(slug::TOKEN_INVALID, 401));
    assert!(!bench.state.is_announced(&hash(1), Have::Seeder));
    assert_eq!(bench.poll(), [Action::Register { epoch: 2 }]);
    bench.accept();
    let call = bench.announce();
    assert_eq!((&*call.token, call.full_from), ("token 2", None));
}

#[test]
fn an_announcement_that_meets_a_lost_registration_leads_to_a_new_one() {
    let mut bench = Bench::registered();
    bench.want(announcement(1, Have::Seeder));
    let call = bench.announce();
    bench.refuse(&call, &problem(slug::TOKEN_INVALID, 401));
    assert_eq!(bench.poll(), [Action::Register { epoch: 2 }]);
}

#[test]
fn a_known_file_is_announced_by_its_hash_alone_and_again_after_the_interval() {
    let mut bench = Bench::registered();
    bench.want(announcement(1, Have::Seeder));
    let call = bench.announce();
    assert_eq!((call.have, call.full_from), (Have::Seeder, None));
    bench.answer(&call, complete());
    assert_eq!(bench.poll(), []);
    bench.now += Duration::from_secs(INTERVAL.into());
    bench.state.on_heartbeat(bench.now, 1, LEASE);
    let due: Vec<_> = bench.poll();
    assert!(
        due.iter().any(|action| matches!(action, Action::Announce(_))),
        "{due:?}"
    );
}

#[test]
fn an_unknown_file_is_announced_in_full_and_in_as_many_calls_as_the_tracker_wants() {
    let mut bench = Bench::registered();
    bench.want(announcement(1, Have::Seeder));
    let call = bench.announce();
    bench.refuse(&call, &problem(slug::FILE_UNKNOWN, 404));
    let call = bench.announce();
    assert_eq!(call.full_from, Some(0));
    let partly = AnnounceResponse {
        complete: false,
        next_chunk: 65_536,
        interval: INTERVAL,
    };
    bench.answer(&call, partly);
    assert!(!bench.state.is_announced(&hash(1), Have::Seeder));
    let call = bench.announce();
    assert_eq!(call.full_from, Some(65_536));
    bench.answer(&call, complete());
    assert!(bench.state.is_announced(&hash(1), Have::Seeder));
}

#[test]
fn a_fresh_file_is_announced_in_full_at_once() {
    let mut bench = Bench::registered();
    bench.want(Announcement {
        fresh: true,
        ..announcement(1, Have::Seeder)
    });
    assert_eq!(bench.announce().full_from, Some(0));
}

#[test]
fn a_file_whose_hashes_are_not_known_here_is_not_announced_in_a_tight_loop() {
    let mut bench = Bench::registered();
    bench.want(Announcement {
        hashes: None,
        ..announcement(1, Have::Partial)
    });
    let call = bench.announce();
    bench.refuse(&call, &problem(slug::FILE_UNKNOWN, 404));
    let call = bench.announce();
    assert_eq!(call.full_from, None);
    bench.refuse(&call, &problem(slug::FILE_UNKNOWN, 404));
    assert_eq!(bench.poll(), []);
    let wants_hashes = AnnounceResponse {
        complete: false,
        next_chunk: 0,
        interval: INTERVAL,
    };
    bench.now += LEASE;
    bench.state.on_heartbeat(bench.now, 1, LEASE);
    let Some(Action::Announce(call)) = bench.poll().pop() else {
        panic!("not announced again")
    };
    bench.answer(&call, wants_hashes);
    assert!(
        !bench
            .poll()
            .iter()
            .any(|action| matches!(action, Action::Announce(_)))
    );
}

#[test]
fn a_download_that_became_whole_is_told_before_the_interval_is_over() {
    let mut bench = Bench::registered();
    bench.want(announcement(1, Have::Partial));
    let call = bench.announce();
    bench.answer(&call, complete());
    bench.want(announcement(1, Have::Seeder));
    assert_eq!(bench.announce().have, Have::Seeder);
}

#[test]
fn what_is_no_longer_shared_is_taken_back_once() {
    let mut bench = Bench::registered();
    bench.want(announcement(1, Have::Seeder));
    let call = bench.announce();
    bench.answer(&call, complete());
    bench.wanted.clear();
    let call = bench.announce();
    assert_eq!((call.hash, call.have), (hash(1), Have::Stopped));
    bench.answer(&call, complete());
    assert_eq!(bench.poll(), []);
    assert!(bench.state.shares.is_empty());
}

#[test]
fn what_was_never_told_is_not_taken_back() {
    let mut bench = Bench::new();
    bench.want(announcement(1, Have::Seeder));
    bench.poll();
    bench.wanted.clear();
    bench.accept();
    assert_eq!(bench.poll(), []);
}

#[test]
fn many_shares_are_announced_a_few_at_a_time_without_spinning() {
    let mut bench = Bench::registered();
    for n in 0..20 {
        bench.want(announcement(n, Have::Seeder));
    }
    let first = bench.poll();
    assert_eq!(first.len(), ANNOUNCEMENTS_AT_ONCE);
    assert_eq!(bench.poll(), []);
    assert_eq!(bench.state.next_wake(), Some(bench.now + LEASE / 3));
    let Action::Announce(call) = &first[0] else {
        panic!("{first:?}")
    };
    bench.answer(call, complete());
    assert_eq!(bench.poll().len(), 1);
}

#[test]
fn an_answer_of_an_earlier_registration_says_nothing_about_this_one() {
    let mut bench = Bench::registered();
    bench.want(announcement(1, Have::Seeder));
    let old = bench.announce();
    bench.wake();
    bench.fail(&problem(slug::TOKEN_INVALID, 401));
    bench.poll();
    bench.accept();
    bench.answer(&old, complete());
    assert!(!bench.state.is_announced(&hash(1), Have::Seeder));
    assert_eq!(bench.announce().epoch, 2);
}

#[test]
fn a_refused_key_is_not_tried_every_second() {
    let mut bench = Bench::new();
    bench.poll();
    let start = bench.now;
    bench.fail(&problem(slug::API_KEY_INVALID, 401));
    bench.wake();
    assert_eq!(bench.now - start, RETRY_AFTER_REFUSAL);
}

#[test]
fn a_busy_tracker_is_left_alone_for_as_long_as_it_asks_within_reason() {
    let busy = |seconds| CallError::Problem {
        tracker: "http://t:1".parse().unwrap(),
        problem: Box::new(Problem::new(slug::BUSY, "busy", 503, "detail")),
        retry_after: Some(Duration::from_secs(seconds)),
    };
    for (asked, waited) in [(5, 5), (u64::MAX, LONGEST_RETRY_AFTER.as_secs())] {
        let mut bench = Bench::new();
        bench.poll();
        let start = bench.now;
        bench.fail(&busy(asked));
        bench.wake();
        assert_eq!((bench.now - start).as_secs(), waited);
    }
}
