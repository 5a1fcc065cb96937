//! Hashes of files that were read before.
use std::path::{Path, PathBuf};

/// A folder with the hashes of files that were read before.
#[derive(Debug, Clone)]
pub struct HashCache {
    folder: PathBuf,
}

impl HashCache {
    /// In `folder`, which is made if it is not there.
    pub fn open(folder: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }
}
