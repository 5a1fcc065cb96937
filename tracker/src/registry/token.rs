//! The tokens that registered peers show.
//!
//! A token names the peer and the registration it belongs to, and carries a code that only this process can make
//! (HMAC-SHA256, RFC 2104). So checking one needs no table, a token outlives a crash of the registry, and ends with the
//! process: after a restart of the tracker every peer registers again. Whether the registration still holds is the
//! registry's to say.

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use p2p_shared::id::PeerId;
use sha2::Sha256;
use uuid::Uuid;

/// Peer id, session and code.
const LENGTH: usize = 16 + 8 + CODE;

/// 128 bits of the code: beyond guessing for a token that lives as long as a lease is kept up.
const CODE: usize = 16;

/// Which registration of which peer a token speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Session {
    /// The peer.
    pub(crate) peer: PeerId,
    /// Grows with every registration of the peer; only the latest one is valid.
    pub(crate) number: u64,
}

/// Makes and reads the tokens of one process.
#[derive(Clone)]
pub(crate) struct Tokens {
    code: Hmac<Sha256>,
}

impl Tokens {
    /// Tokens under a new secret, from the operating system's randomness.
    pub(crate) fn new() -> Result<Self, getrandom::Error> {
        let mut secret = [0; 64];
        getrandom::fill(&mut secret)?;
        Ok(Self::with_secret(&secret))
    }

    fn with_secret(secret: &[u8; 64]) -> Self {
        Self {
            code: Hmac::<Sha256>::new(secret.into()),
        }
    }

    /// The token of a session.
    pub(crate) fn issue(&self, session: Session) -> String {
        let mut token = [0; LENGTH];
        token[..16].copy_from_slice(session.peer.as_uuid().as_bytes());
        token[16..24].copy_from_slice(&session.number.to_be_bytes());
        let code = self.code(&token[..24]).finalize().into_bytes();
        token[24..].copy_from_slice(&code[..CODE]);
        BASE64URL_NOPAD.encode(&token)
    }

    /// The session that a token speaks for; `None` for text that this process did not issue. Compares in constant
    /// time.
    pub(crate) fn read(&self, text: &str) -> Option<Session> {
        let mut token = [0; LENGTH];
        if BASE64URL_NOPAD.decode_len(text.len()) != Ok(LENGTH) {
            return None;
        }
        BASE64URL_NOPAD.decode_mut(text.as_bytes(), &mut token).ok()?;
        self.code(&token[..24]).verify_truncated_left(&token[24..]).ok()?;
        let (id, number) = token[..24].split_at(16);
        Some(Session {
            peer: PeerId::from_uuid(Uuid::from_slice(id).ok()?),
            number: u64::from_be_bytes(number.try_into().ok()?),
        })
    }

    fn code(&self, message: &[u8]) -> Hmac<Sha256> {
        self.code.clone().chain_update(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use p2p_shared::id::PublicKey;

    fn session() -> Session {
        Session {
            peer: PeerId::of(&PublicKey([7; 32])),
            number: 1_700_000_000_123,
        }
    }

    #[test]
    fn a_token_names_its_peer_and_registration() {
        let tokens = Tokens::with_secret(&[1; 64]);
        assert_eq!(tokens.read(&tokens.issue(session())), Some(session()));
    }

    #[test]
    fn a_token_of_another_process_is_unknown() {
        let token = Tokens::with_secret(&[1; 64]).issue(session());
        assert_eq!(Tokens::with_secret(&[2; 64]).read(&token), None);
    }

    #[test]
    fn a_token_changed_in_any_place_is_unknown() {
        let tokens = Tokens::with_secret(&[1; 64]);
        let token = tokens.issue(session());
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(
                tokens.read(std::str::from_utf8(&changed).unwrap()),
                None,
                "character {at}"
            );
        }
    }

    #[test]
    fn text_that_is_no_token_is_unknown() {
        let tokens = Tokens::with_secret(&[1; 64]);
        for text in ["", "x", "not a token at all", &"A".repeat(54), &"é".repeat(27)] {
            assert_eq!(tokens.read(text), None, "{text}");
        }
    }
}
