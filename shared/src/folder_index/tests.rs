use super::{encoding::VERSION, *};
use crate::{name::NameError, testing};
use proptest::prelude::*;

const EPOCH: Modified = Modified { seconds: 0, nanos: 0 };

fn entry(path: &str, kind: EntryKind) -> FolderEntry {
    FolderEntry {
        path: path.parse().unwrap(),
        kind,
        mode: 0o644,
        modified: EPOCH,
    }
}

fn file(path: &str, size: u64) -> FolderEntry {
    entry(path, EntryKind::File { size })
}

fn folder(path: &str) -> FolderEntry {
    entry(path, EntryKind::Directory)
}

fn path(text: &str) -> RelativePath {
    text.parse().unwrap()
}

/// An entry as bytes, written without any check.
fn raw(kind: u8, mode: u16, modified: Modified, path: &[u8], size: Option<u64>) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(mode.to_be_bytes());
    bytes.extend(modified.seconds.to_be_bytes());
    bytes.extend(modified.nanos.to_be_bytes());
    bytes.extend((path.len() as u16).to_be_bytes());
    bytes.extend(path);
    bytes.extend(size.iter().flat_map(|size| size.to_be_bytes()));
    bytes
}

fn raw_file(path: &str, size: u64) -> Vec<u8> {
    raw(1, 0o644, EPOCH, path.as_bytes(), Some(size))
}

fn raw_folder(path: &str) -> Vec<u8> {
    raw(0, 0o755, EPOCH, path.as_bytes(), None)
}

fn head(count: u32, length: u64) -> Vec<u8> {
    [&b"p2p-fold\x01"[..], &count.to_be_bytes(), &length.to_be_bytes()].concat()
}

/// An index of these entries, with the head that belongs to them.
fn index(entries: &[Vec<u8>]) -> Vec<u8> {
    let body = entries.concat();
    let length = INDEX_HEAD + body.len();
    [head(entries.len() as u32, length as u64), body].concat()
}

fn refusal(entries: &[Vec<u8>]) -> IndexError {
    FolderIndex::decode(&index(entries)).unwrap_err()
}

#[test]
fn the_bytes_of_an_index_stay_the_same() {
    let mut script = file("b/run", 5);
    script.mode = 0o755;
    script.modified = Modified {
        seconds: -1,
        nanos: 999_999_999,
    };
    let index = FolderIndex::new(vec![script, folder("b"), file("a", 0)]).unwrap();
    let expected = concat!(
        "7032702d666f6c64",
        "01",
        "00000003",
        "000000000000005f",
        // a, a file of no bytes
        "01",
        "01a4",
        "0000000000000000",
        "00000000",
        "0001",
        "61",
        "0000000000000000",
        // b, a folder
        "00",
        "01a4",
        "0000000000000000",
        "00000000",
        "0001",
        "62",
        // b/run
        "01",
        "01ed",
        "ffffffffffffffff",
        "3b9ac9ff",
        "0005",
        "622f72756e",
        "0000000000000005",
    );
    assert_eq!(hex::encode(index.encode()), expected);
    assert_eq!(index.index_size(), 0x5f);
    assert_eq!(index.stream_size(), 0x5f + 5);
}

#[test]
fn an_empty_folder_is_a_head_alone() {
    let empty = FolderIndex::new(vec![]).unwrap();
    assert_eq!(empty.encode(), head(0, INDEX_HEAD as u64));
    assert_eq!(empty.stream_size(), INDEX_HEAD as u64);
    assert_eq!(FolderIndex::decode(&empty.encode()), Ok(empty));
}

#[test]
fn entries_are_sorted_by_bytes_and_folders_come_first() {
    let index = FolderIndex::new(vec![
        file("a/b", 1),
        file("a-b", 1),
        folder("a"),
        file("Z", 1),
        file("é", 1),
    ])
    .unwrap();
    let paths: Vec<_> = index.entries().iter().map(|entry| entry.path.as_str()).collect();
    // '-' is less than '/': another file may stand between a folder and what lies in it.
    assert_eq!(paths, ["Z", "a", "a-b", "a/b", "é"]);
    assert_eq!(FolderIndex::decode(&index.encode()), Ok(index));
}

