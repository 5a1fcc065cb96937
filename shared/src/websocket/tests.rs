use super::*;
use bytes::Bytes;
use proptest::{collection::vec, prelude::*};

const LONGEST: usize = 70_000;

/// A message as a client sends it.
fn sent(opcode: Opcode, mask: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_head(opcode, payload.len(), Some(mask), &mut bytes);
    let mut masked = payload.to_vec();
    apply_mask(mask, &mut masked);
    bytes.extend(masked);
    bytes
}

fn read_all(reader: &mut Reader, bytes: &[u8]) -> Result<Vec<Message>, FrameError> {
    let mut piece = Bytes::copy_from_slice(bytes);
    let mut messages = Vec::new();
    while let Some(message) = reader.read(&mut piece)? {
        messages.push(message);
    }
    assert!(piece.is_empty());
    Ok(messages)
}

/// The examples of RFC 6455 section 5.7.
#[test]
fn the_examples_of_the_rfc_read_as_it_says() {
    let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    let read = read_all(&mut Reader::of_client(LONGEST), &masked).unwrap();
    assert_eq!((read[0].opcode, read[0].payload()), (Opcode::Text, &b"Hello"[..]));
    let plain = [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
    assert_eq!(message(Opcode::Text, b"Hello"), plain);
    let read = read_all(&mut Reader::of_server(LONGEST), &plain).unwrap();
    assert_eq!(read[0].payload(), b"Hello");
    let mut head = Vec::new();
    write_head(Opcode::Binary, 256, None, &mut head);
    assert_eq!(head, [0x82, 0x7e, 0x01, 0x00]);
    head.clear();
    write_head(Opcode::Binary, 65_536, None, &mut head);
    assert_eq!(head, [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
}

#[test]
fn a_message_that_is_too_long_is_refused_by_its_head_alone() {
    for len in [LONGEST + 1, usize::MAX >> 1] {
        let mut head = Vec::new();
        write_head(Opcode::Binary, len, Some([0; 4]), &mut head);
        let refused = read_all(&mut Reader::of_client(LONGEST), &head);
        assert_eq!(refused, Err(FrameError::TooLong(len as u64)));
    }
}

#[test]
fn what_is_no_frame_of_ours_is_refused() {
    let mask = [0; 4];
    let [mut reserved, mut unknown, mut in_parts] = [(); 3].map(|()| sent(Opcode::Binary, mask, b"x"));
    reserved[0] |= 0x40;
    unknown[0] = 0x83;
    in_parts[0] = 0x02;
    let continuation = sent(Opcode::Continuation, mask, b"x");
    let long_ping = sent(Opcode::Ping, mask, &[0; MAX_CONTROL + 1]);
    let plain = message(Opcode::Binary, b"x");
    for bytes in [reserved, unknown, in_parts, continuation, long_ping, plain] {
        let refused = read_all(&mut Reader::of_client(LONGEST), &bytes);
        assert!(matches!(refused, Err(FrameError::Malformed(_))), "{bytes:?}");
    }
}

#[test]
fn a_close_frame_says_its_code_and_fits() {
    let payload = close_payload(4003, &"é".repeat(100));
    assert!(payload.len() <= MAX_CONTROL && std::str::from_utf8(&payload[2..]).is_ok());
    assert_eq!(close_code(&payload), Some(4003));
    assert_eq!((close_code(&[]), close_code(&[1])), (None, None));
}

proptest! {
    #[test]
    fn messages_read_back_however_the_stream_is_cut(
        messages in vec((any::<[u8; 4]>(), vec(any::<u8>(), 0..400)), 1..6),
        long in any::<bool>(),
        cut in 1usize..50,
    ) {
        let mut messages = messages;
        if long {
            messages.push(([1, 2, 3, 4], vec![7; LONGEST]));
        }
        let stream: Vec<u8> = messages.iter().flat_map(|(mask, payload)| sent(Opcode::Binary, *mask, payload)).collect();
        let mut reader = Reader::of_client(LONGEST);
        let mut read = Vec::new();
        for piece in stream.chunks(cut) {
            read.extend(read_all(&mut reader, piece).unwrap());
        }
        prop_assert_eq!(read.len(), messages.len());
        for (read, (_, payload)) in read.into_iter().zip(messages) {
            prop_assert_eq!(read.payload(), &payload[..]);
            prop_assert_eq!(&read.into_frame()[..], &message(Opcode::Binary, &payload)[..]);
        }
    }

    #[test]
    fn any_bytes_are_messages_or_an_error(bytes in vec(any::<u8>(), 0..500)) {
        let mut piece = Bytes::from(bytes);
        let mut reader = Reader::of_client(64);
        while let Ok(Some(message)) = reader.read(&mut piece) {
            prop_assert!(message.payload().len() <= 64);
        }
    }
}
