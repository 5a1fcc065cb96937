//! One file or folder as others may fetch it: a share, read where it lies, or a download that is not yet complete.
//!
//! Promise: a chunk that [`Served::read_chunk`] hands out is what its hash says. A share's files are compared with
//! what they were when they were hashed, before and after every read, and on any difference the chunk is hashed
//! before it may go out; chunks of a download are hashed always, for its files change as we write them.
//! Used from many threads at once, off the store's mailbox; every read is blocking.

use super::{
    check::Check,
    error::ReadError,
    handle::VerifyReport,
    import::{
        Import,
        reader::{Seen, SourceError, SourceReader},
        settle,
    },
    job::Job,
    open_files::OpenFiles,
};
use crate::metrics::{self, DiskWork};
use p2p_shared::{
    bitfield::Bitfield,
    chunker::Layout,
    id::{ChunkHash, ChunkIndex},
    manifest::{FolderIndex, Manifest},
};
use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// A share or a download, to be read chunk by chunk.
#[derive(Debug)]
pub struct Served {
    content: Content,
}

#[derive(Debug)]
enum Content {
    Share(Box<Share>),
    Partial(Arc<Job>),
}

#[derive(Debug)]
struct Share {
    manifest: Manifest,
    layout: Layout,
    hashes: Arc<[ChunkHash]>,
    reader: SourceReader,
    /// A file that was found to be something else than what was shared.
    changed: Mutex<Option<PathBuf>>,
}

impl Served {
    pub(super) fn share(import: Import, files: OpenFiles) -> Self {
        let share = Share {
            layout: import.manifest.layout(),
            manifest: import.manifest,
            hashes: import.hashes,
            reader: SourceReader::new(import.source, files),
            changed: Mutex::new(None),
        };
        Self {
            content: Content::Share(Box::new(share)),
        }
    }

    pub(super) fn partial(job: Arc<Job>) -> Self {
        Self {
            content: Content::Partial(job),
        }
    }

    /// What it is.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        match &self.content {
            Content::Share(share) => &share.manifest,
            Content::Partial(job) => job.manifest(),
        }
    }

    /// The hashes of its chunks.
    #[must_use]
    pub fn hashes(&self) -> &Arc<[ChunkHash]> {
        match &self.content {
            Content::Share(share) => &share.hashes,
            Content::Partial(job) => job.hashes(),
        }
    }

    /// The chunks that can be read at this moment: all of a share.
    #[must_use]
    pub fn held(&self) -> Bitfield {
        match &self.content {
            Content::Share(share) => Bitfield::full(share.layout.chunks()),
            Content::Partial(job) => job.held(),
        }
    }

    /// What is in the folder, if it is one and that is known.
    #[must_use]
    pub fn index(&self) -> Option<Arc<FolderIndex>> {
        match &self.content {
            Content::Share(share) => share.reader.source().index().cloned().map(Arc::new),
            Content::Partial(job) => job.index(),
        }
    }

    /// Whether it is a download that goes on.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        matches!(self.content, Content::Partial(_))
    }

    /// The first file that was found to be no longer what was shared, since this was opened.
    #[must_use]
    pub fn changed(&self) -> Option<PathBuf> {
        match &self.content {
            Content::Share(share) => share
                .changed
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
            Content::Partial(_) => None,
        }
    }

    /// Appends exactly the chunk's bytes to `out`; on an error `out` is as it was. Blocking.
    pub fn read_chunk(&self, chunk: ChunkIndex, out: &mut Vec<u8>) -> Result<(), ReadError> {
        match &self.content {
            Content::Share(share) => share.read_chunk(chunk, out),
            Content::Partial(job) => job.read_chunk(chunk, out),
        }
    }

    /// Fills `out`, which is as long as the chunk, if it takes no waiting for a disk and no hashing; else what is in it means
    /// nothing. Takes some ten microseconds.
    pub fn read_cached(&self, chunk: ChunkIndex, out: &mut [u8]) -> bool {
        match &self.content {
            Content::Share(share) => {
                share.layout.contains(chunk) && share.reader.read_cached(share.layout.extent(chunk), out)
            }
            // What is written to is checked against its hash when it is read.
            Content::Partial(_) => false,
        }
    }
}

