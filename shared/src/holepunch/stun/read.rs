//! Bytes to what they say.

use super::{COOKIE, FINGERPRINT_LEN, HEADER, TransactionId, attribute, fingerprint, kind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A Binding request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// To be repeated in the answer.
    pub transaction: TransactionId,
    /// Attributes that have to be understood and are not.
    pub unknown: Vec<u16>,
    /// Bytes of the whole request.
    pub len: usize,
}

/// What a server answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// Where the server sees the client.
    pub mapped: SocketAddr,
    /// The server's other address. An unspecified IP means the one that was asked.
    pub other: Option<SocketAddr>,
}

/// Why bytes are no answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BindingError {
    /// Not STUN, or not to this request: to be ignored.
    #[error("no answer to this request")]
    Foreign,
    /// The server refuses.
    #[error("the STUN server refuses with {0}")]
    Refused(u16),
    /// An answer without an address.
    #[error("the STUN server's answer names no address")]
    NoAddress,
}

/// A message whose shape is right.
struct Message<'a> {
    kind: u16,
    transaction: TransactionId,
    attributes: &'a [u8],
}

/// Reads a Binding request. `None`: it is none, and gets no answer.
pub fn read_request(bytes: &[u8]) -> Option<Request> {
    let message = message(bytes).filter(|message| message.kind == kind::REQUEST)?;
    let known = [attribute::PADDING, attribute::FIRST_OPTIONAL];
    let unknown = attributes(message.attributes)
        .map(|(kind, _)| kind)
        .filter(|kind| *kind < attribute::FIRST_OPTIONAL && !known.contains(kind))
        .collect();
    Some(Request {
        transaction: message.transaction,
        unknown,
        len: bytes.len(),
    })
}

/// Reads the answer to a request.
pub fn read_reply(bytes: &[u8], transaction: TransactionId) -> Result<Reply, BindingError> {
    let message = message(bytes).filter(|message| message.transaction == transaction);
    let message = message.ok_or(BindingError::Foreign)?;
    let find = |wanted| attributes(message.attributes).find(|(kind, _)| *kind == wanted);
    match message.kind {
        kind::SUCCESS => {
            let xored =
                find(attribute::XOR_MAPPED_ADDRESS).and_then(|(_, value)| address(value, Some(transaction)));
            let plain = || find(attribute::MAPPED_ADDRESS).and_then(|(_, value)| address(value, None));
            let other = find(attribute::OTHER_ADDRESS).and_then(|(_, value)| address(value, None));
            let mapped = xored.or_else(plain).ok_or(BindingError::NoAddress)?;
            Ok(Reply { mapped, other })
        }
        kind::ERROR => Err(BindingError::Refused(
            find(attribute::ERROR_CODE).map_or(0, |(_, value)| error_code(value)),
        )),
        _ => Err(BindingError::Foreign),
    }
}

/// Whether this is a STUN message: header, cookie, length, every attribute whole, and the fingerprint right if there is one.
fn message(bytes: &[u8]) -> Option<Message<'_>> {
    let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let cookie = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    let is_stun = cookie == COOKIE && usize::from(word(2)) == rest.len() && rest.len().is_multiple_of(4);
    if !is_stun || !is_whole(rest) {
        return None;
    }
    if let Some(at) = rest.len().checked_sub(FINGERPRINT_LEN)
        && let Some((attribute::FINGERPRINT, value)) = attributes(rest).last()
        && value != fingerprint(&bytes[..HEADER + at]).to_be_bytes()
    {
        return None;
    }
    Some(Message {
        kind: word(0),
        transaction: std::array::from_fn(|at| header[8 + at]),
        attributes: rest,
    })
}

/// Type and value.
type Attribute<'a> = (u16, &'a [u8]);

/// The first attribute and what is behind it.
fn split(bytes: &[u8]) -> Option<(Attribute<'_>, &[u8])> {
    let (&[a, b, c, d], rest) = bytes.split_first_chunk::<4>()?;
    let len = usize::from(u16::from_be_bytes([c, d]));
    let value = rest.get(..len)?;
    let rest = rest.get(len.next_multiple_of(4)..)?;
    Some(((u16::from_be_bytes([a, b]), value), rest))
}

fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = Attribute<'_>> {
    std::iter::from_fn(move || {
        let (attribute, rest) = split(bytes)?;
        bytes = rest;
        Some(attribute)
    })
}

fn is_whole(mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        let Some((_, rest)) = split(bytes) else {
            return false;
        };
        bytes = rest;
    }
    true
}

/// An address; `xored`: with the cookie and this transaction (RFC 8489 section 14.2).
fn address(value: &[u8], xored: Option<TransactionId>) -> Option<SocketAddr> {
    let (&[_, family, p, q], ip) = value.split_first_chunk::<4>()?;
    let mut key = [0; 16];
    if let Some(transaction) = xored {
        key[..4].copy_from_slice(&COOKIE.to_be_bytes());
        key[4..].copy_from_slice(&transaction);
    }
    let port = u16::from_be_bytes([p ^ key[0], q ^ key[1]]);
    let ip = match family {
        1 => {
            let ip: [u8; 4] = ip.try_into().ok()?;
            IpAddr::from(Ipv4Addr::from(std::array::from_fn(|at| ip[at] ^ key[at])))
        }
        2 => {
            let ip: [u8; 16] = ip.try_into().ok()?;
            IpAddr::from(Ipv6Addr::from(std::array::from_fn(|at| ip[at] ^ key[at])))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn error_code(value: &[u8]) -> u16 {
    match value {
        [_, _, class, number, ..] => u16::from(class & 7) * 100 + u16::from(*number),
        _ => 0,
    }
}
