//! The packets that open a hole: 32 bytes over UDP that say "it is I, from this round", and the answer "I heard you".
//!
//! Promises that nobody but the two peers of a round can make one: its code is keyed with what only they can compute (their static keys'
//! secret) and what they told each other for this round (the nonces, sealed). A prober gets nothing, for no answer is due to what
//! does not open; what does is answered by as many bytes as it has. Pure; the [burst](super::burst) decides what is sent when.
//!
//! ```text
//! 0   magic    4   0x0e 'p' '2' 'p'
//! 4   kind     1   1 probe, 2 answer
//! 5   role     1   of the sender: 1 client, 2 server
//! 6   number   2   big-endian; of a probe: never used twice in a round; of an answer: the probe's
//! 8   round    8   names the round, to find the key
//! 16  code    16   HMAC-SHA256 over the bytes before, the first half
//! ```
//!
//! On one socket with STUN and QUIC the first byte tells them apart as in RFC 9443: 0–3 are STUN's, 64–255 QUIC's (with its fixed bit, so
//! "greasing" of that bit, RFC 9287, has to be off), 16–63 those of ZRTP and DTLS; 4–15 are nobody's.

use super::signal::RoundNonce;
use crate::{
    crypto::identity::{CryptoError, Identity},
    id::PublicKey,
};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::fmt;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Bytes of a probe, and of an answer.
pub const PROBE: usize = 32;

/// Every probe begins so. The first byte is one that RFC 9443 gives to no protocol.
pub const MAGIC: [u8; 4] = [0x0e, b'p', b'2', b'p'];

const CODED: usize = 16;
const CODE_LABEL: &[u8] = b"p2p/punch-probe/v1 code";
const NAME_LABEL: &[u8] = b"p2p/punch-probe/v1 name";

/// Who does what once there is a path: both sides know without a word, for it follows from their keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The smaller public key: chooses among the addresses that answered, and dials QUIC.
    Client = 1,
    /// The larger one: listens.
    Server = 2,
}

impl Role {
    /// The role of the holder of `own` towards `other`.
    pub fn of(own: &PublicKey, other: &PublicKey) -> Self {
        if own < other { Self::Client } else { Self::Server }
    }

    /// The role of the other side.
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// What a packet says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// "Do you hear me?"
    Probe = 1,
    /// "I heard you": to the address that the probe came from. Whoever gets it knows that packets pass both ways.
    Answer = 2,
}

/// An authentic packet of the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// What it says.
    pub kind: Kind,
    /// Which of the probes.
    pub number: u16,
}

/// Names a round on the wire. Says nothing about who they are, or about the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RoundName(pub [u8; 8]);

/// The round that a datagram says it belongs to. `None`: no probe. Authentic is only what [`ProbeKey::open`] says.
pub fn round_name(datagram: &[u8]) -> Option<RoundName> {
    let probe = datagram.first_chunk::<PROBE>()?;
    let fits = datagram.len() == PROBE && probe.starts_with(&MAGIC);
    fits.then(|| RoundName(std::array::from_fn(|at| probe[8 + at])))
}

/// One side's key for the packets of one round.
pub struct ProbeKey {
    name: RoundName,
    code: Hmac<Sha256>,
    role: Role,
}

impl ProbeKey {
    /// The key that the other side has too, once each has the other's nonce.
    ///
    /// # Errors
    /// [`CryptoError::BadPublicKey`] if `other` is a key that no honest peer has.
    pub fn new(
        identity: &Identity,
        own: &RoundNonce,
        other: &PublicKey,
        others: &RoundNonce,
    ) -> Result<Self, CryptoError> {
        let role = Role::of(&identity.public_key(), other);
        let (client, server) = match role {
            Role::Client => ((identity.public_key(), own), (*other, others)),
            Role::Server => ((*other, others), (identity.public_key(), own)),
        };
        let salt = Zeroizing::new([client.1.0, server.1.0].concat());
        let shared = identity.shared_with(other)?;
        let derived = Hkdf::<Sha256>::new(Some(&salt), shared.as_bytes());
        let parties = [client.0.0, server.0.0].concat();
        let mut key = Zeroizing::new([0; 32]);
        expand(&derived, CODE_LABEL, &parties, &mut *key);
        let mut name = [0; 8];
        expand(&derived, NAME_LABEL, &parties, &mut name);
        Ok(Self {
            name: RoundName(name),
            code: Hmac::new_from_slice(&*key).expect("HMAC takes a key of any length"),
            role,
        })
    }

    /// What the packets of this round are named.
    pub fn name(&self) -> RoundName {
        self.name
    }

    /// Our role in it.
    pub fn role(&self) -> Role {
        self.role
    }

    /// A packet of ours.
    pub fn seal(&self, probe: Probe) -> [u8; PROBE] {
        self.packet(self.role, probe)
    }

    /// Reads a packet of the other side. `None`: it is not one of this round, was changed, or is our own coming back.
    pub fn open(&self, datagram: &[u8]) -> Option<Probe> {
        round_name(datagram).filter(|name| *name == self.name)?;
        let kind = match datagram[4] {
            1 => Kind::Probe,
            2 => Kind::Answer,
            _ => return None,
        };
        let number = u16::from_be_bytes([datagram[6], datagram[7]]);
        let probe = Probe { kind, number };
        let expected = self.packet(self.role.other(), probe);
        bool::from(expected.as_slice().ct_eq(datagram)).then_some(probe)
    }

