//! One test's own folder on disk.
//!
//! Promises a fresh folder that nobody else uses, short enough for any path limit. It is deleted when the test
//! passed, and kept, with its path printed, when it failed or when `P2P_TEST_KEEP` is set: the programs' logs are in it.
//! `P2P_TEST_DIR` says where (default: the system's temporary folder).

use std::fs;
use std::path::{Path, PathBuf};

/// A folder that lives as long as the value.
#[derive(Debug)]
pub struct Lab {
    path: PathBuf,
}

impl Lab {
    /// A new empty folder, which any user may enter (some tests drop their privileges).
    pub fn new() -> Self {
        use std::os::unix::fs::PermissionsExt;
        let parent = std::env::var_os("P2P_TEST_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let folder = tempfile::Builder::new()
            .prefix("p2p-test-")
            .tempdir_in(parent)
            .expect("a temporary folder");
        let path = folder.keep();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("mode of the temporary folder");
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder inside it, made when it is not there.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.path.join(name);
        fs::create_dir_all(&path).expect("a folder inside the temporary folder");
        path
    }

    /// A path inside it, of which nothing is made.
    pub fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() || std::env::var_os("P2P_TEST_KEEP").is_some() {
            eprintln!("kept for you to look at: {}", self.path.display());
        } else if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("{} stays behind: {error}", self.path.display());
        }
    }
}
