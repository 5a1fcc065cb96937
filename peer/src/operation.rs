//! What a person can ask of a peer, and what comes back: the same words for the command line, the local API and the
//! peer itself. Nothing here does anything.

use crate::{client::TrackerUrl, connection::Policy, error::Failure, event::PathKind, selection::Selection};
use p2p_shared::{
    hash::HashAlgorithm,
    id::{FileHash, PeerId, PublicKey},
    manifest::ShareKind,
    ticket::{PREFIX, Ticket},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

/// Make files or folders fetchable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareRequest {
    /// What to share, each on its own; absolute.
    pub paths: Vec<PathBuf>,
    /// How to hash it.
    pub algorithm: HashAlgorithm,
    /// Leave out what cannot be read, instead of refusing the whole folder.
    pub skip_unreadable: bool,
    /// Whom to tell beside the trackers that the peer is configured with.
    pub trackers: Vec<TrackerUrl>,
}

/// Look at the network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DoctorRequest {
    /// Trackers to look at beside those that are in use.
    pub trackers: Vec<TrackerUrl>,
    /// Where a daemon would listen, if that is to be looked at.
    pub daemon_listens: Option<SocketAddr>,
}

/// Fetch a file or folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetRequest {
    /// What to fetch.
    pub what: Wanted,
    /// Whom to ask beside the ticket's trackers and those that the peer is configured with.
    pub trackers: Vec<TrackerUrl>,
    /// The folder that it appears in, under its own name; absolute.
    pub output: PathBuf,
    /// Seconds with nobody reached before giving up; 0: never.
    pub timeout: u64,
    /// Whether it stays a share of this peer when it is whole.
    pub keep: bool,
    /// By which paths it may come, beside what the peer's own policy allows.
    #[serde(default)]
    pub policy: Policy,
    /// What of it is wanted. What is fetched is a share only if that is everything.
    #[serde(default, skip_serializing_if = "Selection::is_all")]
    pub selection: Selection,
}

/// Look at what is in a share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilesRequest {
    /// Which one.
    pub what: Wanted,
    /// Whom to ask beside the ticket's trackers and those that the peer is configured with.
    pub trackers: Vec<TrackerUrl>,
    /// Seconds with nobody reached before giving up; 0: never.
    pub timeout: u64,
    /// By which paths its index may come, beside what the peer's own policy allows.
    #[serde(default)]
    pub policy: Policy,
    /// Which of its files to tell of.
    #[serde(default, skip_serializing_if = "Selection::is_all")]
    pub selection: Selection,
}

/// What a `get` is given: in JSON the same text as on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Everything that is needed to find the share.
    Ticket(Box<Ticket>),
    /// Its hash alone: a tracker has to know the rest.
    Hash(FileHash),
}

impl Wanted {
    /// The hash of the share.
    pub fn hash(&self) -> FileHash {
        match self {
            Self::Ticket(ticket) => ticket.manifest.hash,
            Self::Hash(hash) => *hash,
        }
    }
}

impl FromStr for Wanted {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let text = text.trim();
        if text.starts_with(PREFIX) {
            let ticket = text.parse().map_err(|error| {
                Failure::usage(format!(
                    "{error}; copy the whole ticket again, from \"{PREFIX}\" to its last character"
                ))
            })?;
            return Ok(Self::Ticket(Box::new(ticket)));
        }
        text.parse().map(Self::Hash).map_err(|error| {
            Failure::usage(format!(
                "{:?} is neither a ticket (it would begin with \"{PREFIX}\") nor a hash: {error}",
                shortened(text)
            ))
        })
    }
}

/// Enough of a text to recognise it by.
fn shortened(text: &str) -> String {
    const ENOUGH: usize = 40;
    match text.char_indices().nth(ENOUGH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ticket(ticket) => ticket.fmt(f),
            Self::Hash(hash) => hash.fmt(f),
        }
    }
}

impl Serialize for Wanted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

/// One share or download of a peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShareInfo {
    /// Its name everywhere.
    pub hash: FileHash,
    /// What its owner called it.
    pub name: String,
    /// One file or a folder.
    pub kind: ShareKind,
    /// How it is hashed.
    pub algorithm: HashAlgorithm,
    /// Bytes of the stream.
    pub size: u64,
    /// Bytes of it that are here, of those that are wanted if that is known.
    pub bytes: u64,
    /// Bytes of the chunks that are wanted: all, unless files of it were selected. None if only its download, which is not
    /// open, knows.
    pub wanted: Option<u64>,
    /// Where it is, or will be when it is whole.
    pub path: PathBuf,
    /// What happens with it.
    pub state: ShareState,
    /// Why it stands still, if its owner did not say so: the disk is full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What happens with a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShareState {
    /// Whole, and served to whoever asks.
    Seeding,
    /// Being fetched, and served as far as it is here.
    Downloading,
    /// Not whole, and not being fetched at the moment.
    Waiting,
    /// Not whole, and not being fetched because its owner said so, or because of the reason that is given.
    Paused,
    /// No peer is running that could serve it.
    Idle,
    /// Its source is not what it was, so it is served no more (or only in part).
    Changed,
}

impl fmt::Display for ShareState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Seeding => "seeding",
            Self::Downloading => "downloading",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Idle => "idle",
            Self::Changed => "changed",
        })
    }
}

/// Who a peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityInfo {
    /// The short name, derived from the key.
    pub peer_id: PeerId,
    /// What others know it by.
    pub public_key: PublicKey,
}

