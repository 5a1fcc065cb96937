//! `kill -9` at any moment costs at most what was on its way: the same command goes on, and what arrives is right.
//!
//! The bytes are counted by a relay between the two programs, not by what they say of themselves. It counts a byte before it hands it on, so
//! what lay in socket buffers when the fetcher was killed counts as fetched: the figure is an upper bound.

use std::net::SocketAddr;

use p2p_shared::ticket::Ticket;
use p2p_tests::fixtures::{self, draw};
use p2p_tests::lab::Lab;
use p2p_tests::measure;
use p2p_tests::programs::{Peer, Sharing, Tracker};
use p2p_tests::proxy::Proxy;
use p2p_tests::tree;

/// The promise: fetched again after a kill, at most.
const AGAIN: u64 = 16 << 20;

/// Unless the environment says otherwise (`make test-large`: 1 GiB, 20 kills).
const CRASH_MIB: u64 = 256;
const KILLS: u64 = 5;

/// What a session costs beside the chunks: handshake, hashes of the chunks, bitfield, records' headers and tags.
fn overhead(size: u64, sessions: u64) -> u64 {
    size / 1000 + sessions * (256 << 10)
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

#[test]
fn a_fetcher_killed_at_random_moments_goes_on_and_fetches_little_again() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let size = setting("P2P_TEST_CRASH_MIB", CRASH_MIB) << 20;
    let kills = setting("P2P_TEST_KILLS", KILLS);
    let source = lab.at("crash.bin");
    fixtures::write_file(&source, 99, size);
    let sharing = Peer::new(&lab, "sharer").tracker(&tracker).start_sharing(&source);
    let proxy = Proxy::to(seeder_address(&sharing));
    let ticket = through(&sharing, &proxy);
    let (fetcher, output) = (Peer::new(&lab, "fetcher"), lab.folder("output"));

    let seed = setting("P2P_TEST_SEED", 1);
    let mut moments: Vec<u64> = (0..kills).map(|n| draw(seed, n, size * 95 / 100)).collect();
    moments.sort_unstable();
    let mut held = 0;
    for (n, moment) in moments.into_iter().enumerate() {
        let before = proxy.passed();
        let running = fetcher.get(&ticket, &output).start();
        // A moment is a place in the file: so many bytes beyond what is held.
        let passed = proxy.wait_passed(before + moment.saturating_sub(held).max(1)) - before;
        let ended = running.kill();
        assert_eq!(
            ended.code, None,
            "kill {n} came too late: it had ended by itself\n{}",
            ended.err
        );
        let had = held;
        held = fetcher.held(&sharing.hash);
        let lost = passed.saturating_sub(held - had);
        let allowed = AGAIN + overhead(passed, 1);
        assert!(
            lost <= allowed,
            "kill {n}: {passed} bytes came, {} were kept, {lost} are lost",
            held - had
        );
    }
    fetcher.get(&ticket, &output).run().expect_code(0);
    tree::assert_same(&source, &output.join("crash.bin"));

    // The same once more, without a word from the program about itself.
    let passed = proxy.passed();
    assert!(
        passed >= size,
        "{passed} bytes passed of {size}: they took another way, nothing was measured"
    );
    let again = passed - size;
    let allowed = kills * AGAIN + overhead(size, kills + 1);
    assert!(
        again <= allowed,
        "{again} bytes fetched again in {kills} kills, allowed {allowed}"
    );
}

#[test]
fn a_download_goes_on_by_itself_when_its_killed_seeder_is_back() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let size = 128 << 20;
    let source = lab.at("source.bin");
    fixtures::write_file(&source, 7, size);
    let sharer = Peer::new(&lab, "sharer").tracker(&tracker);
    let sharing = sharer.start_sharing(&source);
    let proxy = Proxy::to(seeder_address(&sharing));
    let output = lab.folder("output");
    let running = Peer::new(&lab, "fetcher")
        .get(&through(&sharing, &proxy), &output)
        .start();
    let mut seeder = sharing;
    for part in [10, 40, 75] {
        let _passed = proxy.wait_passed(size * part / 100);
        drop(seeder.program.kill());
        seeder = sharer.start_sharing(&source);
        proxy.retarget(seeder_address(&seeder));
    }
    let _ended = running.end().expect_code(0);
    tree::assert_same(&source, &output.join("source.bin"));
    let passed = proxy.passed();
    assert!(
        passed < size + 3 * AGAIN + overhead(size, 4),
        "{passed} bytes for a file of {size}"
    );
}

/// Hashing is written down this often: so much of what was hashed is hashed again at most.
const HASHED_AGAIN: u64 = 256 << 20;

#[test]
fn hashing_that_was_killed_goes_on_where_it_was() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let size = 3 * HASHED_AGAIN;
    let source = lab.at("hashed.bin");
    fixtures::write_file(&source, 5, size);
    let sharer = Peer::new(&lab, "sharer").tracker(&tracker);
    let running = sharer.share(&source).start();
    let hashed = |line: &str| {
        let event: serde_json::Value = serde_json::from_str(line).ok()?;
        event
            .get("bytes")?
            .as_u64()
            .filter(|&bytes| bytes > HASHED_AGAIN + (64 << 20))
    };
    let (before, _) = running.wait_out(0, "progress of hashing", hashed);
    drop(running.kill());
    let sharing = sharer.start_sharing(&source);
    let read = measure::bytes_read(sharing.program.pid()).unwrap();
    let allowed = size - before + HASHED_AGAIN + (16 << 20);
    assert!(
        read <= allowed,
        "{read} bytes read, though {before} of {size} were hashed: allowed {allowed}"
    );
    assert_eq!(sharing.hash, fixtures::sha256(&source));
}

fn seeder_address(sharing: &Sharing) -> SocketAddr {
    let ticket: Ticket = sharing.ticket.parse().expect("a ticket");
    ticket.seeders[0].addresses[0]
}

/// The ticket as it would be if the sharer listened where the relay does, and no tracker knew it.
fn through(sharing: &Sharing, proxy: &Proxy) -> String {
    let mut ticket: Ticket = sharing.ticket.parse().expect("a ticket");
    ticket.trackers.clear();
    ticket.seeders.truncate(1);
    ticket.seeders[0].addresses = vec![proxy.address()];
    ticket.to_string()
}
