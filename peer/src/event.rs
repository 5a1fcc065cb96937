//! What an operation reports while it runs: the lines of `--json` (protocol.md, "Command lines"), and the queue
//! that carries them from whoever works to whoever shows.
//!
//! [`EventSink`] never blocks and never grows without bound, so it may be called from actors, tasks and hashing
//! threads alike: progress is one slot that the newest value overwrites, everything else is a bounded queue whose
//! surplus warnings are counted instead of kept. [`EventStream`] hands out at most [`PROGRESS_PER_SECOND`] progress
//! events and ends when every sink is gone.

mod queue;

pub use queue::{EventSink, EventStream, PROGRESS_PER_SECOND, channel};

use crate::{
    doctor::{Finding, Verdict},
    error::Failure,
    operation::Verified,
};
use p2p_shared::{
    crypto::handshake::Carrier,
    id::{FileHash, PublicKey},
    manifest::{FolderEntry, Manifest},
};
use serde::{Deserialize, Serialize, Serializer};
use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    time::Duration,
};

/// One line of `--json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The operation goes over to another kind of work.
    Phase {
        /// What it does from now on.
        phase: Phase,
    },
    /// A share is ready to be passed on.
    Ticket(TicketLine),
    /// A file of a share.
    File(FileLine),
    /// How far the current phase is.
    Progress(Progress),
    /// A peer is reached on another path than before (or at all).
    Path(PathLine),
    /// Something of the network was looked at.
    Check(Finding),
    /// What follows from all that was looked at; the last event of a `doctor`.
    Verdict(Verdict),
    /// Something went wrong that does not end the operation.
    Warning {
        /// Stable, for scripts: `unreadable`, `changed`, `tracker-unreachable`, …
        code: Cow<'static, str>,
        /// For people.
        message: String,
    },
    /// The operation failed; the last event.
    Error(Failure),
    /// The operation succeeded; the last event of a `get`.
    Done(Done),
    /// A share was read again; the last event of its `verify`.
    Verified(Verified),
}

/// The kinds of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Reading a file to be shared and computing its hashes.
    Hashing,
    /// Looking for the file's record and its peers.
    Connecting,
    /// Chunks are coming in.
    Downloading,
    /// All chunks are there; the whole is checked and made durable.
    Verifying,
    /// Complete; others may fetch it.
    Seeding,
}

/// A ticket and what it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketLine {
    /// The text to pass on.
    pub ticket: String,
    /// The hash of the whole stream.
    pub hash: FileHash,
    /// Bytes of the stream.
    pub size: u64,
    /// The name under which it arrives.
    pub name: String,
}

/// A file of a share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileLine {
    /// Its path in the shared folder; of a single file its name.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Permission bits.
    pub mode: u32,
}

impl FileLine {
    /// A share that is a single file.
    pub fn of_share(manifest: &Manifest) -> Self {
        Self {
            path: manifest.name.as_str().to_owned(),
            size: manifest.size,
            mode: manifest.mode,
        }
    }

    /// A file of a folder.
    pub fn of_entry(entry: &FolderEntry) -> Self {
        Self {
            path: entry.path.as_str().to_owned(),
            size: entry.size(),
            mode: entry.mode,
        }
    }
}

/// How far a phase is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Bytes done, of which some may have been there before this run.
    pub bytes: u64,
    /// Bytes in all.
    pub total: u64,
    /// Bytes per second, over the last few seconds.
    pub rate: u64,
    /// Seconds to go at this rate; none while nothing moves.
    pub eta: Option<u64>,
    /// Peers that bytes come from (or go to).
    pub peers: u32,
}

/// How a peer is reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PathLine {
    /// Whom.
    pub peer: PublicKey,
    /// By which kind of path.
    pub path: PathKind,
    /// Round trip in milliseconds. The path is said as soon as the peer is reached, and again when this has been measured.
    pub rtt_ms: Option<f64>,
    /// Why this path and no other.
    pub reason: Cow<'static, str>,
}

/// The kinds of path that bytes take, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathKind {
    /// TCP to an address of the peer.
    Direct,
    /// UDP through NATs, after hole punching.
    Punched,
    /// Through a relay.
    Relayed,
}

impl PathKind {
    /// The kind of path whose bytes this carries.
    pub fn of(carrier: Carrier) -> Self {
        match carrier {
            Carrier::Tcp => Self::Direct,
            Carrier::Quic => Self::Punched,
            Carrier::Relay => Self::Relayed,
        }
    }

    /// As the lines of `--json` have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Punched => "punched",
            Self::Relayed => "relayed",
        }
    }
}

