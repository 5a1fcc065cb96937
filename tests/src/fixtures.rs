//! Content to share: files and folders made from a seed, so that a failure can be made again.
//!
//! Promises the same bytes, names, modes and times for the same seed, on any machine. The bytes are BLAKE3's output
//! stream: they do not compress and no chunk is like another.

use std::ffi::OsStr;
use std::fs::{self, File, FileTimes};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

/// A whole number of these is written at a time; large enough that system calls do not matter.
const BLOCK: usize = 1 << 20;

/// The first `length` bytes of the stream of `seed`.
pub fn content(seed: u64, length: u64) -> impl Read {
    let stream = blake3::Hasher::new()
        .update(b"p2p-tests content")
        .update(&seed.to_be_bytes())
        .finalize_xof();
    Stream(stream).take(length)
}

struct Stream(blake3::OutputReader);

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.fill(into);
        Ok(into.len())
    }
}

/// A number from a seed: the `n`th of its series, below `below`.
pub fn draw(seed: u64, n: u64, below: u64) -> u64 {
    let hash = blake3::Hasher::new()
        .update(b"p2p-tests draw")
        .update(&seed.to_be_bytes())
        .update(&n.to_be_bytes())
        .finalize();
    let bytes: [u8; 8] = hash.as_bytes()[..8].try_into().expect("eight of 32 bytes");
    u64::from_be_bytes(bytes) % below
}

/// Writes `length` bytes of `seed` to `path`.
pub fn write_file(path: &Path, seed: u64, length: u64) {
    let mut file = File::create(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut source = content(seed, length);
    let mut block = vec![0; BLOCK];
    let mut left = length;
    while left > 0 {
        let take = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
        source
            .read_exact(&mut block[..take])
            .expect("the stream has no end");
        file.write_all(&block[..take])
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        left -= take as u64;
    }
}

/// What `sha256sum` prints for it, in hex.
pub fn sha256(path: &Path) -> String {
    let mut hasher = Sha256::new();
    each_block(path, |block| hasher.update(block));
    data_hex(&hasher.finalize())
}

/// What `b3sum` prints for it, in hex.
pub fn blake3(path: &Path) -> String {
    let mut hasher = blake3::Hasher::new();
    each_block(path, |block| {
        hasher.update(block);
    });
    hasher.finalize().to_hex().to_string()
}

fn each_block(path: &Path, mut use_it: impl FnMut(&[u8])) {
    let mut file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut block = vec![0; BLOCK];
    loop {
        match file
            .read(&mut block)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        {
            0 => return,
            n => use_it(&block[..n]),
        }
    }
}

fn data_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sets the modification time to `seconds` and `nanos` after 1970.
pub fn set_modified(path: &Path, seconds: u64, nanos: u32) {
    let time = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.set_times(FileTimes::new().set_modified(time))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Sets the permission bits.
pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Names that people do use and programs trip over.
pub fn odd_names() -> Vec<String> {
    let mut names: Vec<String> = [
        "with space",
        " leading and trailing ",
        "-dash",
        "--output",
        "~tilde",
        ".hidden",
        "quote's \"double\"",
        "semi;colon & $(dollar) `tick` *?[x]",
        "percent %2e%2e%2f",
        "umlaut äöü ß",
        "combining e\u{301}",
        "日本語のファイル",
        "emoji 🦀",
        "rtl \u{5e9}\u{5dc}\u{5d5}\u{5dd}",
        "a,b=c:d|e<f>g",
        "very.many.dots.tar.gz",
    ]
    .map(String::from)
    .into();
    names.push("x".repeat(255));
    names.push("語".repeat(85));
    names
}

/// A folder of `count` files of `each` bytes, nested, with odd names among them, empty files and folders, several modes, and times of
/// its own for everything. How many files it holds: `count` and a few dozen odd ones.
pub fn write_folder(root: &Path, seed: u64, count: u32, each: u64) {
    let mut made = Made {
        seed,
        all: Vec::new(),
    };
    made.folder(root, 0o755);
    for n in 0..count {
        // Fifty folders of fifty, and deeper ones: a/b/c.
        let folder = root
            .join(format!("part {:02}", n % 50))
            .join(format!("{}", n % 7));
        if n < 350 {
            made.folders(root, &folder);
        }
        made.file(
            &folder.join(format!("file-{n:05}.dat")),
            each,
            if n % 11 == 0 { 0o755 } else { 0o644 },
        );
    }
    let odd = root.join("odd names");
    made.folder(&odd, 0o750);
    for (n, name) in odd_names().iter().enumerate() {
        made.file(
            &odd.join(name),
            [0, 1, 300, 4096, 70_000][n % 5],
            [0o644, 0o600, 0o755, 0o444][n % 4],
        );
        let folder = odd.join(format!("in {n}"));
        made.folder(&folder, 0o755);
        made.folder(&folder.join(name), 0o700);
    }
    made.file(&odd.join("larger than a chunk"), 700_001, 0o640);
    made.folder(&root.join("empty folder"), 0o755);
    made.folders(root, &root.join("deep/er/and/deep/er/still"));
    made.times();
}

struct Made {
    seed: u64,
    all: Vec<PathBuf>,
}

impl Made {
    fn folder(&mut self, path: &Path, mode: u32) {
        if !path.is_dir() {
            fs::create_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            set_mode(path, mode);
            self.all.push(path.to_owned());
        }
    }

    fn folders(&mut self, root: &Path, path: &Path) {
        let below = path.strip_prefix(root).expect("a path below the root");
        let mut here = root.to_owned();
        for part in below {
            here.push::<&OsStr>(part);
            self.folder(&here, 0o755);
        }
    }

    fn file(&mut self, path: &Path, length: u64, mode: u32) {
        let number = self.all.len() as u64;
        write_file(path, self.seed ^ (number << 20), length);
        set_mode(path, mode);
        self.all.push(path.to_owned());
    }

    /// Last and from the deepest up: writing into a folder changes its time.
    fn times(&self) {
        for (number, path) in self.all.iter().enumerate().rev() {
            let number = number as u64;
            let seconds = 1_000_000_000 + draw(self.seed, number, 700_000_000);
            let nanos = u32::try_from(draw(!self.seed, number, 1_000_000_000)).expect("below 10^9");
            set_modified(path, seconds, nanos);
        }
    }
}
