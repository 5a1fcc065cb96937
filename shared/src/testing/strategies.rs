//! Strategies for property tests: values that everybody must accept, with the odd ones among them often.

use crate::{
    bitfield::Bitfield,
    chunker::{Layout, MAX_SIZE},
    folder_index::{EntryKind, FolderEntry, FolderIndex, INDEX_HEAD},
    hash::HashAlgorithm,
    id::{FileHash, MerkleRoot, PublicKey},
    manifest::{FileName, Manifest, Modified, RelativePath, ShareKind},
    ticket::{MAX_ADDRESSES, MAX_SEEDERS, MAX_TRACKERS, Seeder, Ticket},
};
use proptest::{collection::vec, option, prelude::*, sample::select};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// Layouts of few chunks, of sizes around whole chunks too.
pub fn layout() -> impl Strategy<Value = Layout> {
    prop_oneof![
        0..5_000_000u64,
        (0..20u64, 0..3u64).prop_map(|(chunks, more)| (chunks * 262_144 + more).saturating_sub(1)),
    ]
    .prop_map(|size| Layout::new(size).expect("small"))
}

/// Bitfields of `len` chunks, empty and full ones too.
pub fn bitfield(len: u32) -> impl Strategy<Value = Bitfield> {
    let some = vec(any::<bool>(), len as usize).prop_map(move |bits| {
        let mut field = Bitfield::new(len);
        let held = (0..len).zip(bits).filter(|(_, held)| *held);
        held.for_each(|(chunk, _)| {
            field.set(crate::id::ChunkIndex(chunk));
        });
        field
    });
    prop_oneof![4 => some, 1 => Just(Bitfield::new(len)), 1 => Just(Bitfield::full(len))]
}

/// File names: plain, with spaces and dots, Unicode of any kind, as long as they can be.
pub fn file_name() -> impl Strategy<Value = FileName> {
    let text = prop_oneof![
        "[a-zA-Z0-9 ._-]{1,20}",
        "\\PC{1,12}",
        "[a-c]{250,255}",
        select(vec![
            "-rf",
            "~",
            "con1",
            "com10",
            ".hidden",
            "trailing.",
            "a:",
            "é",
            "e\u{301}",
            "\u{202e}gpj.exe"
        ])
        .prop_map(String::from),
    ];
    text.prop_filter_map("no file name", |text| text.parse().ok())
}

/// Relative paths of few components.
pub fn relative_path() -> impl Strategy<Value = RelativePath> {
    vec(file_name(), 1..6).prop_filter_map("too long a path", |names| {
        let names: Vec<&str> = names.iter().map(FileName::as_str).collect();
        names.join("/").parse().ok()
    })
}

/// Times of last change that may travel.
pub fn modified() -> impl Strategy<Value = Modified> {
    (any::<i64>(), any::<u32>()).prop_map(|(seconds, nanos)| Modified::clamped(seconds, nanos))
}

/// Entries that make a folder, in any order: few different names, so that folders are deep and wide; empty folders and
/// files too.
pub fn folder_entries() -> impl Strategy<Value = Vec<FolderEntry>> {
    let name = prop_oneof![3 => "[a-c-]", 1 => file_name().prop_map(|name| name.as_str().into())];
    let kind = prop_oneof![
        1 => Just(EntryKind::Directory),
        3 => prop_oneof![Just(0), 0..2_000_000u64].prop_map(|size| EntryKind::File { size }),
    ];
    let leaf = (vec(name, 1..5), kind, 0..0o1000u32, modified());
    vec(leaf, 0..40)
        .prop_map(|leaves| {
            let mut entries = BTreeMap::new();
            for (names, kind, mode, modified) in leaves {
                add_leaf(&mut entries, &names, kind, mode, modified);
            }
            entries.into_values().collect::<Vec<_>>()
        })
        .prop_shuffle()
}

/// Adds an entry and the folders above it; a file that stands where a folder is needed becomes one.
fn add_leaf(
    entries: &mut BTreeMap<String, FolderEntry>,
    names: &[String],
    kind: EntryKind,
    mode: u32,
    modified: Modified,
) {
    for depth in 1..=names.len() {
        let path = names[..depth].join("/");
        let folder = depth < names.len();
        let entry = entries.entry(path.clone()).or_insert_with(|| FolderEntry {
            path: path.parse().expect("its names are file names, and few"),
            kind: if folder { EntryKind::Directory } else { kind },
            mode,
            modified,
        });
        if folder {
            entry.kind = EntryKind::Directory;
        }
    }
}

/// Folder indexes.
pub fn folder_index() -> impl Strategy<Value = FolderIndex> {
    folder_entries().prop_map(|entries| FolderIndex::new(entries).expect("the entries make a folder"))
}

/// Manifests of both kinds and algorithms, of any size but 0 (whose hashes are not free).
pub fn manifest() -> impl Strategy<Value = Manifest> {
    let algorithm = select(vec![HashAlgorithm::Sha256, HashAlgorithm::Blake3]);
    let kind = select(vec![ShareKind::File, ShareKind::Folder]);
    let ids = (any::<[u8; 32]>(), any::<[u8; 32]>());
    let size = INDEX_HEAD as u64..=MAX_SIZE;
    (ids, algorithm, size, file_name(), kind, 0..0o1000u32, modified()).prop_map(
        |((hash, root), algorithm, size, name, kind, mode, modified)| Manifest {
            hash: FileHash(hash),
            algorithm,
            size,
            merkle_root: MerkleRoot(root),
            name,
            kind,
            mode,
            modified,
        },
    )
}

/// URLs of trackers.
pub fn tracker_url() -> impl Strategy<Value = String> {
    let host = prop_oneof![
        "[a-z][a-z0-9]{0,20}(\\.[a-z]{2,10}){0,3}",
        any::<Ipv4Addr>().prop_map(|ip| ip.to_string()),
        any::<Ipv6Addr>().prop_map(|ip| format!("[{ip}]")),
    ];
    let port = prop_oneof![
        Just(String::new()),
        (1..=u16::MAX).prop_map(|port| format!(":{port}"))
    ];
    (select(vec!["http", "https"]), host, port, "(/[a-z0-9]{0,9}){0,3}")
        .prop_map(|(scheme, host, port, path)| format!("{scheme}://{host}{port}{path}"))
}

/// Addresses that a peer may have.
pub fn socket_address() -> impl Strategy<Value = SocketAddr> {
    let v4 = (any::<Ipv4Addr>(), any::<u16>()).prop_map(SocketAddr::from);
    let v6 = (any::<Ipv6Addr>(), any::<u16>()).prop_map(SocketAddr::from);
    prop_oneof![v4, v6].prop_filter("nobody has this address", crate::ticket::is_dialable)
}

/// Seeders with up to as many addresses as a ticket has room for.
pub fn seeder() -> impl Strategy<Value = Seeder> {
    (any::<[u8; 32]>(), vec(socket_address(), 0..=MAX_ADDRESSES)).prop_map(|(key, addresses)| Seeder {
        key: PublicKey(key),
        addresses,
    })
}

/// Tickets with up to as much as one has room for.
pub fn ticket() -> impl Strategy<Value = Ticket> {
    let trackers = vec(tracker_url(), 0..=MAX_TRACKERS);
    let seeders = vec(seeder(), 0..=MAX_SEEDERS);
    (manifest(), trackers, seeders, option::of(any::<[u8; 32]>())).prop_map(
        |(manifest, trackers, seeders, secret)| Ticket {
            manifest,
            trackers,
            seeders,
            secret,
        },
    )
}
