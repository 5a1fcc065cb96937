use super::*;
use proptest::{collection::vec, prelude::*};
use std::net::SocketAddr;

const ID: TransactionId = *b"transaction!";

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// The shortest request there is, as public clients send it.
fn bare() -> Vec<u8> {
    let mut bytes = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    bytes.extend(ID);
    bytes
}

/// A request with one attribute.
fn with(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = bare();
    bytes.extend(kind.to_be_bytes());
    bytes.extend((value.len() as u16).to_be_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes[3] = (bytes.len() - HEADER) as u8;
    bytes
}

/// The sample messages of RFC 5769, sections 2.2 and 2.3 (with their other attributes, which are not looked at).
#[test]
fn the_sample_responses_of_rfc_5769_are_read() {
    let v4 = "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220\
              002000080001a147e112a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96";
    let v6 = "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220\
              002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c";
    let id = hex::decode("b7e7a701bc34d686fa87dfae")
        .unwrap()
        .try_into()
        .unwrap();
    for (message, mapped) in [
        (v4, "192.0.2.1:32853"),
        (v6, "[2001:db8:1234:5678:11:2233:4455:6677]:32853"),
    ] {
        let bytes = hex::decode(message.replace(' ', "")).unwrap();
        let reply = read_reply(&bytes, id).unwrap();
        assert_eq!((reply.mapped, reply.other), (at(mapped), None));
        let mut changed = bytes.clone();
        changed[30] ^= 1;
        assert_eq!(
            read_reply(&changed, id),
            Err(BindingError::Foreign),
            "its fingerprint"
        );
    }
}

/// What coturn 4.6.1 answered to a request of ours.
#[test]
fn an_answer_of_another_server_is_read() {
    let bytes = "010100442112a4427472616e73616374696f6e21002000080001ad775e12a4430001000800018c657f000001\
                 802b0008000196477f00000180220014436f7475726e2d342e362e312027476f72737427 80280004e28e178c";
    let bytes = hex::decode(bytes.replace(' ', "")).unwrap();
    let reply = read_reply(&bytes, ID).unwrap();
    assert_eq!((reply.mapped, reply.other), (at("127.0.0.1:35941"), None));
}

#[test]
fn a_request_of_ours_is_answered_with_everything_and_no_more_bytes() {
    let bytes = request(ID);
    assert_eq!(bytes.len(), OUR_REQUEST);
    let asked = read_request(&bytes).unwrap();
    for (source, other) in [
        ("192.0.2.7:40000", "192.0.2.1:3479"),
        ("[2001:db8::7]:40000", "[2001:db8::1]:3479"),
    ] {
        let answered = answer(&asked, at(source), Some(at(other)));
        assert!(!answered.amplifies && answered.bytes.len() <= bytes.len());
        let reply = Reply {
            mapped: at(source),
            other: Some(at(other)),
        };
        assert_eq!(read_reply(&answered.bytes, ID), Ok(reply));
    }
}

#[test]
fn a_bare_request_gets_its_address_and_nothing_else() {
    let asked = read_request(&bare()).unwrap();
    let answered = answer(&asked, at("192.0.2.7:40000"), Some(at("192.0.2.1:3479")));
    assert!(answered.amplifies);
    assert_eq!(answered.bytes.len(), 32);
    let reply = read_reply(&answered.bytes, ID).unwrap();
    assert_eq!((reply.mapped, reply.other), (at("192.0.2.7:40000"), None));
}

#[test]
fn an_ipv4_client_of_an_ipv6_socket_is_told_its_ipv4_address() {
    let asked = read_request(&bare()).unwrap();
    let answered = answer(&asked, at("[::ffff:192.0.2.7]:40000"), None);
    assert_eq!(
        read_reply(&answered.bytes, ID).unwrap().mapped,
        at("192.0.2.7:40000")
    );
}

#[test]
fn what_has_to_be_understood_and_is_not_is_refused_with_420() {
    let change_request = with(0x0003, &[0, 0, 0, 2]);
    let asked = read_request(&change_request).unwrap();
    assert_eq!(asked.unknown, [0x0003]);
    let refused = answer(&asked, at("192.0.2.7:1"), None);
    assert_eq!(read_reply(&refused.bytes, ID), Err(BindingError::Refused(420)));
    let optional = read_request(&with(0x8022, b"a client")).unwrap();
    assert!(optional.unknown.is_empty());
}

#[test]
fn what_is_no_request_gets_no_answer() {
    let [mut cookie, mut length, mut indication] = [(); 3].map(|()| bare());
    cookie[4] ^= 1;
    length[3] = 4;
    indication[0] = 0;
    indication[1] = 0x11;
    let cut = &with(0x8022, b"abc")[..24];
    for bytes in [&cookie[..], &length, &indication, cut, &bare()[..19], &[]] {
        assert_eq!(read_request(bytes), None, "{bytes:?}");
    }
    let mut damaged = request(ID);
    damaged[30] ^= 1;
    assert_eq!(read_request(&damaged), None, "its fingerprint");
}

#[test]
fn an_answer_to_another_request_is_none() {
    let asked = read_request(&bare()).unwrap();
    let answered = answer(&asked, at("192.0.2.7:1"), None);
    assert_eq!(read_reply(&answered.bytes, [7; 12]), Err(BindingError::Foreign));
}

proptest! {
    #[test]
    fn any_datagram_is_stun_or_not_and_an_answer_is_at_most_a_little_longer(
        rest in vec(any::<u8>(), 0..120),
        is_shaped in any::<bool>(),
    ) {
        let mut bytes = rest;
        if is_shaped {
            bytes = with(u16::from_be_bytes([bytes.first().copied().unwrap_or(0) & 0x80, 7]), &bytes);
        }
        let _ignored = read_reply(&bytes, ID);
        if let Some(asked) = read_request(&bytes) {
            let answered = answer(&asked, at("[2001:db8::7]:40000"), Some(at("[2001:db8::1]:3479")));
            prop_assert!(answered.bytes.len() <= bytes.len().max(44));
            prop_assert_eq!(answered.amplifies, answered.bytes.len() > bytes.len());
        }
    }
}
