//! What the wire looks like, what is refused, and that nothing breaks the decoder.

mod bounds;
mod properties;
mod relay;
mod snapshots;

use super::{PeerMessage, encode};
use crate::id::FileHash;
use std::net::SocketAddr;

const FILE: FileHash = FileHash([0xf1; 32]);

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn message(message: &PeerMessage) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(message, &mut bytes).unwrap();
    bytes
}
