//! `make run`: the main job in one command, and nothing left of it after Ctrl-C.

use std::net::{SocketAddr, TcpStream};

use p2p_tests::fixtures;
use p2p_tests::lab::Lab;
use p2p_tests::process::{Launch, binary};
use p2p_tests::sources;

#[test]
fn the_demo_shares_fetches_checks_stays_up_and_ends_cleanly_on_ctrl_c() {
    let lab = Lab::new();
    let file = lab.at("a file of mine.bin");
    fixtures::write_file(&file, 1, 20_000_000);
    let script = sources::root().join("packaging/demo.sh");
    let binaries = binary("p2p-peer").parent().unwrap().to_owned();
    let temporary = lab.folder("tmp");
    let demo = Launch::new(script.to_str().unwrap(), lab.path())
        .arg(binaries)
        .arg(&file)
        .env("TMPDIR", &temporary)
        .start();

    let expected = fixtures::sha256(&file);
    demo.wait_out(0, "the checksum that sha256sum prints", |line| {
        line.contains(&expected).then_some(())
    });
    let word =
        |name: &'static str| move |line: &str| line.strip_prefix(name).map(|rest| rest.trim().to_owned());
    let (speed, _) = demo.wait_out(0, "how fast it was", word("speed"));
    assert!(speed.contains("MB/s"), "{speed}");
    let (tracker, _) = demo.wait_out(0, "the tracker's address", word("tracker"));
    let (ticket, _) = demo.wait_out(0, "the ticket", word("ticket"));
    assert!(ticket.starts_with("p2p:"), "{ticket}");
    let tracker: SocketAddr = tracker.trim_start_matches("http://").parse().unwrap();
    assert!(TcpStream::connect(tracker).is_ok(), "it stays up");

    demo.wait_out(0, "how to end it", |line| line.contains("Ctrl-C").then_some(()));
    demo.interrupt();
    let ended = demo.end().expect_code(0);
    assert!(
        TcpStream::connect(tracker).is_err(),
        "the tracker is still there\n{}",
        ended.err
    );
    let left: Vec<_> = std::fs::read_dir(&temporary).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}