/// A finished download.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// The hash that the file was checked against. When files were selected: that of the share, of whose Merkle root each
    /// chunk was checked to be a part.
    pub hash: FileHash,
    /// Where it is.
    #[serde(serialize_with = "as_lossy_text")]
    pub path: PathBuf,
    /// Bytes of the stream; when files were selected, of the chunks that hold them and the folder's index.
    pub bytes: u64,
    /// How long it took in this run, in seconds.
    #[serde(with = "seconds")]
    pub seconds: Duration,
    /// Bytes received in this run, by path; smaller than `bytes` after a resumed download.
    pub bytes_by_path: BytesByPath,
}

/// Bytes received, by the kind of path they took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BytesByPath {
    /// Over direct TCP.
    pub direct: u64,
    /// Over punched UDP.
    pub punched: u64,
    /// Through a relay.
    pub relayed: u64,
}

impl BytesByPath {
    /// Those that took `path`.
    pub fn by(&mut self, path: PathKind) -> &mut u64 {
        match path {
            PathKind::Direct => &mut self.direct,
            PathKind::Punched => &mut self.punched,
            PathKind::Relayed => &mut self.relayed,
        }
    }
}

impl Event {
    /// A warning; `code` is stable, `message` is for people.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self::Warning {
            code: Cow::Borrowed(code),
            message: message.into(),
        }
    }
}

/// A path that is no UTF-8 is shown with replacement characters: JSON has no other text.
fn as_lossy_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// A duration as seconds with milliseconds.
mod seconds {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
    use std::time::Duration;

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64((duration.as_secs_f64() * 1000.0).round() / 1000.0)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(event: &Event) -> String {
        serde_json::to_string(event).unwrap()
    }

    #[test]
    fn the_lines_are_those_of_the_protocol() {
        let hash = FileHash([1; 32]);
        let cases = [
            (
                Event::Phase {
                    phase: Phase::Hashing,
                },
                r#"{"event":"phase","phase":"hashing"}"#.to_owned(),
            ),
            (
                Event::Ticket(TicketLine {
                    ticket: "p2p:x".into(),
                    hash,
                    size: 3,
                    name: "a".into(),
                }),
                format!(r#"{{"event":"ticket","ticket":"p2p:x","hash":"{hash}","size":3,"name":"a"}}"#),
            ),
            (
                Event::File(FileLine {
                    path: "a/b".into(),
                    size: 3,
                    mode: 0o644,
                }),
                r#"{"event":"file","path":"a/b","size":3,"mode":420}"#.to_owned(),
            ),
            (
                Event::Progress(Progress {
                    bytes: 1,
                    total: 2,
                    rate: 3,
                    eta: Some(4),
                    peers: 5,
                }),
                r#"{"event":"progress","bytes":1,"total":2,"rate":3,"eta":4,"peers":5}"#.to_owned(),
            ),
            (
                Event::Path(PathLine {
                    peer: PublicKey([2; 32]),
                    path: PathKind::Direct,
                    rtt_ms: Some(0.5),
                    reason: "first to answer".into(),
                }),
                format!(
                    r#"{{"event":"path","peer":"{}","path":"direct","rtt_ms":0.5,"reason":"first to answer"}}"#,
                    PublicKey([2; 32])
                ),
            ),
            (
                Event::warning("changed", "m"),
                r#"{"event":"warning","code":"changed","message":"m"}"#.to_owned(),
            ),
            (
                Event::Error(Failure::disk("full")),
                r#"{"event":"error","code":"disk","message":"full"}"#.to_owned(),
            ),
            (
                Event::Done(Done {
                    hash,
                    path: "/out/a".into(),
                    bytes: 3,
                    seconds: Duration::from_micros(1_234_567),
                    bytes_by_path: BytesByPath {
                        direct: 3,
                        ..BytesByPath::default()
                    },
                }),
                format!(
                    r#"{{"event":"done","hash":"{hash}","path":"/out/a","bytes":3,"seconds":1.235,"bytes_by_path":{{"direct":3,"punched":0,"relayed":0}}}}"#
                ),
            ),
        ];
        for (event, expected) in cases {
            assert_eq!(line(&event), expected);
        }
    }

    #[test]
    fn every_line_reads_back() {
        let done = Event::Done(Done {
            hash: FileHash([9; 32]),
            path: "/a b".into(),
            bytes: 1,
            seconds: Duration::from_millis(1500),
            bytes_by_path: BytesByPath::default(),
        });
        assert_eq!(serde_json::from_str::<Event>(&line(&done)).unwrap(), done);
        let error = Event::Error(Failure::refused("no"));
        assert_eq!(serde_json::from_str::<Event>(&line(&error)).unwrap(), error);
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_is_no_utf8_still_makes_a_line() {
        use std::os::unix::ffi::OsStrExt as _;
        let path = Path::new(std::ffi::OsStr::from_bytes(b"/out/\xff"));
        let done = Done {
            hash: FileHash([9; 32]),
            path: path.to_owned(),
            bytes: 1,
            seconds: Duration::ZERO,
            bytes_by_path: BytesByPath::default(),
        };
        assert!(line(&Event::Done(done)).contains("/out/\u{fffd}"));
    }
}
