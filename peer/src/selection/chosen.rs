//! What a selection comes to in one folder: its entries, and the chunks that hold them.
//!
//! Promises that every byte of every chosen file, and of the index, is in a chosen chunk, and that every chosen chunk has
//! such a byte; and that the folders above whatever is chosen are chosen, so that it has a place.

use super::{Pattern, Selection};
use p2p_shared::{
    bitfield::Bitfield,
    chunker::Layout,
    id::ChunkIndex,
    manifest::{EntryKind, FolderEntry, FolderIndex},
};
use std::{collections::HashMap, ops::Range};

/// The chosen entries of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// For each entry of the index, whether it is wanted.
    entries: Vec<bool>,
    /// How many are not.
    left_out: usize,
    /// Globs to exclude that name nothing, as they were given: no error, but perhaps a slip.
    unused: Vec<String>,
}

/// A selection that selects nothing: why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NothingChosen {
    /// This glob names nothing.
    #[error(
        "nothing in the share matches --include {0:?}; `p2p-peer get --list` with its ticket shows what is in it"
    )]
    Unmatched(String),
    /// Nothing is left.
    #[error(
        "--exclude leaves nothing to fetch; `p2p-peer get --list` with the share's ticket shows what is in it"
    )]
    AllExcluded,
}

/// What has been said of a folder, and holds for all beneath it.
#[derive(Debug, Clone, Copy)]
struct Said {
    included: bool,
    excluded: bool,
}

impl Chosen {
    pub(super) fn of(selection: &Selection, index: &FolderIndex) -> Result<Self, NothingChosen> {
        let mut search = Search::new(selection);
        let mut entries: Vec<bool> = index.entries().iter().map(|entry| search.wants(entry)).collect();
        if let Some(glob) = unused(&selection.include, &search.include_used).next() {
            return Err(NothingChosen::Unmatched(glob));
        }
        if !selection.is_all() && !entries.contains(&true) {
            return Err(NothingChosen::AllExcluded);
        }
        add_parents(&mut entries, index.entries());
        Ok(Self {
            left_out: entries.iter().filter(|wanted| !**wanted).count(),
            unused: unused(&selection.exclude, &search.exclude_used).collect(),
            entries,
        })
    }

    /// Whether the entry at this place of the index is wanted.
    pub fn has(&self, entry: usize) -> bool {
        self.entries.get(entry).copied().unwrap_or(false)
    }

    /// Whether nothing was left out.
    pub fn is_everything(&self) -> bool {
        self.left_out == 0
    }

    /// The globs to exclude that name nothing.
    pub fn unused(&self) -> &[String] {
        &self.unused
    }

    /// The wanted files of `index` (which must be the one it was chosen from), with their places in the stream.
    pub fn files<'a>(
        &'a self,
        index: &'a FolderIndex,
    ) -> impl Iterator<Item = (&'a FolderEntry, Range<u64>)> + 'a {
        let wanted = index.extents().zip(&self.entries);
        wanted
            .filter(|((entry, _), wanted)| **wanted && matches!(entry.kind, EntryKind::File { .. }))
            .map(|(file, _)| file)
    }

    /// The chunks that hold the index and the wanted files.
    pub fn chunks(&self, index: &FolderIndex, layout: Layout) -> Bitfield {
        let mut chunks = Bitfield::new(layout.chunks());
        let files = self.files(index).map(|(_, extent)| extent);
        for bytes in std::iter::once(0..index.index_size()).chain(files) {
            layout.chunks_of(bytes).for_each(|chunk| {
                chunks.set(ChunkIndex(chunk));
            });
        }
        chunks
    }
}

/// A walk over an index, parents before what is in them.
struct Search<'a> {
    selection: &'a Selection,
    folders: HashMap<&'a str, Said>,
    include_used: Vec<bool>,
    exclude_used: Vec<bool>,
}

impl<'a> Search<'a> {
    fn new(selection: &'a Selection) -> Self {
        Self {
            selection,
            folders: HashMap::new(),
            include_used: vec![false; selection.include.len()],
            exclude_used: vec![false; selection.exclude.len()],
        }
    }

    fn wants(&mut self, entry: &'a FolderEntry) -> bool {
        let is_folder = entry.kind == EntryKind::Directory;
        let path = entry.path.as_str();
        let above = self.above(entry);
        let said = Said {
            // All are tried: each has to name something.
            included: named(&self.selection.include, &mut self.include_used, path, is_folder)
                || above.included,
            excluded: named(&self.selection.exclude, &mut self.exclude_used, path, is_folder)
                || above.excluded,
        };
        if is_folder {
            self.folders.insert(path, said);
        }
        said.included && !said.excluded
    }

