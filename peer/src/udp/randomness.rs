//! The randomness of QUIC's TLS: the system's.
//!
//! aws-lc measures the processor's jitter before its first random number, which takes some 40 ms: a punched path would wait for it, on
//! both sides one after the other. So what a handshake needs at random is not asked of it: the key agreement (X25519, RFC 7748, refused if
//! the other side's key contributes nothing) and the random bytes of the messages. Owns no state.

use rustls::{
    Error, NamedGroup, PeerMisbehaved,
    crypto::{ActiveKeyExchange, GetRandomFailed, SecureRandom, SharedSecret, SupportedKxGroup},
};
use x25519_dalek::{PublicKey, StaticSecret};

/// Random bytes of the operating system.
#[derive(Debug)]
pub(super) struct System;

impl SecureRandom for System {
    fn fill(&self, buf: &mut [u8]) -> Result<(), GetRandomFailed> {
        getrandom::fill(buf).map_err(|_| GetRandomFailed)
    }
}

/// Key agreement by X25519.
#[derive(Debug)]
pub(super) struct X25519;

impl SupportedKxGroup for X25519 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut bytes = zeroize::Zeroizing::new([0; 32]);
        System.fill(&mut *bytes)?;
        let secret = StaticSecret::from(*bytes);
        let public = PublicKey::from(&secret);
        Ok(Box::new(Exchange { secret, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

/// Our half of an agreement.
struct Exchange {
    secret: StaticSecret,
    public: PublicKey,
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer_pub_key: &[u8]) -> Result<SharedSecret, Error> {
        let refused = || Error::from(PeerMisbehaved::InvalidKeyShare);
        let theirs = <[u8; 32]>::try_from(peer_pub_key).map_err(|_| refused())?;
        let shared = self.secret.diffie_hellman(&theirs.into());
        if !shared.was_contributory() {
            return Err(refused());
        }
        Ok(SharedSecret::from(&shared.as_bytes()[..]))
    }

    fn pub_key(&self) -> &[u8] {
        self.public.as_bytes()
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::crypto::aws_lc_rs::kx_group;

    #[test]
    fn it_agrees_with_another_maker_s_x25519() {
        let (ours, theirs) = (X25519.start().unwrap(), kx_group::X25519.start().unwrap());
        let (our_key, their_key) = (ours.pub_key().to_vec(), theirs.pub_key().to_vec());
        let (one, other) = (
            ours.complete(&their_key).unwrap(),
            theirs.complete(&our_key).unwrap(),
        );
        assert_eq!(one.secret_bytes(), other.secret_bytes());
    }

    #[test]
    fn keys_are_new_each_time() {
        assert_ne!(
            X25519.start().unwrap().pub_key(),
            X25519.start().unwrap().pub_key()
        );
    }

    #[test]
    fn a_key_that_contributes_nothing_and_one_of_another_length_are_refused() {
        for bad in [&[0; 32][..], &[9; 31], &[9; 33], &[]] {
            let refused = X25519.start().unwrap().complete(bad);
            assert_eq!(
                refused.err(),
                Some(PeerMisbehaved::InvalidKeyShare.into()),
                "{bad:?}"
            );
        }
    }
}
