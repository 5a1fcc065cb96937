use super::{FILE, address, message};
use crate::{
    crypto::record::MAX_PLAINTEXT,
    id::{ChunkHash, ChunkIndex, PublicKey},
    merkle::{MAX_PROOF_NODES, MerkleProof},
    protocol::{codec::*, peer::*},
};

#[test]
fn the_largest_of_every_message_fits_in_a_record_and_reads_back() {
    let file = FILE;
    let listen = vec![address("[2001:db8::1]:6881"); MAX_LISTEN];
    let hint = PeerHint {
        key: PublicKey([9; 32]),
        addresses: vec![address("[2001:db8::1]:6881"); MAX_HINT_ADDRESSES],
    };
    let largest = [
        PeerMessage::Hello(Hello {
            version: u16::MAX,
            features: u64::MAX,
            listen,
            agent: "a".repeat(64),
        }),
        PeerMessage::Bitfield {
            file,
            first_byte: (1 << 29) - (256 << 10),
            bits: vec![0xff; MAX_BITFIELD],
        },
        PeerMessage::Hashes {
            file,
            first: u32::MAX - 4095,
            hashes: vec![ChunkHash([3; 32]); MAX_HASHES],
            proof: MerkleProof {
                nodes: vec![[4; 32]; MAX_PROOF_NODES],
            },
        },
        PeerMessage::PeerExchange {
            file,
            peers: vec![hint; MAX_HINTS],
        },
        PeerMessage::Reject {
            file,
            chunk: ChunkIndex(u32::MAX),
            reason: RejectReason::Busy,
        },
        PeerMessage::GetHashes {
            file,
            first: u32::MAX - 4095,
            count: 4096,
        },
    ];
    for sent in largest {
        let bytes = message(&sent);
        assert!(bytes.len() <= MAX_PLAINTEXT, "{} bytes", bytes.len());
        assert_eq!(decode(&bytes), Ok(Incoming::Message(sent)));
    }
}

fn out_of_bounds() -> Vec<(&'static str, PeerMessage)> {
    let file = FILE;
    let proof = || MerkleProof { nodes: Vec::new() };
    let hello = |listen, agent| Hello {
        version: 1,
        features: 0,
        listen,
        agent,
    };
    let hint = |addresses| PeerHint {
        key: PublicKey([9; 32]),
        addresses,
    };
    let some = || address("192.0.2.1:1");
    vec![
        (
            "listening addresses",
            PeerMessage::Hello(hello(vec![some(); MAX_LISTEN + 1], String::new())),
        ),
        (
            "bytes in the agent",
            PeerMessage::Hello(hello(Vec::new(), "a".repeat(65))),
        ),
        (
            "unprintable",
            PeerMessage::Hello(hello(Vec::new(), "\u{1b}[2J".into())),
        ),
        (
            "bytes in a bitfield",
            PeerMessage::Bitfield {
                file,
                first_byte: 0,
                bits: vec![0; MAX_BITFIELD + 1],
            },
        ),
        (
            "end of a bitfield",
            PeerMessage::Bitfield {
                file,
                first_byte: 1 << 29,
                bits: vec![0],
            },
        ),
        (
            "hashes asked for",
            PeerMessage::GetHashes {
                file,
                first: 0,
                count: 0,
            },
        ),
        (
            "hashes asked for",
            PeerMessage::GetHashes {
                file,
                first: 0,
                count: 4097,
            },
        ),
        (
            "end of the hashes",
            PeerMessage::GetHashes {
                file,
                first: u32::MAX,
                count: 2,
            },
        ),
        (
            "hashes",
            PeerMessage::Hashes {
                file,
                first: 0,
                hashes: vec![ChunkHash([0; 32]); 4097],
                proof: proof(),
            },
        ),
        (
            "end of the hashes",
            PeerMessage::Hashes {
                file,
                first: u32::MAX,
                hashes: vec![ChunkHash([0; 32]); 2],
                proof: proof(),
            },
        ),
        (
            "nodes in a proof",
            PeerMessage::Hashes {
                file,
                first: 0,
                hashes: Vec::new(),
                proof: MerkleProof {
                    nodes: vec![[0; 32]; MAX_PROOF_NODES + 1],
                },
            },
        ),
        (
            "peers",
            PeerMessage::PeerExchange {
                file,
                peers: vec![hint(Vec::new()); MAX_HINTS + 1],
            },
        ),
        (
            "addresses of a peer",
            PeerMessage::PeerExchange {
                file,
                peers: vec![hint(vec![some(); MAX_HINT_ADDRESSES + 1])],
            },
        ),
    ]
}

#[test]
fn what_is_out_of_bounds_is_neither_sent_nor_accepted() {
    for (what, sent) in out_of_bounds() {
        let mut out = vec![7];
        let refused = encode(&sent, &mut out).unwrap_err().to_string();
        assert!(refused.contains(what), "{refused}");
        assert_eq!(out, [7], "nothing is left behind");
        let bytes = bincode::encode_to_vec(&sent, unlimited()).unwrap();
        assert!(decode(&bytes).is_err(), "{what}");
    }
}

/// A length that promises much more than the record holds is refused by the budget, before memory is taken for it;
/// without the budget it would be the end of the input that is missed, after the allocation.
#[test]
fn a_length_beyond_the_budget_is_refused_before_memory_is_taken_for_it() {
    let file = "f1".repeat(32);
    let huge = "fd0000000000000010"; // 2^60
    let lists = [
        format!("000100{huge}"),
        format!("00010000{huge}"),
        format!("03{file}00{huge}"),
        format!("03{file}00fc00080400"), // one KiB more than a record holds
        format!("0d{file}00{huge}"),
        format!("0d{file}0000{huge}"),
        format!("0e{file}{huge}"),
        format!("0e{file}01{}{huge}", "aa".repeat(32)),
        format!("0e{file}fbff03"), // 1,023 hints of 56 bytes
    ];
    for list in lists {
        let refused = decode(&hex::decode(&list).unwrap()).unwrap_err().to_string();
        assert!(refused.contains("LimitExceeded"), "{list}: {refused}");
    }
}

#[test]
fn a_message_cut_anywhere_is_refused() {
    let file = FILE;
    let hint = PeerHint {
        key: PublicKey([9; 32]),
        addresses: vec![address("192.0.2.1:1")],
    };
    for sent in [
        PeerMessage::PeerExchange {
            file,
            peers: vec![hint],
        },
        PeerMessage::Bitfield {
            file,
            first_byte: 300,
            bits: vec![1, 2, 3],
        },
        PeerMessage::Ping { nonce: u64::MAX },
    ] {
        let bytes = message(&sent);
        for cut in 1..bytes.len() {
            assert!(
                matches!(decode(&bytes[..cut]), Err(DecodeError::Malformed { .. })),
                "cut at {cut}"
            );
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(decode(&longer), Err(DecodeError::Trailing(1)));
    }
}

#[test]
fn a_type_that_is_not_there_is_refused_by_number() {
    assert_eq!(decode(&[]), Err(DecodeError::Empty));
    for kind in (MESSAGE_TYPES..=u8::MAX).filter(|kind| *kind != CHUNK) {
        assert_eq!(
            decode(&[kind, 0, 0, 0, 0, 0]),
            Err(DecodeError::UnknownType(kind))
        );
    }
    let unit_messages = [5, 6];
    assert!(unit_messages.iter().all(|kind| decode(&[*kind]).is_ok()));
}
