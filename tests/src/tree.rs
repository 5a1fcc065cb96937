//! Compares two files or folders: names, kinds, contents, modes, modification times.
//!
//! Promises to look at everything below both and to name each difference by its path. Symbolic links are looked at, not followed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::fixtures;

/// So many differences are printed.
const SHOWN: usize = 12;

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    kind: &'static str,
    mode: u32,
    modified: (i64, i64),
    size: u64,
    hash: String,
}

/// Fails the test unless both are the same in everything.
#[track_caller]
pub fn assert_same(expected: &Path, found: &Path) {
    let (left, right) = (read(expected), read(found));
    let mut report = String::new();
    let mut differences = 0;
    let paths: std::collections::BTreeSet<_> = left.keys().chain(right.keys()).collect();
    for path in paths {
        let (a, b) = (left.get(path), right.get(path));
        if a == b {
            continue;
        }
        differences += 1;
        if differences <= SHOWN {
            writeln!(report, "  {path:?}\n    expected {a:?}\n    found    {b:?}")
                .expect("a string takes all");
        }
    }
    assert!(
        differences == 0,
        "{} and {} differ in {differences} of {} entries:\n{report}",
        expected.display(),
        found.display(),
        left.len()
    );
}

fn read(root: &Path) -> BTreeMap<PathBuf, Entry> {
    let mut entries = BTreeMap::new();
    let mut open = vec![PathBuf::new()];
    while let Some(below) = open.pop() {
        let path = if below.as_os_str().is_empty() {
            root.to_owned()
        } else {
            root.join(&below)
        };
        let entry = entry(&path);
        if entry.kind == "folder" {
            for inside in fs::read_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())) {
                open.push(below.join(inside.expect("a directory entry").file_name()));
            }
        }
        entries.insert(below, entry);
    }
    entries
}

fn entry(path: &Path) -> Entry {
    let meta = fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let kind = if meta.is_dir() {
        "folder"
    } else if meta.is_file() {
        "file"
    } else {
        "something else"
    };
    let is_file = kind == "file";
    Entry {
        kind,
        mode: meta.mode() & 0o7777,
        modified: (meta.mtime(), meta.mtime_nsec()),
        size: if is_file { meta.len() } else { 0 },
        hash: if is_file {
            fixtures::blake3(path)
        } else {
            String::new()
        },
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;
    use crate::lab::Lab;

    fn differ(left: &Path, right: &Path) -> bool {
        catch_unwind(|| assert_same(left, right)).is_err()
    }

    #[test]
    fn every_kind_of_difference_is_found() {
        let lab = Lab::new();
        let (left, right) = (lab.at("left"), lab.at("right"));
        fixtures::write_folder(&left, 1, 60, 100);
        fixtures::write_folder(&right, 1, 60, 100);
        assert_same(&left, &right);
        let file = right.join("odd names").join("emoji 🦀");
        let (folder, meta) = (right.join("empty folder"), fs::metadata(&file).unwrap());
        let (seconds, nanos) = (
            meta.mtime().unsigned_abs(),
            u32::try_from(meta.mtime_nsec()).unwrap(),
        );

        let mode = meta.mode() & 0o7777;
        fixtures::set_mode(&file, mode ^ 0o100);
        assert!(differ(&left, &right), "a mode");
        fixtures::set_mode(&file, mode);
        fixtures::set_modified(&file, seconds, nanos ^ 1);
        assert!(differ(&left, &right), "a nanosecond");
        fixtures::set_modified(&file, seconds, nanos);
        assert_same(&left, &right);

        let bytes = fs::read(&file).unwrap();
        let changed: Vec<u8> = bytes.iter().map(|byte| byte ^ 1).collect();
        fs::write(&file, changed).unwrap();
        fixtures::set_modified(&file, seconds, nanos);
        assert!(differ(&left, &right), "a byte");
        fs::write(&file, bytes).unwrap();
        fixtures::set_modified(&file, seconds, nanos);
        assert_same(&left, &right);

        fs::remove_dir(&folder).unwrap();
        assert!(differ(&left, &right), "an empty folder is missing");
    }
}
