//! STUN Binding (RFC 8489), both ends: "from which address do you see me?" Pure.
//!
//! What is spoken: Binding requests, their success and error responses, `XOR-MAPPED-ADDRESS` (and, from older servers,
//! `MAPPED-ADDRESS`), `FINGERPRINT`, `ERROR-CODE`, `UNKNOWN-ATTRIBUTES`; of RFC 5780 `OTHER-ADDRESS`, by which a client learns of the server's
//! second port and so how its NAT maps, and `PADDING`. Nothing of authentication.
//!
//! A server of ours never answers with more bytes than it got, one case excepted: a bare request of 20 bytes, as public
//! clients send it, gets the shortest answer there is, and [`Answer::amplifies`] says so, for the server to ration. Ours pad their requests.

mod read;
#[cfg(test)]
mod tests;
mod write;

pub use read::{BindingError, Reply, Request, read_reply, read_request};
pub use write::{Answer, OUR_REQUEST, answer, request};

/// Bytes of a header.
pub const HEADER: usize = 20;

/// What every message of RFC 5389 and later has in its fifth to eighth byte.
const COOKIE: u32 = 0x2112_a442;

/// What a fingerprint is combined with.
const FINGERPRINT_MASK: u32 = 0x5354_554e;

/// A fingerprint as an attribute.
const FINGERPRINT_LEN: usize = 8;

/// Names one request. From a good source of randomness, so that nobody off the path can answer it.
pub type TransactionId = [u8; 12];

/// Types of messages: method Binding, by class.
mod kind {
    pub(super) const REQUEST: u16 = 0x0001;
    pub(super) const SUCCESS: u16 = 0x0101;
    pub(super) const ERROR: u16 = 0x0111;
}

/// Types of attributes. Those below 0x8000 have to be understood.
mod attribute {
    pub(super) const MAPPED_ADDRESS: u16 = 0x0001;
    pub(super) const ERROR_CODE: u16 = 0x0009;
    pub(super) const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
    pub(super) const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    pub(super) const PADDING: u16 = 0x0026;
    pub(super) const FIRST_OPTIONAL: u16 = 0x8000;
    pub(super) const FINGERPRINT: u16 = 0x8028;
    pub(super) const OTHER_ADDRESS: u16 = 0x802c;
}

/// The fingerprint of a message, `before` being all of it before that attribute, its length counting the attribute already.
fn fingerprint(before: &[u8]) -> u32 {
    crc32fast::hash(before) ^ FINGERPRINT_MASK
}
