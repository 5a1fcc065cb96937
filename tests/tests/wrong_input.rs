//! What goes wrong for a person ends with the right exit code and a message that says what happened, to what, and what to do.

use std::net::TcpListener;
use std::path::Path;

use p2p_tests::fixtures;
use p2p_tests::lab::Lab;
use p2p_tests::process::Ended;
use p2p_tests::programs::{Peer, Sharing, Tracker};
use p2p_tests::unprivileged;

const UNKNOWN: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// Ended with this code, and named each of these on stderr; with `--json` the last line says the same.
#[track_caller]
fn assert_failed(ended: Ended, code: i32, names: &[&str]) {
    let ended = ended.expect_code(code);
    for name in names {
        assert!(
            ended.err.contains(name),
            "{name:?} is not in the message: {}",
            ended.err
        );
    }
    let last = ended.events().pop().unwrap_or_default();
    assert_eq!(last["event"], "error", "{}", ended.out);
    assert!(!ended.err.contains("panicked"), "{}", ended.err);
}

fn shared(lab: &Lab, tracker: &Tracker) -> Sharing {
    let source = lab.folder("source").join("shared.bin");
    fixtures::write_file(&source, 8, 600_000);
    Peer::new(lab, "sharer").tracker(tracker).start_sharing(&source)
}

#[test]
fn an_unknown_hash_is_not_found() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let ended = Peer::new(&lab, "fetcher")
        .tracker(&tracker)
        .get(UNKNOWN, &lab.folder("output"))
        .run();
    assert_failed(ended, 3, &[&UNKNOWN[..8]]);
}

#[test]
fn a_tracker_that_is_not_there_is_named() {
    let lab = Lab::new();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{nobody}");
    let fetcher = Peer::new(&lab, "fetcher").tracker_at(&url);
    let ended = fetcher
        .get(UNKNOWN, &lab.folder("output"))
        .args(["--timeout", "1"])
        .run();
    assert_failed(ended, 4, &[&nobody.to_string()]);
}

#[test]
fn a_seeder_that_is_not_there_is_unreachable() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let sharing = shared(&lab, &tracker);
    let ticket = sharing.ticket.clone();
    drop(sharing.program.kill());
    let ended = Peer::new(&lab, "fetcher")
        .get(&ticket, &lab.folder("output"))
        .args(["--timeout", "1"])
        .run();
    assert_failed(ended, 4, &["shared.bin"]);
}

#[test]
fn an_output_below_a_file_is_a_disk_error_that_names_it() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let sharing = shared(&lab, &tracker);
    let blocked = lab.at("a file");
    std::fs::write(&blocked, "not a folder").unwrap();
    let output = blocked.join("output");
    let ended = Peer::new(&lab, "fetcher").get(&sharing.ticket, &output).run();
    assert_failed(ended, 7, &[output.to_str().unwrap()]);
}

#[test]
fn an_output_that_may_not_be_written_is_a_disk_error_that_names_it() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let sharing = shared(&lab, &tracker);
    let output = lab.folder("read only");
    let fetcher = Peer::new(&lab, "fetcher");
    let ended = unprivileged::own(fetcher.folder(), fetcher.get(&sharing.ticket, &output)).run();
    fixtures::set_mode(&output, 0o755);
    assert_failed(ended, 7, &[output.to_str().unwrap()]);
}

#[test]
fn a_damaged_ticket_is_refused_with_what_is_wrong_with_it() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let ticket = shared(&lab, &tracker).ticket;
    let middle = ticket.len() / 2;
    let swapped = if ticket[middle..].starts_with('a') {
        "b"
    } else {
        "a"
    };
    let damaged = [
        (
            format!("{}{swapped}{}", &ticket[..middle], &ticket[middle + 1..]),
            "checksum",
        ),
        (ticket[..middle].to_owned(), "ticket"),
        (format!("{}!{}", &ticket[..middle], &ticket[middle + 1..]), "!"),
        (format!("{ticket}{ticket}"), "ticket"),
        ("p2p:".to_owned(), "ticket"),
        ("magnet:?xt=urn:btih:0".to_owned(), "neither a ticket"),
        (UNKNOWN[1..].to_owned(), "hash"),
    ];
    for (text, says) in damaged {
        let ended = Peer::new(&lab, "fetcher")
            .tracker(&tracker)
            .get(&text, &lab.folder("output"))
            .run();
        println!("{}", ended.err);
        assert_failed(ended, 2, &[says]);
    }
}

#[test]
fn a_flag_that_does_not_exist_and_a_missing_argument_are_usage() {
    let lab = Lab::new();
    let peer = Peer::new(&lab, "peer");
    for arguments in [&["--no-such-flag"][..], &["--hash", "md5"], &[]] {
        let ended = peer.command("share").args(arguments).run().expect_code(2);
        assert!(
            ended.err.to_lowercase().contains("usage") || ended.err.contains("--help"),
            "{}",
            ended.err
        );
    }
}

