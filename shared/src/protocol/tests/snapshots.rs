use super::{FILE, address, message};
use crate::{
    chunker::CHUNK_SIZE,
    id::{ChunkHash, ChunkIndex, PublicKey},
    merkle::MerkleProof,
    protocol::*,
};

/// What every kind of message looks like on the wire. Peers of this version are out there: a change here is a new
/// protocol version.
#[test]
fn every_message_keeps_its_bytes() {
    use PeerMessage as M;
    let file = FILE;
    let f = "f1".repeat(32);
    let hello = Hello {
        version: 1,
        features: 0x300,
        listen: vec![address("192.0.2.1:6881"), address("[2001:db8::1]:80")],
        agent: "p2p".into(),
    };
    let hint = PeerHint {
        key: PublicKey([0xaa; 32]),
        addresses: vec![address("192.0.2.1:1")],
    };
    let proof = MerkleProof {
        nodes: vec![[0xcc; 32]],
    };
    let snapshots = [
        (
            M::Hello(hello),
            "00 01 fb0003 02 00c0000201fbe11a 0120010db800000000000000000000000150 03703270".to_owned(),
        ),
        (M::Attach { file }, format!("01 {f}")),
        (
            M::Detach {
                file,
                reason: DetachReason::NotShared,
            },
            format!("02 {f} 00"),
        ),
        (
            M::Detach {
                file,
                reason: DetachReason::Finished,
            },
            format!("02 {f} 01"),
        ),
        (
            M::Detach {
                file,
                reason: DetachReason::Changed,
            },
            format!("02 {f} 02"),
        ),
        (
            M::Detach {
                file,
                reason: DetachReason::Stopped,
            },
            format!("02 {f} 03"),
        ),
        (
            M::Bitfield {
                file,
                first_byte: 251,
                bits: vec![0xff, 0x80],
            },
            format!("03 {f} fbfb00 02 ff80"),
        ),
        (
            M::Have {
                file,
                chunk: ChunkIndex(70_000),
            },
            format!("04 {f} fc70110100"),
        ),
        (M::Choke, "05".into()),
        (M::Unchoke, "06".into()),
        (M::Interested { file }, format!("07 {f}")),
        (M::NotInterested { file }, format!("08 {f}")),
        (
            M::Request {
                file,
                chunk: ChunkIndex(7),
            },
            format!("09 {f} 07"),
        ),
        (
            M::Cancel {
                file,
                chunk: ChunkIndex(7),
            },
            format!("0a {f} 07"),
        ),
        (
            M::Reject {
                file,
                chunk: ChunkIndex(7),
                reason: RejectReason::Choked,
            },
            format!("0b {f} 07 00"),
        ),
        (
            M::Reject {
                file,
                chunk: ChunkIndex(7),
                reason: RejectReason::NotHeld,
            },
            format!("0b {f} 07 01"),
        ),
        (
            M::Reject {
                file,
                chunk: ChunkIndex(7),
                reason: RejectReason::Unreadable,
            },
            format!("0b {f} 07 02"),
        ),
        (
            M::Reject {
                file,
                chunk: ChunkIndex(7),
                reason: RejectReason::Busy,
            },
            format!("0b {f} 07 03"),
        ),
        (
            M::Reject {
                file,
                chunk: ChunkIndex(7),
                reason: RejectReason::Cancelled,
            },
            format!("0b {f} 07 04"),
        ),
        (
            M::GetHashes {
                file,
                first: 1,
                count: 4096,
            },
            format!("0c {f} 01 fb0010"),
        ),
        (
            M::Hashes {
                file,
                first: 1,
                hashes: vec![ChunkHash([0xbb; 32])],
                proof,
            },
            format!("0d {f} 01 01 {} 01 {}", "bb".repeat(32), "cc".repeat(32)),
        ),
        (
            M::PeerExchange {
                file,
                peers: vec![hint],
            },
            format!("0e {f} 01 {} 01 00c000020101", "aa".repeat(32)),
        ),
        (M::Ping { nonce: u64::MAX }, "0f fdffffffffffffffff".into()),
        (M::Pong { nonce: 0 }, "10 00".into()),
        (
            M::Goodbye {
                reason: GoodbyeReason::Stopped,
            },
            "11 00".into(),
        ),
        (
            M::Goodbye {
                reason: GoodbyeReason::Idle,
            },
            "11 01".into(),
        ),
        (
            M::Goodbye {
                reason: GoodbyeReason::Duplicate,
            },
            "11 02".into(),
        ),
        (
            M::Goodbye {
                reason: GoodbyeReason::Full,
            },
            "11 03".into(),
        ),
        (
            M::Goodbye {
                reason: GoodbyeReason::Misbehaved,
            },
            "11 04".into(),
        ),
    ];
    for (sent, expected) in snapshots {
        let bytes = message(&sent);
        assert_eq!(hex::encode(&bytes), expected.replace(' ', ""), "{sent:?}");
        assert_eq!(decode(&bytes), Ok(Incoming::Message(sent)));
    }
}

#[test]
fn a_chunk_is_read_in_place() {
    let header = ChunkHeader {
        file: FILE,
        chunk: ChunkIndex(0x0102_0304),
    };
    let mut record = Vec::new();
    record.extend_from_slice(&chunk_prefix(&header));
    assert_eq!(hex::encode(&record), format!("40{}01020304", "f1".repeat(32)));
    assert_eq!(record.len(), CHUNK_PREFIX);
    record.extend_from_slice(b"the bytes");
    let Ok(Incoming::Chunk { header: read, bytes }) = decode(&record) else {
        panic!("not a chunk");
    };
    assert_eq!((read, bytes), (header, &b"the bytes"[..]));
    assert_eq!(bytes.as_ptr(), record[CHUNK_PREFIX..].as_ptr());
}

#[test]
fn a_chunk_has_at_least_one_byte_and_at_most_a_chunk() {
    let chunk = |length: usize| [vec![CHUNK; CHUNK_PREFIX], vec![0; length]].concat();
    assert!(decode(&chunk(1)).is_ok());
    assert!(decode(&chunk(CHUNK_SIZE as usize)).is_ok());
    assert_eq!(decode(&chunk(0)), Err(DecodeError::ChunkLength(CHUNK_PREFIX)));
    let too_long = CHUNK_SIZE as usize + 1;
    assert_eq!(
        decode(&chunk(too_long)),
        Err(DecodeError::ChunkLength(CHUNK_PREFIX + too_long))
    );
    assert_eq!(decode(&[CHUNK, 1, 2]), Err(DecodeError::ChunkLength(3)));
}
