//! The ticket: the text that a person passes on so that somebody else can fetch a share.
//!
//! `p2p:` and URL-safe base64 (RFC 4648, 5, without padding). It carries the manifest, which pins every byte of the share,
//! and where to look for peers; of a private share also its secret. Reading one dials nothing and believes nothing but
//! its own checksum: every field is checked, and an error says which one is wrong. How the bytes are laid out is written
//! in `layout.rs`.

mod layout;
#[cfg(test)]
mod tests;

use crate::{
    id::PublicKey,
    manifest::{Manifest, ManifestError, NameError},
    tracker_url::{TrackerUrlError, check_tracker_url},
};
use data_encoding::BASE64URL_NOPAD;
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
};

/// What every ticket begins with.
pub const PREFIX: &str = "p2p:";
/// Most trackers in a ticket. It has to stay something that a person passes on; more are of no more use.
pub const MAX_TRACKERS: usize = 8;
/// Most seeders in a ticket, for the same reason.
pub const MAX_SEEDERS: usize = 8;
/// Most addresses of one seeder: a machine with many networks lists its best.
pub const MAX_ADDRESSES: usize = 8;
/// Most characters of a ticket: one with everything at its limit takes fewer.
pub const MAX_TICKET: usize = 8192;

/// A peer that holds the whole share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeder {
    /// Who it is: nobody else can answer in its place.
    pub key: PublicKey,
    /// Where it may be reached; perhaps nowhere directly.
    pub addresses: Vec<SocketAddr>,
}

/// What a ticket says.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket {
    /// What the share is, down to the last byte.
    pub manifest: Manifest,
    /// URLs of trackers that know the share.
    pub trackers: Vec<String>,
    /// Peers to try without asking a tracker.
    pub seeders: Vec<Seeder>,
    /// What a private share is decrypted with. Whoever has it can read the share.
    pub secret: Option<[u8; 32]>,
}

/// What is wrong with a text that should be a ticket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// It does not begin with `p2p:`.
    #[error("this is no ticket: a ticket begins with {PREFIX:?}")]
    Prefix,
    /// More characters than any ticket has.
    #[error("the ticket has {0} characters, more than any ticket has ({MAX_TICKET})")]
    TooLong(usize),
    /// A character that no ticket has.
    #[error("the ticket is damaged: {} at character {position} does not belong there", .found.escape_debug())]
    Character {
        /// Which character of the ticket, from 1.
        position: usize,
        /// The character.
        found: char,
    },
    /// The end is missing.
    #[error("the ticket is cut short: it has {got} characters of {expected}")]
    Truncated {
        /// Characters that are there.
        got: usize,
        /// Characters that it says it has.
        expected: usize,
    },
    /// Something follows its end.
    #[error("{extra} characters too many follow the ticket, which has {expected}")]
    Trailing {
        /// Characters behind the end.
        extra: usize,
        /// Characters that it says it has.
        expected: usize,
    },
    /// A character is wrong somewhere.
    #[error("the ticket is damaged: its checksum does not fit; copy it again")]
    Checksum,
    /// Made by a program of another version.
    #[error("the ticket has version {0}, and this program reads version {reads}: update it", reads = layout::VERSION)]
    Version(u8),
    /// The ticket is whole, but one thing in it cannot be used.
    #[error("the {name} in the ticket cannot be used: {reason}")]
    Field {
        /// What it is.
        name: &'static str,
        /// What is wrong with it.
        reason: FieldError,
    },
}

/// What is wrong with one field of a ticket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// The ticket ends before or in it.
    #[error("it is not there whole")]
    Missing,
    /// Behind the last field there is something else.
    #[error("{0} bytes follow that this program does not know")]
    Unknown(usize),
    /// Flags of a newer program.
    #[error("flags {0:#04x} are not known to this program")]
    Flags(u8),
    /// More of them than a ticket may have.
    #[error("there are {got}, at most {most} may be")]
    TooMany {
        /// How many there are.
        got: usize,
        /// How many may be.
        most: usize,
    },
    /// An address of neither IPv4 nor IPv6.
    #[error("{0} is no kind of address")]
    AddressKind(u8),
    /// An address that no peer can have.
    #[error("no peer can be reached at {0}")]
    Address(SocketAddr),
    /// Text that is not UTF-8.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// A name that may not be created.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A record that is none.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A URL that is no tracker's.
    #[error("{} ({reason})", url.escape_debug())]
    Tracker {
        /// The URL.
        url: String,
        /// What is wrong with it.
        reason: TrackerUrlError,
    },
}

/// The text. What a reader would refuse or a ticket has no room for is left out: trackers whose URL is none, addresses
/// that nobody can dial, and whatever comes after the first [`MAX_TRACKERS`], [`MAX_SEEDERS`] and [`MAX_ADDRESSES`].
impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        f.write_str(&BASE64URL_NOPAD.encode(&layout::encode(self)))
    }
}

/// Without the secret, which does not belong in a log.
impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("manifest", &self.manifest)
            .field("trackers", &self.trackers)
            .field("seeders", &self.seeders)
            .field("secret", &self.secret.map(|_| "…"))
            .finish()
    }
}

impl FromStr for Ticket {
    type Err = TicketError;
    /// Spaces around the text do no harm.
    fn from_str(text: &str) -> Result<Self, TicketError> {
        let text = text.trim();
        if text.len() > MAX_TICKET {
            return Err(TicketError::TooLong(text.len()));
        }
        let encoded = text.strip_prefix(PREFIX).ok_or(TicketError::Prefix)?;
        check_alphabet(text, encoded)?;
        check_length(encoded)?;
        let bytes = BASE64URL_NOPAD
            .decode(encoded.as_bytes())
            .map_err(|_| TicketError::Checksum)?;
        layout::decode(&bytes)
    }
}

/// Every character is one of the 64. The first other one is usually where the text was broken.
fn check_alphabet(text: &str, encoded: &str) -> Result<(), TicketError> {
    let odd = encoded
        .chars()
        .position(|c| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'));
    match odd {
        None => Ok(()),
        Some(at) => Err(TicketError::Character {
            position: PREFIX.len() + at + 1,
            found: text.chars().nth(PREFIX.len() + at).unwrap_or_default(),
        }),
    }
}

/// The text has the length that its first bytes say.
fn check_length(encoded: &str) -> Result<(), TicketError> {
    // Version and length are the first three bytes: four characters, which decode by themselves.
    const HEAD: usize = 4;
    let got = PREFIX.len() + encoded.len();
    let head = encoded
        .as_bytes()
        .first_chunk::<HEAD>()
        .ok_or(TicketError::Truncated {
            got,
            expected: PREFIX.len() + HEAD,
        })?;
    let mut bytes = [0; 3];
    BASE64URL_NOPAD
        .decode_mut(head, &mut bytes)
        .map_err(|_| TicketError::Checksum)?;
    let expected = PREFIX.len() + BASE64URL_NOPAD.encode_len(layout::whole_length(bytes));
    match got.cmp(&expected) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Less => Err(TicketError::Truncated { got, expected }),
        std::cmp::Ordering::Greater => Err(TicketError::Trailing {
            extra: got - expected,
            expected,
        }),
    }
}

/// Whether a peer could be behind this address at all. Private and loopback ones may: tickets are passed on within
/// a house too.
pub fn is_dialable(address: &SocketAddr) -> bool {
    let ip = address.ip();
    let broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}