#[test]
fn bytes_that_are_not_the_canonical_ones_are_refused() {
    let a = || raw_file("a", 1);
    for (entries, why) in [
        (vec![raw_file("b", 1), a()], IndexError::Unsorted(path("a"))),
        (
            vec![raw_folder("b"), raw_file("b/x", 1), a()],
            IndexError::Unsorted(path("a")),
        ),
        (vec![a(), a()], IndexError::Duplicate(path("a"))),
        (vec![raw_folder("a"), a()], IndexError::Duplicate(path("a"))),
        (vec![raw_file("a/b", 1)], IndexError::MissingParent(path("a/b"))),
        (
            vec![raw_folder("a"), raw_file("a/b/c", 1)],
            IndexError::MissingParent(path("a/b/c")),
        ),
        (
            vec![raw_folder("A"), raw_file("a/b", 1)],
            IndexError::MissingParent(path("a/b")),
        ),
        (
            vec![a(), raw_file("a/b", 1)],
            IndexError::FileAsDirectory(path("a/b")),
        ),
        (
            vec![a(), raw_file("a-", 1), raw_folder("a/b")],
            IndexError::FileAsDirectory(path("a/b")),
        ),
        (
            vec![a(), raw(2, 0o644, EPOCH, b"b", None)],
            IndexError::Kind { entry: 1, kind: 2 },
        ),
        (
            vec![raw(1, 0o4755, EPOCH, b"a", Some(1))],
            IndexError::Mode {
                path: path("a"),
                mode: 0o4755,
            },
        ),
        (
            vec![raw_file("a", u64::MAX), raw_file("b", 1)],
            IndexError::FilesTooLarge,
        ),
        (vec![raw_file("a", MAX_SIZE)], IndexError::FilesTooLarge),
    ] {
        assert_eq!(refusal(&entries), why);
    }
}

#[test]
fn times_that_nobody_can_mean_are_refused() {
    for modified in [
        Modified {
            seconds: 0,
            nanos: 1_000_000_000,
        },
        Modified {
            seconds: i64::MIN,
            nanos: 0,
        },
        Modified {
            seconds: i64::MAX,
            nanos: 0,
        },
    ] {
        let path = path("a");
        assert_eq!(
            refusal(&[raw(1, 0o644, modified, b"a", Some(1))]),
            IndexError::Modified { path, modified }
        );
    }
}

#[test]
fn paths_that_lead_elsewhere_are_refused_with_their_entry() {
    let good = raw_file("a", 1);
    let names: [(&[u8], NameError); 6] = [
        (b"", NameError::Empty),
        (b"/etc/passwd", NameError::Absolute),
        (b"a/../../x", NameError::Dots { name: "..".into() }),
        (b"b//c", NameError::Empty),
        (b"\xff", NameError::NotUtf8 { name: vec![0xff] }),
        (&[b'a'; 5_000], NameError::PathTooLong { length: 5_000 }),
    ];
    for (name, error) in names {
        let mut bytes = index(&[good.clone(), raw(1, 0o644, EPOCH, name, Some(1))]);
        if name.is_empty() {
            // Too short an index for two entries would be refused before its names are read.
            bytes = index(&[good.clone(), raw(1, 0o644, EPOCH, b"", Some(1))]);
        }
        assert_eq!(
            FolderIndex::decode(&bytes),
            Err(IndexError::Name { entry: 1, error })
        );
    }
}

#[test]
fn an_index_cut_anywhere_or_with_more_behind_it_is_refused() {
    let whole = FolderIndex::new(vec![folder("a"), file("a/b", 7), file("c", 0)])
        .unwrap()
        .encode();
    for cut in 0..whole.len() {
        assert_eq!(
            FolderIndex::decode(&whole[..cut]),
            Err(IndexError::Truncated),
            "{cut} bytes"
        );
    }
    let more = [whole.as_slice(), &[0, 0]].concat();
    assert_eq!(FolderIndex::decode(&more), Err(IndexError::Trailing(2)));
}

#[test]
fn the_length_in_the_head_is_the_one_of_the_index() {
    let body = [raw_folder("a"), raw_folder("b")].concat();
    let right = (INDEX_HEAD + body.len()) as u64;
    let with = |count, length| FolderIndex::decode(&[head(count, length), body.clone()].concat());
    assert!(with(2, right).is_ok());
    assert_eq!(with(2, right - 1), Err(IndexError::Length(right - 1)));
    assert_eq!(with(2, right + 1), Err(IndexError::Truncated));
    assert_eq!(with(3, right), Err(IndexError::Length(right)));
    assert_eq!(with(1, right), Err(IndexError::Trailing(body.len() / 2)));
}

#[test]
fn a_head_is_bounded_before_anything_is_allocated_for_it() {
    let length = |bytes: Vec<u8>| FolderIndex::encoded_length(&bytes.try_into().unwrap());
    assert_eq!(length(head(1, 100)), Ok(100));
    assert_eq!(length(head(MAX_ENTRIES, MAX_INDEX)), Ok(MAX_INDEX));
    assert_eq!(
        length(head(MAX_ENTRIES + 1, MAX_INDEX)),
        Err(IndexError::TooManyEntries(u64::from(MAX_ENTRIES) + 1))
    );
    assert_eq!(
        length(head(1, MAX_INDEX + 1)),
        Err(IndexError::IndexTooLarge(MAX_INDEX + 1))
    );
    assert_eq!(
        length(head(1, u64::MAX)),
        Err(IndexError::IndexTooLarge(u64::MAX))
    );
    // A million entries do not fit into so few bytes.
    assert_eq!(length(head(MAX_ENTRIES, 1_000)), Err(IndexError::Length(1_000)));
    assert_eq!(length(head(0, 0)), Err(IndexError::Length(0)));
    // Nor are they there only because the head says so.
    assert_eq!(
        FolderIndex::decode(&head(MAX_ENTRIES, MAX_INDEX)),
        Err(IndexError::Truncated)
    );

    let mut other = head(0, INDEX_HEAD as u64);
    other[8] = VERSION + 1;
    assert_eq!(length(other), Err(IndexError::Version(VERSION + 1)));
    assert_eq!(length(vec![0; INDEX_HEAD]), Err(IndexError::Magic));
}