#[test]
fn a_path_that_is_not_there_is_named() {
    let lab = Lab::new();
    let missing = lab.at("no such file");
    let ended = Peer::new(&lab, "peer").share(&missing).run();
    assert_failed(ended, 7, &[missing.to_str().unwrap()]);
}

#[test]
fn a_port_that_is_taken_is_named() {
    let lab = Lab::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let listen = Peer::new(&lab, "one").daemon().env("P2P_LISTEN", &address).run();
    assert_failed(listen, 2, &[&address]);
    let api = Peer::new(&lab, "two").daemon().env("P2P_API", &address).run();
    assert_failed(api, 2, &[&address]);
    let ended = Tracker::launch(&lab.folder("tracker"))
        .args(["--listen", &address])
        .run();
    assert!(ended.code.is_some_and(|code| code != 0), "{ended:?}");
    assert!(ended.err.contains(&address), "{}", ended.err);
}

#[test]
fn a_second_daemon_on_a_data_directory_is_refused() {
    let lab = Lab::new();
    let peer = Peer::new(&lab, "peer");
    let first = peer.start_daemon();
    let ended = peer.daemon().run();
    assert_failed(
        ended,
        2,
        &[peer.data().to_str().unwrap(), &first.pid().to_string()],
    );
}

#[test]
fn what_cannot_be_read_in_a_folder_is_named_and_the_rest_is_shared_only_if_asked_to() {
    let lab = Lab::new();
    let folder = lab.folder("partly readable");
    for (name, mode) in [
        ("open.txt", 0o644),
        ("secret.txt", 0o000),
        ("also secret.txt", 0o000),
    ] {
        fixtures::write_file(&folder.join(name), 1, 1000);
        fixtures::set_mode(&folder.join(name), mode);
    }
    let peer = Peer::new(&lab, "peer");
    let ended = unprivileged::own(peer.folder(), peer.share(&folder)).run();
    assert_failed(ended, 7, &["secret.txt", "also secret.txt", "--skip-unreadable"]);

    let peer = Peer::new(&lab, "asked to");
    let sharing = unprivileged::own(peer.folder(), peer.share(&folder).arg("--skip-unreadable")).start();
    let (ticket, line) = sharing.wait_event(0, "ticket");
    assert!(line > 1, "a warning for each comes before the ticket");
    for name in ["secret.txt", "also secret.txt"] {
        assert!(
            sharing.out_text().contains(&format!("partly readable/{name}")),
            "{}",
            sharing.out_text()
        );
    }
    let output = lab.folder("output");
    let _ended = Peer::new(&lab, "fetcher")
        .get(ticket["ticket"].as_str().unwrap(), &output)
        .run()
        .expect_code(0);
    assert_eq!(names(&output.join("partly readable")), ["open.txt"]);
}

fn names(folder: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    std::fs::read_dir(folder).unwrap().map(name).collect()
}

#[test]
fn a_tracker_told_to_listen_to_the_world_wants_a_key() {
    let lab = Lab::new();
    let folder = lab.folder("tracker");
    let database = folder.join("no such folder").join("tracker.sqlite");
    let ended = Tracker::launch(&folder)
        .args(["--listen", "127.0.0.1:0", "--database"])
        .arg(format!("sqlite:{}", database.display()))
        .run();
    assert!(ended.code.is_some_and(|code| code != 0), "{ended:?}");
    assert!(ended.err.contains(database.to_str().unwrap()), "{}", ended.err);
}

#[test]
fn a_value_of_the_environment_that_cannot_be_used_is_named_with_its_variable() {
    let lab = Lab::new();
    let peer = Peer::new(&lab, "peer");
    let get = || peer.get(UNKNOWN, lab.path());
    let ended = get().env("P2P_TIMEOUT", "soon").run();
    assert!(ended.err.contains("P2P_TIMEOUT"), "{}", ended.err);
    ended.expect_code(2);
    let typed = get().args(["--timeout", "soon"]).run();
    assert!(!typed.err.contains("P2P_TIMEOUT"), "{}", typed.err);
    typed.expect_code(2);
}

#[test]
fn a_proxy_is_not_asked_for_a_tracker_on_this_machine() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let source = lab.folder("source").join("shared.bin");
    fixtures::write_file(&source, 8, 600_000);
    let sharer = Peer::new(&lab, "sharer").tracker(&tracker);
    let program = sharer
        .share(&source)
        .env("http_proxy", format!("http://{nobody}"))
        .start();
    let sharing = Sharing::wait(program);
    assert!(sharing.ticket.starts_with("p2p:"));
}
