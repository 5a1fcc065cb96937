//! The peer protocol: what two peers say to each other once the [handshake](crate::crypto::handshake) has told each
//! who the other is.
//!
//! Every [record](crate::crypto::record) holds one message: a type byte, then the payload. A *control message* is a
//! [`PeerMessage`] in bincode 2 (standard configuration: little-endian, integers as varints, the variant's position is the
//! type byte). A *chunk* is type [`CHUNK`], a fixed header (file hash 32 bytes, chunk index u32 big-endian), then the
//! chunk's bytes to the end of the record; it is read in place, without a copy. Nothing is negotiated: one set of
//! messages a [protocol version](crate::crypto::handshake::PROTOCOL_VERSION), which the handshake binds; a message that came
//! later is sent only to who announced its bit in `Hello.features`.
//!
//! **Order.** Each side sends `Hello` first and once; anything before it ends the session. Then, for every file
//! that it wants to talk about, `Attach`; the other side answers with `Attach` (it shares the file too, wholly or in
//! part) and its `Bitfield`, or with `Detach { NotShared }`. One session serves many files. What names a file that is
//! not attached on both sides is answered with `Reject` (a request) or ignored (the rest: it may have crossed a `Detach`).
//!
//! **Having.** `Bitfield` says what the sender holds: bit 0 of byte 0 (the most significant bit) is chunk 0. A file of
//! more chunks than fit in one message takes several, in order, each with the number of its first byte. `Have` adds one chunk. A
//! peer never takes a chunk back but by `Detach`.
//!
//! **Fetching.** Both sides start choked and not interested. `Interested` asks for an `Unchoke`; while unchoked, each
//! `Request` is answered by exactly one chunk or `Reject`, in any order. `Choke` rejects nothing by itself: what was
//! asked is still answered, one way or the other. So it is after a `Cancel` (with the chunk, if it was on its way already,
//! else with a `Reject`) and after a `Detach`: whoever asked can tell an answer that is late from one that nobody asked for.
//! How many requests are outstanding is the asker's business (its window); a serving peer queues at most
//! [`MAX_REQUESTS`] and rejects more as `Busy`.
//!
//! **Hashes.** `GetHashes` asks for chunk hashes of a range, `Hashes` brings them with a
//! [proof](crate::merkle::MerkleProof) against the Merkle root, so a file can be fetched without any tracker.
//!
//! **Meeting others.** `PeerExchange` names more peers of a public file. They are hints: who dials one proves its
//! key in the handshake.
//!
//! **Living and ending.** `Ping` wants its nonce back in a `Pong`. `Goodbye` is the last message and says why; an end of
//! the stream without it is an error.
//!
//! Everything here is bounded ([`peer`] has the numbers) and checked twice by the same code: what [`decode`] would
//! refuse, [`encode`] does not send. No sockets, no keys, no state: who may say what when is the session's to check.
//!
//! What a peer and a relay say to each other is in [`relay`].

pub mod codec;
pub mod peer;
pub mod relay;
pub mod relay_codec;
#[cfg(test)]
mod tests;

pub use codec::{CHUNK, CHUNK_PREFIX, DecodeError, EncodeError, chunk_prefix, decode, encode};
pub use peer::{
    ChunkHeader, DetachReason, GoodbyeReason, Hello, Incoming, MAX_BITFIELD, MAX_HASHES, MAX_HINT_ADDRESSES,
    MAX_HINTS, MAX_LISTEN, MAX_REQUESTS, OutOfBounds, PeerHint, PeerMessage, RejectReason,
};