    /// What holds for the folder that it is in.
    fn above(&self, entry: &FolderEntry) -> Said {
        let parent = entry.path.parent().and_then(|parent| self.folders.get(parent));
        parent.copied().unwrap_or(Said {
            included: self.selection.include.is_empty(),
            excluded: false,
        })
    }
}

/// Whether one of them names the path; notes which ones do.
fn named(patterns: &[Pattern], used: &mut [bool], path: &str, is_folder: bool) -> bool {
    let mut named = false;
    for (pattern, used) in patterns.iter().zip(used) {
        if pattern.names(path, is_folder) {
            (named, *used) = (true, true);
        }
    }
    named
}

fn unused<'a>(patterns: &'a [Pattern], used: &'a [bool]) -> impl Iterator<Item = String> + 'a {
    let unused = patterns.iter().zip(used).filter(|(_, used)| !**used);
    unused.map(|(pattern, _)| pattern.text.clone())
}

/// Whatever is wanted needs the folders that it is in.
fn add_parents(wanted: &mut [bool], entries: &[FolderEntry]) {
    let places: HashMap<&str, usize> = entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| entry.kind == EntryKind::Directory)
        .map(|(place, entry)| (entry.path.as_str(), place))
        .collect();
    // From the inside out: a parent stands before what is in it.
    for (place, entry) in entries.iter().enumerate().rev() {
        let parent = entry.path.parent().and_then(|parent| places.get(parent));
        if let Some(parent) = parent.filter(|_| wanted[place]) {
            wanted[*parent] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use p2p_shared::{
        chunker::CHUNK_SIZE,
        manifest::{Modified, RelativePath},
    };
    use proptest::prelude::*;

    fn entry(path: &str, size: Option<u64>) -> FolderEntry {
        FolderEntry {
            path: path.parse::<RelativePath>().unwrap(),
            kind: size.map_or(EntryKind::Directory, |size| EntryKind::File { size }),
            mode: 0o644,
            modified: Modified::default(),
        }
    }

    fn folder() -> FolderIndex {
        let entries = [
            entry("docs", None),
            entry("docs/a.pdf", Some(10)),
            entry("docs/a.txt", Some(10)),
            entry("docs/empty", None),
            entry("docs/old", None),
            entry("docs/old/b.pdf", Some(10)),
            entry("docs.pdf", Some(10)),
            entry("empty", None),
            entry("x", None),
            entry("x/docs", None),
            entry("x/docs/c", Some(10)),
        ];
        FolderIndex::new(entries.into()).unwrap()
    }

    fn choose(include: &[&str], exclude: &[&str]) -> Result<Chosen, NothingChosen> {
        Selection::new(include, exclude).unwrap().choose(&folder())
    }

    fn chosen(include: &[&str], exclude: &[&str]) -> Vec<String> {
        let (chosen, index) = (choose(include, exclude).unwrap(), folder());
        let wanted = index.entries().iter().enumerate();
        let wanted = wanted.filter(|(place, _)| chosen.has(*place));
        wanted.map(|(_, entry)| entry.path.as_str().to_owned()).collect()
    }

    #[test]
    fn nothing_said_means_everything() {
        assert!(choose(&[], &[]).unwrap().is_everything());
        assert!(choose(&["*"], &[]).unwrap().is_everything());
        assert!(!choose(&["docs"], &[]).unwrap().is_everything());
    }

    #[test]
    fn a_folder_means_all_beneath_it_and_what_is_chosen_has_its_folders() {
        assert_eq!(
            chosen(&["/docs"], &[]),
            [
                "docs",
                "docs/a.pdf",
                "docs/a.txt",
                "docs/empty",
                "docs/old",
                "docs/old/b.pdf"
            ]
        );
        assert_eq!(
            chosen(&["docs/old/*"], &[]),
            ["docs", "docs/old", "docs/old/b.pdf"]
        );
        assert_eq!(chosen(&["x/docs/**"], &[]), ["x", "x/docs", "x/docs/c"]);
        assert_eq!(
            chosen(&["docs"], &["/docs"]),
            ["x", "x/docs", "x/docs/c"],
            "without a slash: at any depth"
        );
    }

    #[test]
    fn what_is_excluded_stays_excluded() {
        assert_eq!(
            chosen(&["*.pdf", "docs/old/b.pdf"], &["docs/old"]),
            ["docs", "docs.pdf", "docs/a.pdf"]
        );
        assert_eq!(
            chosen(&["/docs"], &["*.pdf", "empty", "old/"]),
            ["docs", "docs/a.txt"]
        );
        assert_eq!(
            chosen(&[], &["docs"]),
            ["docs.pdf", "empty", "x"],
            "also when only that is said"
        );
    }

    #[test]
    fn empty_folders_follow_their_globs() {
        assert_eq!(chosen(&["empty/"], &[]), ["docs", "docs/empty", "empty"]);
        assert!(!chosen(&["*.txt"], &[]).contains(&"empty".to_owned()));
    }

    #[test]
    fn a_glob_to_include_that_names_nothing_is_an_error_and_one_to_exclude_is_not() {
        assert_eq!(
            choose(&["*.pdf", "*.iso"], &[]),
            Err(NothingChosen::Unmatched("*.iso".into()))
        );
        assert!(choose(&["*.pdf"], &["docs.pdf", "/docs"]).is_err());
        assert_eq!(
            choose(&["docs/a.pdf"], &["*.pdf"]),
            Err(NothingChosen::AllExcluded)
        );
        assert_eq!(choose(&[], &["*.iso", "*.pdf"]).unwrap().unused(), ["*.iso"]);
        // It names something, though that is excluded.
        assert!(choose(&["docs/old/b.pdf", "x"], &["old"]).is_ok());
    }

    #[test]
    fn an_empty_folder_can_be_wanted_whole() {
        let index = FolderIndex::new(Vec::new()).unwrap();
        assert!(Selection::default().choose(&index).unwrap().is_everything());
    }

    /// A few folders of a few files, and the sizes of those.
    fn folders() -> impl Strategy<Value = FolderIndex> {
        let size = prop_oneof![Just(0), 1..2000u64, 1..4 * u64::from(CHUNK_SIZE)];
        proptest::collection::btree_map(("[a-c]{1,2}", "[a-c]{1,2}"), size, 0..30).prop_map(|files| {
            let mut entries: HashMap<String, FolderEntry> = HashMap::new();
            for ((folder, name), size) in files {
                entries.insert(folder.clone(), entry(&folder, None));
                let path = format!("{folder}/{name}.f");
                entries.insert(path.clone(), entry(&path, Some(size)));
            }
            FolderIndex::new(entries.into_values().collect()).unwrap()
        })
    }

    proptest! {
        #[test]
        fn chunks_cover_every_wanted_byte_and_nothing_that_has_none(
            index in folders(), glob in "[a-c?*]{1,3}(/[a-c*]{1,2})?", exclude in "[a-c]{1,2}",
        ) {
            let selection = Selection::new(&[glob], &[exclude]).unwrap();
            let Ok(chosen) = selection.choose(&index) else { return Ok(()) };
            let layout = Layout::new(index.stream_size()).unwrap();
            let chunks = chosen.chunks(&index, layout);
            let mut wanted: Vec<Range<u64>> = chosen.files(&index).map(|(_, extent)| extent).collect();
            wanted.push(0..index.index_size());
            wanted.retain(|bytes| !bytes.is_empty());
            for bytes in &wanted {
                let (first, last) = (bytes.start / u64::from(CHUNK_SIZE), (bytes.end - 1) / u64::from(CHUNK_SIZE));
                prop_assert!((first..=last).all(|chunk| chunks.has(ChunkIndex(chunk as u32))));
            }
            for chunk in chunks.ones() {
                let extent = layout.extent(chunk);
                prop_assert!(wanted.iter().any(|bytes| bytes.start < extent.end && extent.start < bytes.end));
            }
        }

        #[test]
        fn a_file_is_chosen_if_it_or_a_folder_above_it_is_named_and_none_is_excluded(
            index in folders(), include in "[a-c]{1,2}(\\.f)?", exclude in "[a-c]{1,2}(\\.f)?",
        ) {
            let selection = Selection::new(&[&include], &[&exclude]).unwrap();
            let Ok(chosen) = selection.choose(&index) else { return Ok(()) };
            for (place, entry) in index.entries().iter().enumerate() {
                let has = |name: &str| entry.path.as_str().split('/').any(|part| part == name);
                if entry.kind != EntryKind::Directory {
                    prop_assert_eq!(chosen.has(place), has(&include) && !has(&exclude));
                }
            }
        }
    }
}
