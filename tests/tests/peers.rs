//! `peers` names whom a daemon is connected with: the right key, a real path, and the bytes that went.

use p2p_tests::fixtures;
use p2p_tests::lab::Lab;
use p2p_tests::process::Launch;
use p2p_tests::programs::{Peer, Tracker};
use serde_json::Value;

const SIZE: u64 = 3_000_000;

#[track_caller]
fn peers(peer: &Peer) -> Vec<Value> {
    let ended = peer.command("peers").run().expect_code(0);
    let said = ended.events();
    assert_eq!(said.len(), ended.out.lines().count(), "{}", ended.out);
    said
}

fn key(peer: &Peer) -> Value {
    let said = peer.command("id").run().expect_code(0).events();
    said[0]["public_key"].clone()
}

#[test]
fn each_side_of_a_transfer_names_the_other_with_path_and_bytes() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let sharer = Peer::new(&lab, "sharer").tracker(&tracker);
    let fetcher = Peer::new(&lab, "fetcher").tracker(&tracker);
    let _daemons = [sharer.start_daemon(), fetcher.start_daemon()];
    assert_eq!(peers(&sharer), Vec::<Value>::new(), "nobody yet");
    let source = lab.folder("source").join("seen.bin");
    fixtures::write_file(&source, 1, SIZE);
    let shared = sharer.command("share").arg(&source).run().expect_code(0).events();
    let ticket = shared.iter().find(|event| event["event"] == "ticket").unwrap();
    let fetched = fetcher.get(ticket["ticket"].as_str().unwrap(), &lab.folder("output"));
    drop(fetched.run().expect_code(0));

    let (seen, by) = (&peers(&fetcher)[0], &peers(&sharer)[0]);
    assert_eq!(seen["event"], "peer");
    assert_eq!((&seen["peer"], &by["peer"]), (&key(&sharer), &key(&fetcher)));
    assert_eq!((&seen["path"], &by["path"]), (&"direct".into(), &"direct".into()));
    assert_eq!(seen["received"], SIZE, "{seen}");
    assert_eq!(by["sent"], SIZE, "{by}");
    assert_eq!((&seen["down"], &by["up"]), (&0.into(), &0.into()), "it is over");
    let rtt = &seen["rtt_ms"];
    assert!(
        rtt.is_null() || rtt.as_f64().is_some_and(|rtt| rtt > 0.0),
        "{seen}"
    );
    assert!(
        seen["agent"]
            .as_str()
            .is_some_and(|agent| agent.starts_with("p2p-peer/")),
        "{seen}"
    );
    let address = seen["address"].as_str().unwrap();
    assert!(address.starts_with("127.0.0.1:"), "{seen}");

    let table = Launch::new("p2p-peer", fetcher.folder())
        .args(["peers", "--data"])
        .arg(fetcher.data())
        .run()
        .expect_code(0)
        .out;
    let rows: Vec<_> = table.lines().collect();
    assert_eq!(rows.len(), 2, "{table}");
    assert!(
        rows[0].starts_with("PEER") && rows[1].contains("direct") && rows[1].contains(address),
        "{table}"
    );
}

#[test]
fn that_no_daemon_runs_is_said_and_that_one_is_alone_is_not_made_up() {
    let lab = Lab::new();
    let alone = Peer::new(&lab, "alone");
    let ended = alone.command("peers").run().expect_code(0);
    assert_eq!(ended.out, "");
    assert!(ended.err.contains("no peer runs on"), "{}", ended.err);
    let _daemon = alone.start_daemon();
    let ended = alone.command("peers").run().expect_code(0);
    assert_eq!(
        (ended.out.as_str(), ended.err.contains("no peer runs on")),
        ("", false)
    );
}
