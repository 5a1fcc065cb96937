use super::message;
use crate::{
    crypto::record::MAX_PLAINTEXT,
    id::{ChunkHash, ChunkIndex, FileHash, PublicKey},
    merkle::{MAX_PROOF_NODES, MerkleProof},
    protocol::{codec::*, peer::*},
};
use proptest::{collection::vec, prelude::*};
use std::net::SocketAddr;

fn any_file() -> impl Strategy<Value = FileHash> {
    any::<[u8; 32]>().prop_map(FileHash)
}

fn any_chunk() -> impl Strategy<Value = ChunkIndex> {
    any::<u32>().prop_map(ChunkIndex)
}

fn any_address() -> impl Strategy<Value = SocketAddr> {
    any::<(std::net::IpAddr, u16)>().prop_map(SocketAddr::from)
}

fn any_hello() -> impl Strategy<Value = PeerMessage> {
    let listen = vec(any_address(), 0..=MAX_LISTEN);
    (any::<u16>(), any::<u64>(), listen, "[ -~]{0,64}").prop_map(|(version, features, listen, agent)| {
        PeerMessage::Hello(Hello {
            version,
            features,
            listen,
            agent,
        })
    })
}

fn any_hint() -> impl Strategy<Value = PeerHint> {
    let addresses = vec(any_address(), 0..=MAX_HINT_ADDRESSES);
    (any::<[u8; 32]>(), addresses).prop_map(|(key, addresses)| PeerHint {
        key: PublicKey(key),
        addresses,
    })
}

fn any_message() -> impl Strategy<Value = PeerMessage> {
    use PeerMessage as M;
    let detach = prop::sample::select(vec![
        DetachReason::NotShared,
        DetachReason::Changed,
        DetachReason::Stopped,
    ]);
    let reject = prop::sample::select(vec![
        RejectReason::Choked,
        RejectReason::NotHeld,
        RejectReason::Busy,
        RejectReason::Cancelled,
    ]);
    let goodbye = prop::sample::select(vec![
        GoodbyeReason::Stopped,
        GoodbyeReason::Idle,
        GoodbyeReason::Full,
    ]);
    prop_oneof![
        any_hello(),
        any_file().prop_map(|file| M::Attach { file }),
        (any_file(), detach).prop_map(|(file, reason)| M::Detach { file, reason }),
        (any_file(), 0u32..1 << 28, vec(any::<u8>(), 0..500)).prop_map(|(file, first_byte, bits)| {
            M::Bitfield {
                file,
                first_byte,
                bits,
            }
        }),
        (any_file(), any_chunk()).prop_map(|(file, chunk)| M::Have { file, chunk }),
        prop::sample::select(vec![M::Choke, M::Unchoke]),
        any_file().prop_map(|file| M::Interested { file }),
        any_file().prop_map(|file| M::NotInterested { file }),
        (any_file(), any_chunk()).prop_map(|(file, chunk)| M::Request { file, chunk }),
        (any_file(), any_chunk()).prop_map(|(file, chunk)| M::Cancel { file, chunk }),
        (any_file(), any_chunk(), reject).prop_map(|(file, chunk, reason)| M::Reject { file, chunk, reason }),
        (any_file(), any::<u32>(), 1u32..=4096).prop_map(|(file, first, count)| M::GetHashes {
            file,
            first: first.min(u32::MAX - count),
            count
        }),
        (
            any_file(),
            0u32..1 << 26,
            vec(any::<[u8; 32]>(), 0..20),
            vec(any::<[u8; 32]>(), 0..=MAX_PROOF_NODES)
        )
            .prop_map(|(file, first, hashes, nodes)| M::Hashes {
                file,
                first,
                hashes: hashes.into_iter().map(ChunkHash).collect(),
                proof: MerkleProof { nodes }
            }),
        (any_file(), vec(any_hint(), 0..=MAX_HINTS))
            .prop_map(|(file, peers)| M::PeerExchange { file, peers }),
        any::<u64>().prop_map(|nonce| M::Ping { nonce }),
        any::<u64>().prop_map(|nonce| M::Pong { nonce }),
        goodbye.prop_map(|reason| M::Goodbye { reason }),
    ]
}

proptest! {
    #[test]
    fn any_message_reads_back(sent in any_message()) {
        let bytes = message(&sent);
        prop_assert!(bytes[0] < MESSAGE_TYPES);
        prop_assert!(bytes.len() <= MAX_PLAINTEXT);
        prop_assert_eq!(decode(&bytes), Ok(Incoming::Message(sent)));
    }

    #[test]
    fn garbage_gives_an_error_or_a_message_within_bounds(
        kind in 0..=MESSAGE_TYPES,
        rest in vec(any::<u8>(), 0..300),
    ) {
        let bytes = [&[kind][..], &rest].concat();
        if let Ok(Incoming::Message(read)) = decode(&bytes) {
            prop_assert_eq!(read.check(), Ok(()));
            let again = message(&read);
            prop_assert_eq!(decode(&again), Ok(Incoming::Message(read)));
        }
    }

    #[test]
    fn a_message_with_one_byte_changed_never_breaks_the_decoder(
        sent in any_message(),
        at in any::<prop::sample::Index>(),
        flip in 1..=u8::MAX,
    ) {
        let mut bytes = message(&sent);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(Incoming::Message(read)) = decode(&bytes) {
            prop_assert_eq!(read.check(), Ok(()));
        }
    }
}
