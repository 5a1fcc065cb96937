use crate::{
    id::PublicKey,
    protocol::{
        codec::{DecodeError, EncodeError},
        relay::*,
        relay_codec::*,
    },
};
use proptest::{collection::vec, option, prelude::*, sample::select};

const PEER: PublicKey = PublicKey([0xab; 32]);

/// What every kind of frame looks like on the wire. Relays and peers of this version are out there: a change here is a new
/// subprotocol.
#[test]
fn every_relay_frame_keeps_its_bytes() {
    use RelayFrame as F;
    let p = "ab".repeat(32);
    let (peer, tunnel) = (PEER, TunnelId(6));
    let open = F::Open {
        tunnel,
        peer,
        credit: 1 << 20,
    };
    let signal = F::Signal {
        peer,
        bytes: vec![1, 2, 3],
    };
    let elsewhere = Some("ws://b".to_owned());
    let welcome = F::Welcome {
        tunnels: 64,
        waiting: 1 << 24,
    };
    let mut snapshots = vec![
        (open, format!("00 06 {p} fc00001000")),
        (F::Opened { tunnel, credit: 250 }, "01 06 fa".to_owned()),
        (F::Credit { tunnel, bytes: 1024 }, "03 06 fb0004".to_owned()),
        (signal, format!("05 {p} 03 010203")),
        (F::Undelivered { peer }, format!("06 {p}")),
        (F::GoingAway { elsewhere: None }, "07 00".to_owned()),
        (F::GoingAway { elsewhere }, "07 01 06 77733a2f2f62".to_owned()),
        (welcome, "08 40 fc00000001".to_owned()),
    ];
    let refusals = [
        RefuseReason::Offline,
        RefuseReason::Yourself,
        RefuseReason::Busy,
        RefuseReason::Declined,
        RefuseReason::Quota,
        RefuseReason::GoingAway,
    ];
    for (code, reason) in refusals.into_iter().enumerate() {
        snapshots.push((F::Refused { tunnel, reason }, format!("02 06 {code:02x}")));
    }
    let ends = [
        CloseReason::Done,
        CloseReason::Gone,
        CloseReason::Misbehaved,
        CloseReason::Quota,
        CloseReason::GoingAway,
    ];
    for (code, reason) in ends.into_iter().enumerate() {
        snapshots.push((F::Close { tunnel, reason }, format!("04 06 {code:02x}")));
    }
    for (frame, snapshot) in snapshots {
        let expected = hex::decode(snapshot.replace(' ', "")).unwrap();
        let bytes = encode_frame(&frame).unwrap();
        assert_eq!(hex::encode(&bytes), hex::encode(&expected), "{frame:?}");
        assert_eq!(decode_frame(&expected), Ok(IncomingFrame::Frame(frame)));
    }
    assert_eq!(hex::encode(data_header(TunnelId(0x0102_0304))), "4001020304");
}

#[test]
fn data_is_read_where_it_lies() {
    let message = [&data_header(TunnelId(7))[..], b"bytes"].concat();
    let Ok(IncomingFrame::Data { tunnel, bytes }) = decode_frame(&message) else {
        panic!("no data");
    };
    assert_eq!((tunnel, bytes), (TunnelId(7), &b"bytes"[..]));
    assert_eq!(bytes.as_ptr(), message[DATA_PREFIX..].as_ptr());
}

#[test]
fn data_has_its_header_and_between_one_byte_and_the_most() {
    let frame = |bytes: usize| [&data_header(TunnelId(0))[..], &vec![0; bytes]].concat();
    for bytes in [1, MAX_DATA] {
        assert!(decode_frame(&frame(bytes)).is_ok(), "{bytes}");
    }
    for bytes in [0, MAX_DATA + 1] {
        let refused = Err(DecodeError::DataLength(DATA_PREFIX + bytes));
        assert_eq!(decode_frame(&frame(bytes)), refused);
    }
    assert_eq!(decode_frame(&[DATA, 0, 0, 0]), Err(DecodeError::DataLength(4)));
}

#[test]
fn relay_frames_out_of_bounds_are_neither_sent_nor_accepted() {
    let signal = |len| RelayFrame::Signal {
        peer: PEER,
        bytes: vec![0; len],
    };
    let elsewhere = |len| RelayFrame::GoingAway {
        elsewhere: Some("u".repeat(len)),
    };
    for frame in [signal(1), signal(MAX_SIGNAL), elsewhere(MAX_URL)] {
        let bytes = encode_frame(&frame).unwrap();
        assert_eq!(decode_frame(&bytes), Ok(IncomingFrame::Frame(frame)));
    }
    for frame in [signal(0), signal(MAX_SIGNAL + 1), elsewhere(MAX_URL + 1)] {
        assert!(matches!(encode_frame(&frame), Err(EncodeError::OutOfBounds(_))));
        let bytes = bincode::encode_to_vec(&frame, super::super::codec::unlimited()).unwrap();
        assert!(matches!(decode_frame(&bytes), Err(DecodeError::OutOfBounds(_))));
    }
}