    fn packet(&self, sender: Role, probe: Probe) -> [u8; PROBE] {
        let mut packet = [0; PROBE];
        packet[..4].copy_from_slice(&MAGIC);
        packet[4] = probe.kind as u8;
        packet[5] = sender as u8;
        packet[6..8].copy_from_slice(&probe.number.to_be_bytes());
        packet[8..CODED].copy_from_slice(&self.name.0);
        let mut code = self.code.clone();
        code.update(&packet[..CODED]);
        packet[CODED..].copy_from_slice(&code.finalize().into_bytes()[..PROBE - CODED]);
        packet
    }
}

impl fmt::Debug for ProbeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProbeKey({:?}, {:?})", self.name, self.role)
    }
}

fn expand(derived: &Hkdf<Sha256>, label: &[u8], parties: &[u8], out: &mut [u8]) {
    derived
        .expand_multi_info(&[label, parties], out)
        .expect("32 bytes are less than the 255 blocks that HKDF can give");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use proptest::{collection::vec, prelude::*};

    const NONCES: [RoundNonce; 2] = [RoundNonce([0x11; 16]), RoundNonce([0x22; 16])];

    /// The keys of two peers for one round, the client's first.
    fn keys() -> [ProbeKey; 2] {
        let (one, two) = (testing::identity(1), testing::identity(2));
        let one_key = ProbeKey::new(&one, &NONCES[0], &two.public_key(), &NONCES[1]).unwrap();
        let two_key = ProbeKey::new(&two, &NONCES[1], &one.public_key(), &NONCES[0]).unwrap();
        match one_key.role() {
            Role::Client => [one_key, two_key],
            Role::Server => [two_key, one_key],
        }
    }

    const PROBES: [Probe; 2] = [
        Probe {
            kind: Kind::Probe,
            number: 0x0102,
        },
        Probe {
            kind: Kind::Answer,
            number: 0xffff,
        },
    ];

    #[test]
    fn each_side_opens_what_the_other_sent_and_not_its_own() {
        let [client, server] = keys();
        assert_eq!(client.name(), server.name());
        for probe in PROBES {
            assert_eq!(server.open(&client.seal(probe)), Some(probe));
            assert_eq!(client.open(&server.seal(probe)), Some(probe));
            assert_eq!(client.open(&client.seal(probe)), None);
        }
    }

    #[test]
    fn every_flipped_bit_of_a_probe_is_noticed() {
        let [client, server] = keys();
        let sent = client.seal(PROBES[0]);
        for bit in 0..PROBE * 8 {
            let mut changed = sent;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(server.open(&changed), None, "{bit}");
        }
    }

    #[test]
    fn a_probe_of_another_round_or_of_another_peer_does_not_open() {
        let [client, _] = keys();
        let sent = client.seal(PROBES[0]);
        let (one, two, three) = (testing::identity(1), testing::identity(2), testing::identity(3));
        let later = RoundNonce([0x23; 16]);
        let others = [
            ProbeKey::new(&two, &later, &one.public_key(), &NONCES[0]),
            ProbeKey::new(&two, &NONCES[1], &one.public_key(), &later),
            ProbeKey::new(&three, &NONCES[1], &one.public_key(), &NONCES[0]),
            ProbeKey::new(&three, &NONCES[0], &two.public_key(), &NONCES[1]),
        ];
        for other in others {
            let other = other.unwrap();
            assert_ne!(other.name(), client.name());
            assert_eq!(other.open(&sent), None);
        }
    }

    #[test]
    fn no_first_byte_of_a_probe_is_one_of_stun_or_quic() {
        let [client, _] = keys();
        let first = client.seal(PROBES[0])[0];
        assert!((4..=15).contains(&first));
        assert_eq!(round_name(&client.seal(PROBES[0])), Some(client.name()));
        assert_eq!(
            crate::holepunch::stun::read_request(&client.seal(PROBES[0])),
            None
        );
    }

    #[test]
    fn what_is_longer_or_shorter_is_no_probe() {
        let [client, _] = keys();
        let sent = client.seal(PROBES[0]);
        for length in 0..PROBE {
            assert_eq!(round_name(&sent[..length]), None);
        }
        assert_eq!(round_name(&[&sent[..], &[0]].concat()), None);
    }

    #[test]
    fn keys_that_make_the_secret_public_are_refused() {
        let identity = testing::identity(1);
        for key in [PublicKey([0; 32]), PublicKey([0xff; 32])] {
            let made = ProbeKey::new(&identity, &NONCES[0], &key, &NONCES[1]);
            assert!(matches!(made, Err(CryptoError::BadPublicKey)));
        }
    }

    proptest! {
        #[test]
        fn garbage_is_no_probe(rest in vec(any::<u8>(), 0..64), with_name in any::<bool>()) {
            let [client, _] = keys();
            let mut bytes = [&MAGIC[..], &rest].concat();
            if let (true, Some(place)) = (with_name, bytes.get_mut(8..16)) {
                place.copy_from_slice(&client.name().0);
            }
            prop_assert_eq!(client.open(&bytes), None);
            prop_assert_eq!(client.open(&rest), None);
            prop_assert_eq!(round_name(&bytes).is_some(), bytes.len() == PROBE);
        }

        #[test]
        fn any_number_reads_back(number in any::<u16>()) {
            let [client, server] = keys();
            let probe = Probe { kind: Kind::Probe, number };
            prop_assert_eq!(server.open(&client.seal(probe)), Some(probe));
        }
    }
}