impl Share {
    fn read_chunk(&self, chunk: ChunkIndex, out: &mut Vec<u8>) -> Result<(), ReadError> {
        let Some(hash) = self.hashes.get(chunk.0 as usize) else {
            return Err(ReadError::NotHeld(chunk));
        };
        let before = out.len();
        let read = metrics::disk(DiskWork::Read, || {
            self.reader.read(self.layout.extent(chunk), out)
        });
        let file = match read {
            Ok(Seen::AsRecorded) => return Ok(()),
            Ok(Seen::Differs(file)) => file,
            Err(SourceError::Gone(file)) => return Err(self.has_changed(file)),
            Err(SourceError::Disk(error)) => return Err(ReadError::Io(error)),
        };
        let (_, bytes) = out.split_at(before);
        if self.manifest.algorithm.hash_chunk(self.layout, chunk, bytes) == *hash {
            return Ok(());
        }
        out.truncate(before);
        Err(self.has_changed(file))
    }

    fn has_changed(&self, file: u32) -> ReadError {
        let path = self.reader.source().path(file);
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        changed.get_or_insert_with(|| path.clone());
        ReadError::Changed { path }
    }
}

/// Reads a whole share and compares it with its hashes. If all of it is right although files were touched, the share
/// comes back with the identities that they have now.
pub(super) fn verify(
    import: Import,
    files: OpenFiles,
    progress: &(dyn Fn(u64) + Sync),
) -> (VerifyReport, Option<Import>) {
    let recorded = import.source.clone();
    // What is read must be as it is now, before and after; then these are the identities of the right bytes.
    let now = recorded.look_again().filter(|now| settle(now.identities()));
    let was_touched = now.as_ref().is_some_and(|now| *now != recorded);
    let source = now.unwrap_or(recorded);
    let reader = SourceReader::new(source.clone(), files);
    let steady = AtomicBool::new(true);
    let layout = import.manifest.layout();
    let check = Check {
        algorithm: import.manifest.algorithm,
        layout,
        hashes: &import.hashes,
        read: &|chunk, out| {
            let seen = reader.read(layout.extent(chunk), out);
            if !matches!(seen, Ok(Seen::AsRecorded)) {
                steady.store(false, Ordering::Relaxed);
            }
            seen.is_ok()
        },
        progress,
    };
    let chunks: Vec<ChunkIndex> = layout.indices().collect();
    let wrong = check.wrong(&chunks);
    let files: BTreeSet<u32> = wrong
        .iter()
        .flat_map(|chunk| source.files_in(layout.extent(*chunk)))
        .collect();
    let report = VerifyReport {
        checked: layout.chunks(),
        files: files.into_iter().map(|file| source.path(file)).collect(),
        wrong,
    };
    let refresh = was_touched && report.wrong.is_empty() && steady.into_inner();
    (report, refresh.then_some(Import { source, ..import }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::import::{HashOptions, ScanOptions, SourceLayout, hash, share_scan};
    use p2p_shared::{chunker::CHUNK_SIZE, hash::HashAlgorithm};
    use std::{fs, os::unix::fs::FileExt as _, path::Path};
    use tokio_util::sync::CancellationToken;

    const CHUNK: usize = CHUNK_SIZE as usize;

    fn serve(path: &Path) -> Served {
        let options = HashOptions {
            algorithm: HashAlgorithm::Sha256,
            cache: None,
            progress: &|_| {},
            cancel: &CancellationToken::new(),
        };
        let import = hash(share_scan(path, ScanOptions::default()).unwrap(), options).unwrap();
        Served::share(import, OpenFiles::new(4))
    }

    fn read(served: &Served, chunk: u32) -> Result<Vec<u8>, ReadError> {
        let mut out = b"before".to_vec();
        let length = served.manifest().layout().length(ChunkIndex(chunk));
        let mut at_once = vec![0; length as usize];
        let was_at_once = served.read_cached(ChunkIndex(chunk), &mut at_once);
        let result = served.read_chunk(ChunkIndex(chunk), &mut out);
        assert!(out.starts_with(b"before") && (result.is_ok() || out.len() == 6));
        // Not every file system can say what is in its cache; what it says must be true.
        assert!(!was_at_once || (result.is_ok() && at_once == out[6..]));
        result.map(|()| out.split_off(6))
    }

    fn changed_path(result: Result<Vec<u8>, ReadError>) -> PathBuf {
        match result {
            Err(ReadError::Changed { path }) => path,
            other => panic!("{other:?}"),
        }
    }

    fn content() -> Vec<u8> {
        (0..2 * CHUNK + 9).map(|at| (at % 251) as u8).collect()
    }

    fn shared_file() -> (tempfile::TempDir, PathBuf, Served) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, content()).unwrap();
        let served = serve(&path);
        (folder, path, served)
    }

    #[test]
    fn a_share_hands_out_each_chunk_and_no_other() {
        let (_folder, _path, served) = shared_file();
        for (chunk, bytes) in (0..).zip(content().chunks(CHUNK)) {
            assert_eq!(read(&served, chunk).unwrap(), bytes);
        }
        assert!(matches!(read(&served, 3), Err(ReadError::NotHeld(ChunkIndex(3)))));
        assert!(served.held().is_full() && served.held().len() == 3);
    }

    #[test]
    fn a_folders_stream_is_its_index_and_files() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("d/empty")).unwrap();
        fs::write(root.join("d/one"), &content()[..CHUNK]).unwrap();
        for number in 0..20 {
            fs::write(root.join(format!("small {number}")), vec![number; 1000]).unwrap();
        }
        let served = serve(&root);
        let stream: Vec<u8> = (0..served.held().len())
            .flat_map(|chunk| read(&served, chunk).unwrap())
            .collect();
        assert_eq!(stream.len() as u64, served.manifest().size);
        let index = FolderIndex::decode(served.source().index().unwrap().encode().as_slice()).unwrap();
        for (entry, extent) in index.extents().filter(|(_, extent)| !extent.is_empty()) {
            let bytes = fs::read(root.join(entry.path.as_str())).unwrap();
            assert_eq!(stream[extent.start as usize..extent.end as usize], bytes);
        }
    }

    #[test]
    fn a_chunk_that_was_edited_does_not_go_out_and_the_file_is_named() {
        let (_folder, path, served) = shared_file();
        assert!(read(&served, 1).is_ok());
        fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .write_all_at(b"?", CHUNK as u64 + 5)
            .unwrap();
        assert_eq!(changed_path(read(&served, 1)), path);
        assert_eq!(served.changed(), Some(path));
        assert_eq!(
            read(&served, 0).unwrap(),
            content()[..CHUNK],
            "what still is what it was goes out"
        );
    }

    #[test]
    fn a_file_that_was_touched_but_not_changed_goes_on_being_served() {
        let (_folder, path, served) = shared_file();
        fs::File::open(&path)
            .unwrap()
            .set_modified(std::time::UNIX_EPOCH)
            .unwrap();
        assert_eq!(read(&served, 2).unwrap(), content()[2 * CHUNK..]);
        assert_eq!(served.changed(), None);
    }

    #[test]
    fn a_file_that_was_cut_removed_or_replaced_is_named() {
        type Change = fn(&Path);
        let changes: [Change; 5] = [
            |path| {
                let file = fs::File::options().write(true).open(path).unwrap();
                file.set_len(10).unwrap();
            },
            |path| fs::remove_file(path).unwrap(),
            |path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            },
            |path| {
                let aside = path.with_extension("aside");
                fs::rename(path, &aside).unwrap();
                std::os::unix::fs::symlink(aside, path).unwrap();
            },
            |path| {
                fs::remove_file(path).unwrap();
                let mode = 0o600.into();
                rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
            },
        ];
        for (number, change) in changes.iter().enumerate() {
            let (_folder, path, served) = shared_file();
            change(&path);
            assert_eq!(changed_path(read(&served, 0)), path, "{number}");
        }
    }

    #[test]
    fn a_file_that_was_replaced_by_its_equal_goes_on_being_served() {
        let (_folder, path, served) = shared_file();
        assert!(read(&served, 0).is_ok());
        fs::remove_file(&path).unwrap();
        fs::write(&path, content()).unwrap();
        for (chunk, bytes) in (0..).zip(content().chunks(CHUNK)) {
            assert_eq!(read(&served, chunk).unwrap(), bytes);
        }
    }

    #[test]
    fn a_folder_that_was_replaced_by_its_equal_goes_on_being_served_and_a_link_on_the_way_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (root, outside) = (folder.path().join("root"), folder.path().join("outside"));
        for place in [&root, &outside] {
            fs::create_dir_all(place.join("d")).unwrap();
            fs::write(place.join("d/one"), b"content").unwrap();
        }
        let served = serve(&root);
        let stream = read(&served, 0).unwrap();
        served.forget_open_files();
        fs::remove_dir_all(&root).unwrap();
        fs::rename(&outside, &root).unwrap();
        assert_eq!(read(&served, 0).unwrap(), stream);
        served.forget_open_files();
        fs::rename(root.join("d"), folder.path().join("aside")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("aside"), root.join("d")).unwrap();
        assert_eq!(changed_path(read(&served, 0)), root.join("d/one"));
    }

    impl Served {
        fn source(&self) -> &SourceLayout {
            match &self.content {
                Content::Share(share) => share.reader.source(),
                Content::Partial(_) => panic!("a share was made"),
            }
        }

        /// As if many other files had been read since.
        fn forget_open_files(&self) {
            if let Content::Share(share) = &self.content {
                share.reader.forget_open_files();
            }
        }
    }
}