#[test]
fn a_relay_frame_claims_no_more_memory_than_the_largest_needs() {
    // A signal that says that it is 4 GiB long.
    let mut bytes = encode_frame(&RelayFrame::Undelivered { peer: PEER }).unwrap();
    bytes[0] = 5;
    bytes.extend([0xfc, 0xff, 0xff, 0xff, 0xff]);
    assert!(matches!(
        decode_frame(&bytes),
        Err(DecodeError::Malformed { kind: 5, .. })
    ));
}

#[test]
fn empty_unknown_cut_and_trailing_frames_are_refused() {
    assert_eq!(decode_frame(&[]), Err(DecodeError::Empty));
    for kind in [9, 0x3f, 0x41, 0xff] {
        assert_eq!(decode_frame(&[kind, 0, 0]), Err(DecodeError::UnknownType(kind)));
    }
    let bytes = encode_frame(&RelayFrame::Undelivered { peer: PEER }).unwrap();
    for cut in 1..bytes.len() {
        assert!(
            matches!(decode_frame(&bytes[..cut]), Err(DecodeError::Malformed { .. })),
            "{cut}"
        );
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(decode_frame(&longer), Err(DecodeError::Trailing(1)));
}

#[test]
fn every_reason_to_end_has_its_own_code_and_name() {
    for reason in EndReason::ALL {
        assert_eq!(EndReason::from_code(reason.code()), Some(reason));
        let same = EndReason::ALL
            .iter()
            .filter(|other| other.name() == reason.name());
        assert_eq!(same.count(), 1, "{reason:?}");
    }
    assert_eq!(EndReason::from_code(1005), None);
}

fn any_frame() -> impl Strategy<Value = RelayFrame> {
    use RelayFrame as F;
    let tunnel = || any::<u32>().prop_map(TunnelId);
    let peer = || any::<[u8; 32]>().prop_map(PublicKey);
    let refusal = select(vec![
        RefuseReason::Offline,
        RefuseReason::Busy,
        RefuseReason::GoingAway,
    ]);
    let close = select(vec![
        CloseReason::Done,
        CloseReason::Gone,
        CloseReason::Misbehaved,
    ]);
    prop_oneof![
        (tunnel(), peer(), any::<u32>()).prop_map(|(tunnel, peer, credit)| F::Open { tunnel, peer, credit }),
        (tunnel(), any::<u32>()).prop_map(|(tunnel, credit)| F::Opened { tunnel, credit }),
        (tunnel(), refusal).prop_map(|(tunnel, reason)| F::Refused { tunnel, reason }),
        (tunnel(), any::<u32>()).prop_map(|(tunnel, bytes)| F::Credit { tunnel, bytes }),
        (tunnel(), close).prop_map(|(tunnel, reason)| F::Close { tunnel, reason }),
        (peer(), vec(any::<u8>(), 1..300)).prop_map(|(peer, bytes)| F::Signal { peer, bytes }),
        peer().prop_map(|peer| F::Undelivered { peer }),
        option::of("[a-z:/.]{0,100}").prop_map(|elsewhere| F::GoingAway { elsewhere }),
        any::<(u32, u32)>().prop_map(|(tunnels, waiting)| F::Welcome { tunnels, waiting }),
    ]
}

proptest! {
    #[test]
    fn any_relay_frame_reads_back(sent in any_frame()) {
        let bytes = encode_frame(&sent).unwrap();
        prop_assert!(bytes[0] < FRAME_TYPES && bytes.len() <= MAX_FRAME);
        prop_assert_eq!(decode_frame(&bytes), Ok(IncomingFrame::Frame(sent)));
    }

    #[test]
    fn garbage_is_no_relay_frame_or_one_within_bounds(
        kind in prop_oneof![0..=FRAME_TYPES, Just(DATA)],
        rest in vec(any::<u8>(), 0..300),
    ) {
        let bytes = [&[kind][..], &rest].concat();
        if let Ok(IncomingFrame::Frame(read)) = decode_frame(&bytes) {
            prop_assert_eq!(read.check(), Ok(()));
            let again = encode_frame(&read).unwrap();
            prop_assert_eq!(decode_frame(&again), Ok(IncomingFrame::Frame(read)));
        }
    }
}