/// How a running peer is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// Its process.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Seconds since it started.
    pub uptime_seconds: u64,
    /// Who it is.
    #[serde(flatten)]
    pub identity: IdentityInfo,
    /// Where other peers connect to.
    pub listen: SocketAddr,
    /// By which paths it reaches others.
    #[serde(default)]
    pub policy: Policy,
    /// How each tracker stands.
    pub trackers: Vec<TrackerInfo>,
    /// The peers it is connected with.
    pub sessions: Vec<SessionLine>,
    /// Its shares and downloads.
    pub shares: Vec<ShareInfo>,
}

/// How a tracker stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackerInfo {
    /// Where it is.
    pub url: TrackerUrl,
    /// Whether the peer is registered there.
    pub registered: bool,
    /// Files that the tracker knows the peer has.
    pub announced: usize,
    /// What the last call failed with.
    pub error: Option<String>,
}

/// A connected peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionLine {
    /// Names the session for the life of the peer's process: with one peer there may be several for a while.
    pub session: u64,
    /// Whom.
    pub peer: PublicKey,
    /// By which kind of path.
    pub path: PathKind,
    /// Why by this one.
    pub reason: String,
    /// Where it is.
    pub address: Option<SocketAddr>,
    /// The relay that it is reached through, if it is.
    #[serde(default)]
    pub relay: Option<String>,
    /// Its software.
    pub agent: String,
    /// Files that the session is about.
    pub files: usize,
    /// Bytes of chunks received from it.
    pub received: u64,
    /// Bytes of chunks sent to it.
    pub sent: u64,
    /// Round trip in milliseconds, when it has been measured.
    pub rtt_ms: Option<f64>,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// What was read.
    pub hash: FileHash,
    /// Its name.
    pub name: String,
    /// Chunks that were read and are right.
    pub good: u64,
    /// Chunks that are not what they were.
    pub bad: u64,
    /// The files that the bad ones lie in.
    pub files: Vec<PathBuf>,
}

/// The share that a person means by `id`: its hash, the beginning of it (at least [`SHORTEST_ID`] digits, of one
/// share only), or its ticket. What is shared and fetched anew at the same time is one share.
pub fn find<'a>(shares: &'a [ShareInfo], id: &str) -> Result<&'a ShareInfo, Failure> {
    let id = id.trim();
    let beginning = match id.starts_with(PREFIX) {
        true => id.parse::<Wanted>()?.hash().to_string(),
        false => id.to_lowercase(),
    };
    if beginning.len() < SHORTEST_ID || !beginning.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(Failure::usage(format!(
            "{:?} names no share; give its hash, at least its first {SHORTEST_ID} digits, or its ticket",
            shortened(id)
        )));
    }
    let mut matching = shares
        .iter()
        .filter(|share| share.hash.to_string().starts_with(&beginning));
    let first = matching.next();
    let another = matching.find(|other| first.is_some_and(|first| first.hash != other.hash));
    match (first, another) {
        (Some(share), None) => Ok(share),
        (None, _) => Err(Failure::not_found(format!(
            "no share or download here has a hash that begins with {beginning}; `p2p-peer list` shows them"
        ))),
        (Some(_), Some(_)) => Err(Failure::usage(format!(
            "several shares have a hash that begins with {beginning}; give more of it"
        ))),
    }
}

/// Fewer digits than these are more likely a slip than a hash.
pub const SHORTEST_ID: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_hash_is_recognised_and_reads_back_from_json() {
        let wanted: Wanted = "ab".repeat(32).parse().unwrap();
        assert_eq!(wanted.hash(), FileHash([0xab; 32]));
        let json = serde_json::to_string(&wanted).unwrap();
        assert_eq!(serde_json::from_str::<Wanted>(&json).unwrap(), wanted);
    }

    #[test]
    fn a_damaged_ticket_is_a_usage_error_that_says_what_is_wrong() {
        let failure = "p2p:AAAA!".parse::<Wanted>().unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        assert!(
            failure.message.contains("copy the whole ticket again"),
            "{failure}"
        );
    }

    #[test]
    fn text_that_is_neither_is_repeated_shortened() {
        let failure = "x".repeat(10_000).parse::<Wanted>().unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        assert!(failure.message.contains("neither a ticket"), "{failure}");
        assert!(failure.message.len() < 300, "{}", failure.message.len());
    }

    fn share(first: u8) -> ShareInfo {
        let mut hash = [0; 32];
        hash[0] = 0xab;
        hash[1] = first;
        ShareInfo {
            hash: FileHash(hash),
            name: "a".into(),
            kind: ShareKind::File,
            algorithm: HashAlgorithm::Sha256,
            size: 1,
            bytes: 1,
            wanted: Some(1),
            path: "/a".into(),
            state: ShareState::Seeding,
            reason: None,
        }
    }

    #[test]
    fn a_share_is_found_by_the_beginning_of_its_hash_if_that_is_unique() {
        let shares = [share(0x10), share(0x11), share(0x20)];
        assert_eq!(find(&shares, "ab20"), Ok(&shares[2]));
        assert_eq!(
            find(&shares, &shares[0].hash.to_string().to_uppercase()),
            Ok(&shares[0])
        );
        assert_eq!(find(&shares, "ab30").unwrap_err().exit_code(), 3);
        assert_eq!(find(&shares, "ab2").unwrap_err().exit_code(), 2);
        assert_eq!(find(&shares, "film.mkv").unwrap_err().exit_code(), 2);
        let mut alike = share(0x10);
        alike.hash.0[2] = 1;
        let alike = [share(0x10), alike];
        assert!(find(&alike, "ab10").unwrap_err().message.contains("several"));
    }

    #[test]
    fn what_is_shared_and_fetched_anew_is_one_share() {
        let both = [share(0x10), share(0x10)];
        assert_eq!(find(&both, "ab10"), Ok(&both[0]));
    }
}
