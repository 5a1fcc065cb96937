//! The bytes of a ticket.
//!
//! Integers are big-endian. The frame (version, length, checksum) is the same in every version, so that damage and age
//! can be told apart.
//!
//! ```text
//! version u8 = 1 ‖ length of the fields u16 ‖ fields ‖ CRC-32 of everything before it u32
//!
//! fields: flags u8 (1 folder, 2 BLAKE3, 4 secret) ‖ hash 32 ‖ Merkle root 32 ‖ size u64 ‖ mode u16 ‖
//!         changed: seconds i64, nanoseconds u32 ‖ name: length u8, bytes ‖
//!         trackers: count u8, each length u8, URL ‖
//!         seeders: count u8, each key 32 ‖ addresses: count u8, each 4 ‖ IPv4 4 ‖ port u16, or 6 ‖ IPv6 16 ‖ port u16 ‖
//!         secret 32 (if its flag is set)
//! ```

use super::{
    FieldError, MAX_ADDRESSES, MAX_SEEDERS, MAX_TRACKERS, Seeder, Ticket, TicketError, check_tracker_url,
    is_dialable,
};
use crate::{
    hash::HashAlgorithm,
    id::{FileHash, MerkleRoot, PublicKey},
    manifest::{FileName, Manifest, Modified, ShareKind},
    reader::{EndOfBytes, Reader},
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The version that this program writes and reads.
pub(super) const VERSION: u8 = 1;
const HEAD: usize = 3;
const CHECKSUM: usize = 4;

const FOLDER: u8 = 1;
const BLAKE3: u8 = 2;
const SECRET: u8 = 4;

impl From<EndOfBytes> for FieldError {
    fn from(_: EndOfBytes) -> Self {
        Self::Missing
    }
}

/// Bytes of the whole ticket, from its first three.
pub(super) fn whole_length([_version, high, low]: [u8; HEAD]) -> usize {
    HEAD + usize::from(u16::from_be_bytes([high, low])) + CHECKSUM
}

pub(super) fn encode(ticket: &Ticket) -> Vec<u8> {
    let mut fields = Vec::with_capacity(256);
    encode_manifest(ticket, &mut fields);
    let trackers = ticket
        .trackers
        .iter()
        .filter(|url| check_tracker_url(url).is_ok());
    counted(&mut fields, trackers, MAX_TRACKERS, |url, fields| {
        short_text(fields, url);
    });
    counted(&mut fields, ticket.seeders.iter(), MAX_SEEDERS, encode_seeder);
    fields.extend(ticket.secret.iter().flatten());

    let mut bytes = vec![VERSION];
    // Fits: the limits above make at most 4,056 bytes.
    bytes.extend((fields.len() as u16).to_be_bytes());
    bytes.extend(fields);
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

fn encode_manifest(ticket: &Ticket, fields: &mut Vec<u8>) {
    let manifest = &ticket.manifest;
    let flag = |flag, set| if set { flag } else { 0 };
    fields.push(
        flag(FOLDER, manifest.kind == ShareKind::Folder)
            | flag(BLAKE3, manifest.algorithm == HashAlgorithm::Blake3)
            | flag(SECRET, ticket.secret.is_some()),
    );
    fields.extend(manifest.hash.0);
    fields.extend(manifest.merkle_root.0);
    fields.extend(manifest.size.to_be_bytes());
    // Permission bits fit; of a manifest that was never checked the others are lost.
    fields.extend((manifest.mode as u16).to_be_bytes());
    fields.extend(manifest.modified.seconds.to_be_bytes());
    fields.extend(manifest.modified.nanos.to_be_bytes());
    short_text(fields, manifest.name.as_str());
}

fn encode_seeder(seeder: &Seeder, fields: &mut Vec<u8>) {
    fields.extend(seeder.key.0);
    let addresses = seeder.addresses.iter().filter(|address| is_dialable(address));
    counted(fields, addresses, MAX_ADDRESSES, |address, fields| {
        match address.ip() {
            IpAddr::V4(ip) => {
                fields.push(4);
                fields.extend(ip.octets());
            }
            IpAddr::V6(ip) => {
                fields.push(6);
                fields.extend(ip.octets());
            }
        }
        fields.extend(address.port().to_be_bytes());
    });
}

/// A count in one byte, then the first `most` items.
fn counted<'a, T: 'a>(
    fields: &mut Vec<u8>,
    items: impl Iterator<Item = &'a T>,
    most: usize,
    mut encode: impl FnMut(&T, &mut Vec<u8>),
) {
    let count_at = fields.len();
    fields.push(0);
    for item in items.take(most) {
        fields[count_at] += 1;
        encode(item, fields);
    }
}

/// A text of at most 255 bytes, which names and URLs are.
fn short_text(fields: &mut Vec<u8>, text: &str) {
    fields.push(text.len() as u8);
    fields.extend(text.as_bytes());
}

pub(super) fn decode(bytes: &[u8]) -> Result<Ticket, TicketError> {
    let (checked, checksum) = bytes
        .split_last_chunk::<CHECKSUM>()
        .ok_or(TicketError::Checksum)?;
    if crc32fast::hash(checked).to_be_bytes() != *checksum {
        return Err(TicketError::Checksum);
    }
    let (head, fields) = checked.split_first_chunk::<HEAD>().ok_or(TicketError::Checksum)?;
    match head {
        [VERSION, ..] => decode_fields(&mut Reader::new(fields)),
        [version, ..] => Err(TicketError::Version(*version)),
    }
}

/// Says which field an error is about.
fn field<T, E: Into<FieldError>>(name: &'static str, read: Result<T, E>) -> Result<T, TicketError> {
    read.map_err(|reason| TicketError::Field {
        name,
        reason: reason.into(),
    })
}

fn decode_fields(reader: &mut Reader<'_>) -> Result<Ticket, TicketError> {
    let flags = field("flags", decode_flags(reader))?;
    let manifest = decode_manifest(flags, reader)?;
    let trackers = field("tracker", decode_list(reader, MAX_TRACKERS, decode_tracker))?;
    let seeders = field("seeder", decode_list(reader, MAX_SEEDERS, decode_seeder))?;
    let secret = match flags & SECRET {
        0 => None,
        _ => Some(field("secret", reader.array())?),
    };
    match reader.remaining() {
        0 => Ok(Ticket {
            manifest,
            trackers,
            seeders,
            secret,
        }),
        rest => field("end", Err(FieldError::Unknown(rest))),
    }
}

fn decode_flags(reader: &mut Reader<'_>) -> Result<u8, FieldError> {
    match reader.u8()? {
        flags if flags & !(FOLDER | BLAKE3 | SECRET) != 0 => Err(FieldError::Flags(flags)),
        flags => Ok(flags),
    }
}

fn decode_manifest(flags: u8, reader: &mut Reader<'_>) -> Result<Manifest, TicketError> {
    let manifest = Manifest {
        hash: FileHash(field("hash", reader.array())?),
        merkle_root: MerkleRoot(field("Merkle root", reader.array())?),
        size: field("size", reader.u64())?,
        mode: field("mode", reader.u16())?.into(),
        modified: Modified {
            seconds: field("time of last change", reader.i64())?,
            nanos: field("time of last change", reader.u32())?,
        },
        name: field("name", decode_name(reader))?,
        kind: if flags & FOLDER == 0 {
            ShareKind::File
        } else {
            ShareKind::Folder
        },
        algorithm: if flags & BLAKE3 == 0 {
            HashAlgorithm::Sha256
        } else {
            HashAlgorithm::Blake3
        },
    };
    field("record", manifest.checked())
}

fn decode_name(reader: &mut Reader<'_>) -> Result<FileName, FieldError> {
    let length = reader.u8()?;
    Ok(FileName::from_bytes(reader.bytes(length.into())?)?)
}

fn decode_tracker(reader: &mut Reader<'_>) -> Result<String, FieldError> {
    let length = reader.u8()?;
    let url = std::str::from_utf8(reader.bytes(length.into())?).map_err(|_| FieldError::NotUtf8)?;
    match check_tracker_url(url) {
        Ok(()) => Ok(url.into()),
        Err(reason) => Err(FieldError::Tracker {
            url: url.into(),
            reason,
        }),
    }
}

fn decode_seeder(reader: &mut Reader<'_>) -> Result<Seeder, FieldError> {
    Ok(Seeder {
        key: PublicKey(reader.array()?),
        addresses: decode_list(reader, MAX_ADDRESSES, decode_address)?,
    })
}

fn decode_address(reader: &mut Reader<'_>) -> Result<SocketAddr, FieldError> {
    let ip = match reader.u8()? {
        4 => IpAddr::V4(Ipv4Addr::from(reader.array::<4>()?)),
        6 => IpAddr::V6(Ipv6Addr::from(reader.array::<16>()?)),
        kind => return Err(FieldError::AddressKind(kind)),
    };
    match SocketAddr::new(ip, reader.u16()?) {
        address if is_dialable(&address) => Ok(address),
        address => Err(FieldError::Address(address)),
    }
}

fn decode_list<T>(
    reader: &mut Reader<'_>,
    most: usize,
    decode: impl Fn(&mut Reader<'_>) -> Result<T, FieldError>,
) -> Result<Vec<T>, FieldError> {
    match usize::from(reader.u8()?) {
        got if got > most => Err(FieldError::TooMany { got, most }),
        got => (0..got).map(|_| decode(reader)).collect(),
    }
}
