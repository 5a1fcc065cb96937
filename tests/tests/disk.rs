//! A disk that is full ends a download with a reason, corrupts nothing, and the same command goes on when there is room.

use std::path::PathBuf;
use std::process::Command;

use p2p_tests::fixtures;
use p2p_tests::lab::Lab;
use p2p_tests::programs::{Peer, Tracker};
use p2p_tests::tree;

/// A file system of its own size; unmounted when the value is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None when this user may not mount; in CI that is a failure, since the test must not be lost unseen.
    fn mount(lab: &Lab, mib: u32) -> Option<Self> {
        let path = lab.folder("small disk");
        let size = format!("size={mib}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "p2p-test"])
            .arg(&path)
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(path)),
            refused => {
                assert!(
                    std::env::var_os("CI").is_none(),
                    "in CI this must run; mount says {refused:?}"
                );
                eprintln!("skipped: mount says {refused:?}");
                None
            }
        }
    }

    fn resize(&self, mib: u32) {
        let size = format!("remount,size={mib}m");
        let done = Command::new("mount")
            .args(["-o", &size])
            .arg(&self.0)
            .status()
            .unwrap();
        assert!(done.success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let done = Command::new("umount").arg(&self.0).status();
        if !done.is_ok_and(|status| status.success()) {
            eprintln!("{} stays mounted", self.0.display());
        }
    }
}

#[test]
fn a_download_that_waits_for_room_is_listed_as_paused_with_the_reason() {
    let lab = Lab::new();
    let Some(disk) = SmallDisk::mount(&lab, 16) else {
        return;
    };
    let tracker = Tracker::start(&lab);
    let source = lab.at("too large.bin");
    fixtures::write_file(&source, 12, 40 << 20);
    let sharing = Peer::new(&lab, "sharer").tracker(&tracker).start_sharing(&source);
    let fetcher = Peer::new(&lab, "fetcher").tracker(&tracker);
    let _daemon = fetcher.start_daemon();
    fetcher.get(&sharing.ticket, &disk.0).run().expect_code(7);
    for (command, arguments) in [("list", vec![]), ("status", vec![sharing.hash.as_str()])] {
        let ended = fetcher.command(command).args(arguments).run().expect_code(0);
        let entry = ended.events().pop().unwrap();
        assert_eq!(entry["state"], "paused", "{entry}");
        assert!(
            entry["reason"]
                .as_str()
                .is_some_and(|reason| reason.contains("small disk")),
            "{entry}"
        );
    }
}

#[test]
fn a_full_disk_is_named_and_with_room_the_same_command_goes_on() {
    let lab = Lab::new();
    let Some(disk) = SmallDisk::mount(&lab, 16) else {
        return;
    };
    let tracker = Tracker::start(&lab);
    let source = lab.at("too large.bin");
    fixtures::write_file(&source, 12, 40 << 20);
    let sharing = Peer::new(&lab, "sharer").tracker(&tracker).start_sharing(&source);
    let fetcher = Peer::new(&lab, "fetcher").tracker(&tracker);

    let ended = fetcher.get(&sharing.ticket, &disk.0).run().expect_code(7);
    assert!(ended.err.contains("small disk"), "which disk: {}", ended.err);
    assert!(!disk.0.join("too large.bin").exists());

    disk.resize(64);
    let ended = fetcher.get(&sharing.ticket, &disk.0).run().expect_code(0);
    tree::assert_same(&source, &disk.0.join("too large.bin"));
    let done = ended.events().pop().unwrap();
    let fetched = done["bytes_by_path"]["direct"].as_u64().unwrap();
    assert!(
        fetched < 40 << 20,
        "what was there before the disk was full is not fetched again: {fetched}"
    );
}
