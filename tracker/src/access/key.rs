//! API keys: made, kept as hashes, compared in constant time. Pure but for the randomness.
//!
//! A key is `p2pk_ID_SECRET`. The id finds it, the SHA-256 of the whole text proves it; the secret has 256 bits, so a
//! plain hash is as good as a slow one.

use crate::storage::{KeyQuota, MonthUse, Scope, StoredKey};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// What every key begins with.
pub(crate) const PREFIX: &str = "p2pk";

/// What a new key is to be.
#[derive(Debug, Clone, Default)]
pub(crate) struct NewKey {
    /// What it is for, in words.
    pub(crate) name: String,
    /// From when on it is worth nothing, Unix milliseconds.
    pub(crate) expires_at: Option<u64>,
    /// What its holders may use up.
    pub(crate) quota: KeyQuota,
}

/// Makes a key: the text for its holder, who sees it this once, and what is kept of it.
pub(crate) fn make(new: NewKey, scope: Scope, now: u64) -> Result<(String, StoredKey), getrandom::Error> {
    let (mut id, mut secret) = ([0; 6], [0; 32]);
    getrandom::fill(&mut id)?;
    getrandom::fill(&mut secret)?;
    let id = HEXLOWER.encode(&id);
    let text = format!("{PREFIX}_{id}_{}", BASE64URL_NOPAD.encode(&secret));
    let key = StoredKey {
        id,
        digest: digest(&text),
        name: new.name,
        scope,
        created_at: now,
        expires_at: new.expires_at,
        quota: new.quota,
        last_used: None,
        month: MonthUse::default(),
    };
    Ok((text, key))
}

/// The id in a key's text, if it looks like one.
pub(crate) fn id_of(text: &str) -> Option<&str> {
    let mut parts = text.splitn(3, '_');
    let (prefix, id) = (parts.next()?, parts.next()?);
    parts.next()?;
    (prefix == PREFIX).then_some(id)
}

/// Whether this text is that key. Takes the same time wherever they differ.
pub(crate) fn is_right(text: &str, key: &StoredKey) -> bool {
    key.digest.ct_eq(&digest(text)).into()
}

/// Whether a key is good at `now` (Unix milliseconds).
pub(crate) fn is_valid(key: &StoredKey, now: u64) -> bool {
    key.expires_at.is_none_or(|end| now < end)
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}
