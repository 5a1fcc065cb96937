//! What two peers tell each other through a relay before they punch, and its bytes.
//!
//! Three messages, always [sealed](crate::crypto::sealed) for the receiver: `Offer` ("I may be reached here"), `Answer` to it ("and I here"),
//! `Start` ("now") from who offered. `Answer` and `Start` name the nonce that they answer, and nobody but its receiver could read it: so who gets an
//! `Answer` or a `Start` knows that the other side is there now, without any clock. A recorded `Offer` that is sent again is worth
//! one `Answer` to the genuine peer, and no packet to any candidate.
//!
//! A variant's position is its type byte, as everywhere in the [protocol](crate::protocol): new ones go to the end. Pure.

use super::candidate::{Candidate, MAX_CANDIDATES};
use crate::{
    crypto::sealed::MAX_PLAINTEXT,
    protocol::{
        codec::{DecodeError, EncodeError, limited, unlimited},
        peer::{OutOfBounds, at_most},
    },
};
use bincode::{Decode, Encode};
use std::fmt;

/// How many type bytes are taken, from 0 on.
const SIGNAL_TYPES: u8 = 3;

/// What a signal may claim in memory: an address takes twice the room that it has on the wire.
const BUDGET: usize = 2 * MAX_PLAINTEXT;

/// Names one side's part in one round. Random, known to the two peers alone, used once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct RoundNonce(pub [u8; 16]);

/// It is part of a key.
impl fmt::Debug for RoundNonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoundNonce(…)")
    }
}

/// SHA-256 of the certificate (DER) that a peer's QUIC endpoint shows. Who learned it from a sealed signal need not trust anybody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct CertificateHash(pub [u8; 32]);

/// Where one side may be reached in this round.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Offer {
    /// This side's part in the round.
    pub nonce: RoundNonce,
    /// What its QUIC endpoint shows.
    pub certificate: CertificateHash,
    /// At most [`MAX_CANDIDATES`]; which of them are worth a probe is for the receiver to say ([`usable`](super::candidate::usable)).
    pub candidates: Vec<Candidate>,
}

/// What travels in a relay's `Signal`, sealed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum PunchSignal {
    /// "Let us try."
    Offer(Offer),
    /// "Yes, from here."
    Answer {
        /// The nonce of the offer.
        to: RoundNonce,
        /// The answering side's own part.
        offer: Offer,
    },
    /// "Now." Sent by who offered, who begins itself half a round trip later.
    Start {
        /// The nonce of the answer.
        to: RoundNonce,
    },
}

impl PunchSignal {
    /// Whether every field keeps the bounds of the protocol; holds for what is sent and for what is received.
    pub fn check(&self) -> Result<(), OutOfBounds> {
        match self {
            Self::Offer(offer) | Self::Answer { offer, .. } => at_most(
                "candidates in an offer",
                offer.candidates.len() as u64,
                MAX_CANDIDATES as u64,
            ),
            Self::Start { .. } => Ok(()),
        }
    }

