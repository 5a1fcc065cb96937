//! What is to be said, to bytes.

use super::{COOKIE, FINGERPRINT_LEN, HEADER, TransactionId, attribute, fingerprint, kind, read::Request};
use std::net::{IpAddr, SocketAddr};

/// Bytes of a request of ours: as many as the longest answer, two IPv6 addresses and a fingerprint.
pub const OUR_REQUEST: usize = HEADER + 24 + 24 + FINGERPRINT_LEN;

/// Numbers of unknown attributes that fit in a refusal; of further ones the client hears when it tries again.
const MOST_UNKNOWN: usize = 2;

/// An answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The datagram.
    pub bytes: Vec<u8>,
    /// Whether it is longer than the request: to be rationed, or the server would be of use to who forges addresses.
    pub amplifies: bool,
}

/// A Binding request of [`OUR_REQUEST`] bytes.
pub fn request(transaction: TransactionId) -> Vec<u8> {
    let mut message = Writer::new(kind::REQUEST, transaction);
    let padding = OUR_REQUEST - HEADER - FINGERPRINT_LEN - 4;
    message.attribute(attribute::PADDING, &vec![0; padding]);
    message.finish(true)
}

/// The answer to a request that came from `source` to a server that has another address `other`. What there is no room for, less the address
/// that was asked for, is left out.
pub fn answer(request: &Request, source: SocketAddr, other: Option<SocketAddr>) -> Answer {
    let bytes = if request.unknown.is_empty() {
        success(request, source, other)
    } else {
        refusal(request)
    };
    Answer {
        amplifies: bytes.len() > request.len,
        bytes,
    }
}

fn success(request: &Request, source: SocketAddr, other: Option<SocketAddr>) -> Vec<u8> {
    let mut message = Writer::new(kind::SUCCESS, request.transaction);
    message.attribute(
        attribute::XOR_MAPPED_ADDRESS,
        &address(source, Some(request.transaction)),
    );
    if let Some(other) = other {
        let value = address(other, None);
        if message.bytes.len() + 4 + value.len() <= request.len {
            message.attribute(attribute::OTHER_ADDRESS, &value);
        }
    }
    let has_room = message.bytes.len() + FINGERPRINT_LEN <= request.len;
    message.finish(has_room)
}

/// 420 (Unknown Attribute), without the words.
fn refusal(request: &Request) -> Vec<u8> {
    let mut message = Writer::new(kind::ERROR, request.transaction);
    message.attribute(attribute::ERROR_CODE, &[0, 0, 4, 20]);
    let unknown = request.unknown.iter().take(MOST_UNKNOWN);
    let unknown: Vec<u8> = unknown.flat_map(|kind| kind.to_be_bytes()).collect();
    message.attribute(attribute::UNKNOWN_ATTRIBUTES, &unknown);
    message.finish(false)
}

fn address(address: SocketAddr, xored: Option<TransactionId>) -> Vec<u8> {
    let (family, mut bytes) = match address.ip().to_canonical() {
        IpAddr::V4(ip) => (1, ip.octets().to_vec()),
        IpAddr::V6(ip) => (2, ip.octets().to_vec()),
    };
    let mut port = address.port().to_be_bytes();
    if let Some(transaction) = xored {
        let key = [&COOKIE.to_be_bytes()[..], &transaction].concat();
        bytes.iter_mut().zip(&key).for_each(|(byte, key)| *byte ^= key);
        port.iter_mut().zip(&key).for_each(|(byte, key)| *byte ^= key);
    }
    [&[0, family][..], &port, &bytes].concat()
}

struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn new(kind: u16, transaction: TransactionId) -> Self {
        let cookie = COOKIE.to_be_bytes();
        let bytes = [&kind.to_be_bytes()[..], &[0, 0], &cookie, &transaction].concat();
        Self { bytes }
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.bytes.extend(kind.to_be_bytes());
        // Values here are of a few dozen bytes.
        self.bytes.extend((value.len() as u16).to_be_bytes());
        self.bytes.extend(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self, with_fingerprint: bool) -> Vec<u8> {
        if with_fingerprint {
            self.set_length(FINGERPRINT_LEN);
            let value = fingerprint(&self.bytes).to_be_bytes();
            self.attribute(attribute::FINGERPRINT, &value);
        }
        self.set_length(0);
        self.bytes
    }

    /// Writes the length of what there is and what is to come.
    fn set_length(&mut self, to_come: usize) {
        let length = (self.bytes.len() + to_come - HEADER) as u16;
        self.bytes[2..4].copy_from_slice(&length.to_be_bytes());
    }
}
