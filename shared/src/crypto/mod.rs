//! What makes a connection private and authentic.
//!
//! In reading order: [`identity`] is who a peer is and how it proves that to a tracker; [`handshake`] is how two
//! peers come to share keys; [`record`] is how every byte travels afterwards; [`aead`] is the cipher under the
//! records, in two builds that make the same bytes; [`sealed`] is one message to a peer with whom there is no session.
//!
//! Nothing here opens a socket or reads a clock: bytes in, bytes out. One suite a protocol version, nothing is
//! negotiated: X25519, HKDF-SHA256, AES-256-GCM.

pub mod aead;
mod epoch;
mod exchange;
pub mod handshake;
pub mod identity;
pub mod record;
mod resolver;
pub mod sealed;

#[cfg(test)]
mod tests;