    /// Its bytes, at most [`MAX_PLAINTEXT`] of them. An error is a mistake of the sender.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        self.check()?;
        bincode::encode_to_vec(self, unlimited()).map_err(|error| EncodeError::Unencodable(error.to_string()))
    }

    /// Reads what an opened signal held.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let kind = *bytes.first().ok_or(DecodeError::Empty)?;
        if kind >= SIGNAL_TYPES {
            return Err(DecodeError::UnknownType(kind));
        }
        let (signal, used): (Self, usize) =
            bincode::decode_from_slice(bytes, limited::<BUDGET>()).map_err(|error| {
                DecodeError::Malformed {
                    kind,
                    detail: error.to_string(),
                }
            })?;
        if used < bytes.len() {
            return Err(DecodeError::Trailing(bytes.len() - used));
        }
        signal.check()?;
        Ok(signal)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::candidate::CandidateKind, *};

    use proptest::{collection::vec, prelude::*, sample::select};
    use std::net::SocketAddr;

    const NONCE: RoundNonce = RoundNonce([0x11; 16]);

    fn offer(candidates: Vec<Candidate>) -> Offer {
        Offer {
            nonce: RoundNonce([0x22; 16]),
            certificate: CertificateHash([0x33; 32]),
            candidates,
        }
    }

    fn candidates(count: usize) -> Vec<Candidate> {
        let address: SocketAddr = "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().unwrap();
        let kind = CandidateKind::Reflexive;
        vec![Candidate { kind, address }; count]
    }

    /// Peers of this version are out there: a change here is a new protocol version.
    #[test]
    fn every_punch_signal_keeps_its_bytes() {
        let n = "11".repeat(16);
        let o = format!("{} {}", "22".repeat(16), "33".repeat(32));
        let kinds = ["10.0.0.2:80", "[2001:db8::1]:443"].map(|text| text.parse().unwrap());
        let two = vec![
            Candidate {
                kind: CandidateKind::Lan,
                address: kinds[0],
            },
            Candidate {
                kind: CandidateKind::Ipv6,
                address: kinds[1],
            },
        ];
        let v6 = "20010db8000000000000000000000001";
        let mut snapshots = vec![
            (
                PunchSignal::Offer(offer(two)),
                format!("00 {o} 02 00 00 0a000002 50 01 01 {v6} fbbb01"),
            ),
            (
                PunchSignal::Answer {
                    to: NONCE,
                    offer: offer(vec![]),
                },
                format!("01 {n} {o} 00"),
            ),
            (PunchSignal::Start { to: NONCE }, format!("02 {n}")),
        ];
        for (code, kind) in CandidateKind::ALL.into_iter().enumerate() {
            let address = "10.0.0.2:80".parse().unwrap();
            let signal = PunchSignal::Offer(offer(vec![Candidate { kind, address }]));
            snapshots.push((signal, format!("00 {o} 01 {code:02x} 00 0a000002 50")));
        }
        for (signal, snapshot) in snapshots {
            let expected = hex::decode(snapshot.replace(' ', "")).unwrap();
            let bytes = signal.encode().unwrap();
            assert_eq!(hex::encode(&bytes), hex::encode(&expected), "{signal:?}");
            assert_eq!(PunchSignal::decode(&expected), Ok(signal));
        }
    }

    #[test]
    fn the_longest_punch_signal_fits_into_a_sealed_one() {
        let offer = offer(candidates(MAX_CANDIDATES));
        let bytes = PunchSignal::Answer { to: NONCE, offer }.encode().unwrap();
        assert!(bytes.len() <= MAX_PLAINTEXT, "{}", bytes.len());
    }

    #[test]
    fn more_candidates_than_allowed_are_neither_sent_nor_accepted() {
        let most = PunchSignal::Offer(offer(candidates(MAX_CANDIDATES)));
        assert_eq!(PunchSignal::decode(&most.encode().unwrap()), Ok(most));
        let more = PunchSignal::Offer(offer(candidates(MAX_CANDIDATES + 1)));
        assert!(matches!(more.encode(), Err(EncodeError::OutOfBounds(_))));
        let bytes = bincode::encode_to_vec(&more, unlimited()).unwrap();
        assert!(matches!(
            PunchSignal::decode(&bytes),
            Err(DecodeError::OutOfBounds(_))
        ));
    }

    #[test]
    fn a_punch_signal_claims_no_more_memory_than_the_largest_needs() {
        let mut bytes = PunchSignal::Offer(offer(vec![])).encode().unwrap();
        bytes.pop();
        // 4 Gi candidates.
        bytes.extend([0xfc, 0xff, 0xff, 0xff, 0xff]);
        assert!(matches!(
            PunchSignal::decode(&bytes),
            Err(DecodeError::Malformed { kind: 0, .. })
        ));
    }

    #[test]
    fn empty_unknown_cut_and_trailing_punch_signals_are_refused() {
        assert_eq!(PunchSignal::decode(&[]), Err(DecodeError::Empty));
        for kind in [SIGNAL_TYPES, 0x40, 0xff] {
            assert_eq!(
                PunchSignal::decode(&[kind, 0]),
                Err(DecodeError::UnknownType(kind))
            );
        }
        let bytes = PunchSignal::Offer(offer(candidates(2))).encode().unwrap();
        for cut in 1..bytes.len() {
            assert!(
                matches!(
                    PunchSignal::decode(&bytes[..cut]),
                    Err(DecodeError::Malformed { .. })
                ),
                "{cut}"
            );
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(PunchSignal::decode(&longer), Err(DecodeError::Trailing(1)));
    }

    #[test]
    fn a_nonce_is_not_printed() {
        let text = format!("{:?}", PunchSignal::Start { to: NONCE });
        assert!(!text.contains("17") && !text.contains("11"), "{text}");
    }

    fn any_offer() -> impl Strategy<Value = Offer> {
        let candidate = (
            select(CandidateKind::ALL.to_vec()),
            any::<(std::net::IpAddr, u16)>().prop_map(SocketAddr::from),
        )
            .prop_map(|(kind, address)| Candidate { kind, address });
        (
            any::<[u8; 16]>(),
            any::<[u8; 32]>(),
            vec(candidate, 0..=MAX_CANDIDATES),
        )
            .prop_map(|(nonce, certificate, candidates)| Offer {
                nonce: RoundNonce(nonce),
                certificate: CertificateHash(certificate),
                candidates,
            })
    }

    fn any_signal() -> impl Strategy<Value = PunchSignal> {
        let nonce = || any::<[u8; 16]>().prop_map(RoundNonce);
        prop_oneof![
            any_offer().prop_map(PunchSignal::Offer),
            (nonce(), any_offer()).prop_map(|(to, offer)| PunchSignal::Answer { to, offer }),
            nonce().prop_map(|to| PunchSignal::Start { to }),
        ]
    }

    proptest! {
        #[test]
        fn any_punch_signal_reads_back(sent in any_signal()) {
            let bytes = sent.encode().unwrap();
            prop_assert!(bytes[0] < SIGNAL_TYPES && bytes.len() <= MAX_PLAINTEXT);
            prop_assert_eq!(PunchSignal::decode(&bytes), Ok(sent));
        }

        #[test]
        fn garbage_is_no_punch_signal_or_one_within_bounds(
            kind in 0..=SIGNAL_TYPES,
            rest in vec(any::<u8>(), 0..500),
        ) {
            let bytes = [&[kind][..], &rest].concat();
            if let Ok(read) = PunchSignal::decode(&bytes) {
                prop_assert_eq!(read.check(), Ok(()));
                let again = read.encode().unwrap();
                prop_assert_eq!(PunchSignal::decode(&again), Ok(read));
            }
        }

        #[test]
        fn a_punch_signal_with_one_byte_changed_never_breaks_the_decoder(
            sent in any_signal(),
            at in any::<prop::sample::Index>(),
            flip in 1..=u8::MAX,
        ) {
            let mut bytes = sent.encode().unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            if let Ok(read) = PunchSignal::decode(&bytes) {
                prop_assert_eq!(read.check(), Ok(()));
            }
        }
    }
}
