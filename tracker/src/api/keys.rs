//! API keys: made, kept as hashes, compared in constant time.
//!
//! A key is `p2pk_ID_SECRET`. The id finds it, the SHA-256 of the whole text proves it; the secret has 256 bits, so a
//! plain hash is as good as a slow one.

use crate::storage::{Scope, StoredKey};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use sha2::{Digest as _, Sha256};
use std::{collections::HashMap, sync::Arc};
use subtle::ConstantTimeEq as _;

const PREFIX: &str = "p2pk";

/// The keys that are valid. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct KeyRing {
    keys: Arc<HashMap<String, StoredKey>>,
}

impl KeyRing {
    /// The ring of these keys.
    pub(crate) fn new(keys: Vec<StoredKey>) -> Self {
        Self {
            keys: Arc::new(keys.into_iter().map(|key| (key.id.clone(), key)).collect()),
        }
    }

    /// Whether calls need a key: whenever there is one.
    pub(crate) fn is_required(&self) -> bool {
        !self.keys.is_empty()
    }

    /// What is kept of a key at `now` (Unix milliseconds); `None` if it is not one of ours or expired.
    pub(crate) fn find(&self, text: &str, now: u64) -> Option<&StoredKey> {
        let mut parts = text.splitn(3, '_');
        let (prefix, id) = (parts.next()?, parts.next()?);
        let key = self.keys.get(id).filter(|_| prefix == PREFIX)?;
        let right: bool = key.digest.ct_eq(&digest(text)).into();
        let valid = key.expires_at.is_none_or(|end| now < end);
        (right && valid).then_some(key)
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// A new key: the text for its holder, who sees it this once, and what is kept of it.
pub(crate) fn make(name: &str, scope: Scope, now: u64) -> Result<(String, StoredKey), getrandom::Error> {
    let (mut id, mut secret) = ([0; 6], [0; 32]);
    getrandom::fill(&mut id)?;
    getrandom::fill(&mut secret)?;
    let id = HEXLOWER.encode(&id);
    let text = format!("{PREFIX}_{id}_{}", BASE64URL_NOPAD.encode(&secret));
    let key = StoredKey {
        id,
        digest: digest(&text),
        name: name.to_owned(),
        scope,
        created_at: now,
        expires_at: None,
    };
    Ok((text, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(scope: Scope, expires_at: Option<u64>) -> (String, KeyRing) {
        let (text, mut key) = make("test", scope, 0).unwrap();
        key.expires_at = expires_at;
        (text, KeyRing::new(vec![key]))
    }

    fn scope(ring: &KeyRing, text: &str, now: u64) -> Option<Scope> {
        ring.find(text, now).map(|key| key.scope)
    }

    #[test]
    fn a_key_opens_what_its_scope_says() {
        let (text, ring) = ring(Scope::Peer, None);
        assert_eq!(scope(&ring, &text, 1), Some(Scope::Peer));
        assert!(ring.is_required());
    }

    #[test]
    fn a_key_that_differs_anywhere_opens_nothing() {
        let (text, ring) = ring(Scope::Admin, None);
        for at in 0..text.len() {
            let mut other = text.clone().into_bytes();
            other[at] = if other[at] == b'x' { b'y' } else { b'x' };
            assert_eq!(
                scope(&ring, std::str::from_utf8(&other).unwrap(), 1),
                None,
                "character {at}"
            );
        }
        for other in [
            "",
            "p2pk",
            "p2pk_",
            "p2pk__",
            &format!("{text}x"),
            &text[..text.len() - 1],
        ] {
            assert_eq!(scope(&ring, other, 1), None, "{other}");
        }
    }

    #[test]
    fn an_expired_key_opens_nothing() {
        let (text, ring) = ring(Scope::Admin, Some(1000));
        assert_eq!(scope(&ring, &text, 999), Some(Scope::Admin));
        assert_eq!(scope(&ring, &text, 1000), None);
    }

    #[test]
    fn what_is_kept_does_not_contain_the_key() {
        let (text, key) = make("test", Scope::Admin, 0).unwrap();
        assert!(!format!("{key:?}").contains(text.splitn(3, '_').nth(2).unwrap()));
    }
}
