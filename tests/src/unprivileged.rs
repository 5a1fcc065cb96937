//! Runs a program as a user to whom permissions mean something.
//!
//! Tests of what may not be read or written are meaningless as root. Run by root, the program becomes *nobody*, in folders that
//! are given to nobody; run by anybody else, nothing is changed.

use std::os::unix::fs::chown;
use std::path::Path;

use crate::process::Launch;

/// Debian's `nobody` and `nogroup`.
const NOBODY: u32 = 65534;

/// The same program without privileges, with `folder` and what is in it its own.
pub fn own(folder: &Path, launch: Launch) -> Launch {
    if !rustix::process::getuid().is_root() {
        return launch;
    }
    give(folder);
    let id = NOBODY.to_string();
    launch.within(folder).under([
        "setpriv",
        "--reuid",
        &id,
        "--regid",
        &id,
        "--clear-groups",
        "--no-new-privs",
        "--",
    ])
}

fn give(folder: &Path) {
    chown(folder, Some(NOBODY), Some(NOBODY)).expect("only root comes here");
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            give(&path);
        }
    }
}
