//! How values are written in columns, the same in every back end, and read back with their damage named.

use super::{Scope, StoreError};
use p2p_shared::{
    hash::HashAlgorithm,
    id::{ChunkHash, PeerId},
    manifest::{FileName, ShareKind},
};
use std::{fmt::Display, net::SocketAddr, str::FromStr};
use uuid::Uuid;

/// The error for a column that does not hold what was once written.
pub(crate) fn damaged(column: &'static str, reason: impl Display) -> StoreError {
    StoreError::Damaged {
        column,
        reason: reason.to_string(),
    }
}

/// 32 raw bytes.
pub(crate) fn bytes32(column: &'static str, bytes: &[u8]) -> Result<[u8; 32], StoreError> {
    bytes
        .try_into()
        .map_err(|_| damaged(column, format_args!("{} bytes instead of 32", bytes.len())))
}

/// The 16 bytes of a peer's id.
pub(crate) fn peer_id(column: &'static str, bytes: &[u8]) -> Result<PeerId, StoreError> {
    let id = Uuid::from_slice(bytes).map_err(|error| damaged(column, error))?;
    Ok(PeerId::from_uuid(id))
}

/// Text that parses.
pub(crate) fn parsed<T: FromStr<Err: Display>>(column: &'static str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|error| damaged(column, error))
}

/// A number that fits.
pub(crate) fn number<T: TryFrom<i64>>(column: &'static str, value: i64) -> Result<T, StoreError> {
    T::try_from(value).map_err(|_| damaged(column, format_args!("{value} is out of range")))
}

/// Addresses separated by spaces.
pub(crate) fn addresses_text(addresses: &[SocketAddr]) -> String {
    let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    texts.join(" ")
}

/// Reads [`addresses_text`].
pub(crate) fn addresses(column: &'static str, text: &str) -> Result<Box<[SocketAddr]>, StoreError> {
    text.split_ascii_whitespace()
        .map(|address| parsed(column, address))
        .collect()
}

/// A share kind as text.
pub(crate) fn kind_text(kind: ShareKind) -> &'static str {
    match kind {
        ShareKind::File => "file",
        ShareKind::Folder => "folder",
    }
}

/// Reads [`kind_text`].
pub(crate) fn kind(text: &str) -> Result<ShareKind, StoreError> {
    match text {
        "file" => Ok(ShareKind::File),
        "folder" => Ok(ShareKind::Folder),
        other => Err(damaged("files.kind", other)),
    }
}

/// A scope as text.
pub(crate) fn scope_text(scope: Scope) -> &'static str {
    match scope {
        Scope::Read => "read",
        Scope::Peer => "peer",
        Scope::Admin => "admin",
    }
}

/// Reads [`scope_text`].
pub(crate) fn scope(text: &str) -> Result<Scope, StoreError> {
    match text {
        "read" => Ok(Scope::Read),
        "peer" => Ok(Scope::Peer),
        "admin" => Ok(Scope::Admin),
        other => Err(damaged("api_keys.scope", other)),
    }
}

/// What a search compares names in.
pub(crate) fn folded(name: &str) -> String {
    name.to_lowercase()
}

/// Digests as one run of bytes.
pub(crate) fn digest_bytes(digests: &[ChunkHash]) -> Vec<u8> {
    digests.iter().flat_map(|digest| digest.0).collect()
}

/// Appends the digests in `bytes`.
pub(crate) fn push_digests(bytes: &[u8], digests: &mut Vec<ChunkHash>) -> Result<(), StoreError> {
    let (whole, rest) = bytes.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(damaged("chunks.hashes", "cut inside a digest"));
    }
    digests.extend(whole.iter().copied().map(ChunkHash));
    Ok(())
}

/// A validated file name.
pub(crate) fn file_name(text: &str) -> Result<FileName, StoreError> {
    parsed("files.name", text)
}

/// A hash algorithm.
pub(crate) fn algorithm(text: &str) -> Result<HashAlgorithm, StoreError> {
    parsed("files.algorithm", text)
}