#[test]
fn a_folder_with_too_much_in_it_is_refused_when_it_is_shared() {
    let too_many = u64::from(MAX_ENTRIES) + 1;
    assert_eq!(
        FolderIndex::new(vec![file("a", 0); too_many as usize]),
        Err(IndexError::TooManyEntries(too_many))
    );
    // Fewer entries than are allowed, but more bytes (not made here: they would take as much memory).
    assert_eq!(check_bounds(70_000, MAX_INDEX), Ok(()));
    assert_eq!(
        check_bounds(70_000, MAX_INDEX + 1),
        Err(IndexError::IndexTooLarge(MAX_INDEX + 1))
    );
}

#[test]
fn an_entry_is_found_by_where_its_bytes_lie() {
    let index = FolderIndex::new(vec![
        file("a", 0),
        file("b", 10),
        folder("c"),
        file("c/empty", 0),
        file("d", 5),
        file("e", 0),
    ])
    .unwrap();
    let start = index.index_size();
    let at = |offset| {
        index
            .file_at(start + offset)
            .map(|(entry, _)| entry.path.to_string())
    };
    assert_eq!(index.file_at(0), None);
    assert_eq!(index.file_at(start - 1), None);
    assert_eq!(at(0).as_deref(), Some("b"));
    assert_eq!(at(9).as_deref(), Some("b"));
    assert_eq!(at(10).as_deref(), Some("d"));
    assert_eq!(at(14).as_deref(), Some("d"));
    assert_eq!(at(15), None);
    assert_eq!(index.file_at(u64::MAX), None);
    let extents: Vec<_> = index
        .extents()
        .map(|(_, extent)| extent.start - start..extent.end - start)
        .collect();
    assert_eq!(extents, [0..0, 0..10, 10..10, 10..10, 10..15, 15..15]);
}

proptest! {
    #[test]
    fn an_index_reads_back_and_has_one_encoding(entries in testing::folder_entries()) {
        let index = FolderIndex::new(entries.clone()).unwrap();
        let bytes = index.encode();
        prop_assert_eq!(bytes.len() as u64, index.index_size());
        let head: [u8; INDEX_HEAD] = bytes[..INDEX_HEAD].try_into().unwrap();
        prop_assert_eq!(FolderIndex::encoded_length(&head), Ok(index.index_size()));
        prop_assert_eq!(FolderIndex::decode(&bytes), Ok(index.clone()));
        let reversed = entries.into_iter().rev().collect();
        prop_assert_eq!(FolderIndex::new(reversed).unwrap().encode(), bytes);
        let files: u64 = index.entries().iter().map(FolderEntry::size).sum();
        prop_assert_eq!(index.stream_size(), index.index_size() + files);
    }

    #[test]
    fn changed_bytes_are_refused_or_mean_exactly_themselves(
        index in testing::folder_index(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = index.encode();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(other) = FolderIndex::decode(&bytes) {
            prop_assert_eq!(other.encode(), bytes);
        }
    }

    #[test]
    fn any_bytes_behind_a_head_are_refused_or_mean_exactly_themselves(
        count in 0..4u32,
        body in prop::collection::vec(prop_oneof![3 => Just(0u8), 2 => 0..5u8, 1 => any::<u8>()], 0..120),
    ) {
        let bytes = [head(count, (INDEX_HEAD + body.len()) as u64), body].concat();
        if let Ok(index) = FolderIndex::decode(&bytes) {
            prop_assert_eq!(index.encode(), bytes);
        }
    }

    #[test]
    fn files_in_a_range_are_exactly_those_that_overlap_it(
        index in testing::folder_index(),
        a in any::<prop::sample::Index>(),
        b in any::<prop::sample::Index>(),
    ) {
        let size = index.stream_size() as usize + 2;
        let (a, b) = (a.index(size) as u64, b.index(size) as u64);
        let bytes = a.min(b)..a.max(b);
        let found: Vec<_> = index.files_in(bytes.clone()).collect();
        let overlapping = index.extents().filter(|(_, extent)| extent.start.max(bytes.start) < extent.end.min(bytes.end));
        prop_assert_eq!(found, overlapping.collect::<Vec<_>>());
    }
}
