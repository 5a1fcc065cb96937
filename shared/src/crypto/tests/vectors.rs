//! Published test vectors: Noise (cacophony, snow), AES-256-GCM (NIST), HKDF (RFC 5869), X25519 (RFC 7748).

use crate::{
    crypto::{
        aead::{AwsLc, Cipher, Portable},
        exchange,
        resolver::Resolver,
    },
    id::PublicKey,
};
use hkdf::Hkdf;
use serde::Deserialize;
use sha2::Sha256;
use snow::{Builder, HandshakeState};
use x25519_dalek::StaticSecret;

/// Bytes that a vector file spells in hexadecimal.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "String")]
struct Hex(Vec<u8>);

impl TryFrom<String> for Hex {
    type Error = hex::FromHexError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        hex::decode(text).map(Self)
    }
}

impl Hex {
    fn array<const N: usize>(&self) -> [u8; N] {
        self.0.as_slice().try_into().unwrap()
    }
}

#[derive(Deserialize)]
struct VectorFile<V> {
    vectors: Vec<V>,
}

fn vectors<V: for<'de> Deserialize<'de>>(text: &str) -> Vec<V> {
    let file: VectorFile<V> = serde_json::from_str(text).unwrap();
    assert!(!file.vectors.is_empty());
    file.vectors
}

#[derive(Deserialize)]
struct Noise {
    source: String,
    protocol_name: String,
    init_prologue: Hex,
    init_static: Hex,
    init_ephemeral: Hex,
    init_remote_static: Hex,
    resp_prologue: Hex,
    resp_static: Hex,
    /// A one-way pattern has none.
    resp_ephemeral: Option<Hex>,
    handshake_hash: Option<Hex>,
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    payload: Hex,
    ciphertext: Hex,
}

impl Noise {
    fn parties(&self) -> (HandshakeState, HandshakeState) {
        let builder = || Builder::with_resolver(self.protocol_name.parse().unwrap(), Box::new(Resolver));
        let initiator = builder()
            .prologue(&self.init_prologue.0)
            .and_then(|it| it.local_private_key(&self.init_static.0))
            .and_then(|it| it.remote_public_key(&self.init_remote_static.0))
            .map(|it| it.fixed_ephemeral_key_for_testing_only(&self.init_ephemeral.0))
            .and_then(Builder::build_initiator);
        let responder = builder()
            .prologue(&self.resp_prologue.0)
            .and_then(|it| it.local_private_key(&self.resp_static.0))
            .map(|it| match &self.resp_ephemeral {
                Some(key) => it.fixed_ephemeral_key_for_testing_only(&key.0),
                None => it,
            })
            .and_then(Builder::build_responder);
        (initiator.unwrap(), responder.unwrap())
    }
}

fn noise_vectors() -> Vec<Noise> {
    vectors(include_str!("../../../tests/vectors/noise_ik.json"))
}

fn exchange_message(from: &mut HandshakeState, to: &mut HandshakeState, message: &Message, source: &str) {
    let mut buffer = [0; 1024];
    let written = from.write_message(&message.payload.0, &mut buffer).unwrap();
    assert_eq!(buffer[..written], message.ciphertext.0, "{source}");
    let mut payload = [0; 1024];
    let read = to.read_message(&buffer[..written], &mut payload).unwrap();
    assert_eq!(payload[..read], message.payload.0, "{source}");
}

#[test]
fn our_noise_speaks_the_published_handshakes() {
    for vector in noise_vectors() {
        let (mut initiator, mut responder) = vector.parties();
        exchange_message(
            &mut initiator,
            &mut responder,
            &vector.messages[0],
            &vector.source,
        );
        exchange_message(
            &mut responder,
            &mut initiator,
            &vector.messages[1],
            &vector.source,
        );
        assert_eq!(initiator.get_handshake_hash(), responder.get_handshake_hash());
        if let Some(hash) = vector.handshake_hash {
            assert_eq!(initiator.get_handshake_hash(), hash.0, "{}", vector.source);
        }
    }
}

/// The pattern of [`sealed`](crate::crypto::sealed).
#[test]
fn our_noise_seals_the_published_one_way_messages() {
    let file = include_str!("../../../tests/vectors/noise_x.json");
    for vector in vectors::<Noise>(file) {
        let (mut sender, mut receiver) = vector.parties();
        let message = &vector.messages[0];
        exchange_message(&mut sender, &mut receiver, message, &vector.source);
        if let Some(hash) = vector.handshake_hash {
            assert_eq!(sender.get_handshake_hash(), hash.0, "{}", vector.source);
            assert_eq!(receiver.get_handshake_hash(), hash.0, "{}", vector.source);
        }
    }
}

#[test]
fn our_noise_goes_on_with_the_published_transport_messages() {
    for vector in noise_vectors() {
        let (mut initiator, mut responder) = vector.parties();
        exchange_message(
            &mut initiator,
            &mut responder,
            &vector.messages[0],
            &vector.source,
        );
        exchange_message(
            &mut responder,
            &mut initiator,
            &vector.messages[1],
            &vector.source,
        );
        let mut sides = [
            initiator.into_transport_mode().unwrap(),
            responder.into_transport_mode().unwrap(),
        ];
        for message in &vector.messages[2..] {
            let mut buffer = [0; 1024];
            let written = sides[0].write_message(&message.payload.0, &mut buffer).unwrap();
            assert_eq!(buffer[..written], message.ciphertext.0, "{}", vector.source);
            let mut payload = [0; 1024];
            let read = sides[1].read_message(&buffer[..written], &mut payload).unwrap();
            assert_eq!(payload[..read], message.payload.0, "{}", vector.source);
            sides.swap(0, 1);
        }
    }
}

/// The keys that our records start from are the ones with which Noise itself would go on.
#[test]
fn the_raw_split_gives_the_published_transport_keys() {
    for vector in noise_vectors() {
        let (mut initiator, mut responder) = vector.parties();
        exchange_message(
            &mut initiator,
            &mut responder,
            &vector.messages[0],
            &vector.source,
        );
        exchange_message(
            &mut responder,
            &mut initiator,
            &vector.messages[1],
            &vector.source,
        );
        let (to_responder, to_initiator) = initiator.dangerously_get_raw_split();
        assert_eq!(
            responder.dangerously_get_raw_split(),
            (to_responder, to_initiator)
        );
        for (turn, message) in vector.messages[2..].iter().enumerate() {
            let key = if turn % 2 == 0 { to_responder } else { to_initiator };
            let mut nonce = [0; 12];
            nonce[11] = u8::try_from(turn / 2).unwrap();
            let mut body = message.ciphertext.0.clone();
            let plaintext = Portable::new(&key)
                .unwrap()
                .open(nonce, &[], &mut body)
                .unwrap()
                .to_vec();
            assert_eq!(plaintext, message.payload.0, "{}", vector.source);
        }
    }
}

#[derive(Deserialize)]
struct Gcm {
    key: Hex,
    nonce: Hex,
    plaintext: Hex,
    aad: Hex,
    ciphertext: Hex,
    tag: Hex,
}

fn seals_and_opens_as_nist_says<C: Cipher>() {
    for vector in vectors::<Gcm>(include_str!("../../../tests/vectors/aes_256_gcm.json")) {
        let cipher = C::new(&vector.key.array()).unwrap();
        let mut data = vector.plaintext.0.clone();
        let tag = cipher
            .seal(vector.nonce.array(), &vector.aad.0, &mut data)
            .unwrap();
        assert_eq!(
            (Hex(data), Hex(tag.to_vec())),
            (vector.ciphertext.clone(), vector.tag.clone())
        );
        let mut body = [vector.ciphertext.0, vector.tag.0].concat();
        let plaintext = cipher
            .open(vector.nonce.array(), &vector.aad.0, &mut body)
            .unwrap();
        assert_eq!(plaintext, vector.plaintext.0);
    }
}

#[test]
fn the_portable_cipher_is_aes_256_gcm() {
    seals_and_opens_as_nist_says::<Portable>();
}

#[test]
fn the_fast_cipher_is_aes_256_gcm() {
    seals_and_opens_as_nist_says::<AwsLc>();
}

#[derive(Deserialize)]
struct KeyDerivation {
    ikm: Hex,
    salt: Hex,
    info: Hex,
    prk: Hex,
    okm: Hex,
}

#[test]
fn keys_are_derived_as_rfc_5869_says() {
    for vector in vectors::<KeyDerivation>(include_str!("../../../tests/vectors/hkdf_sha256.json")) {
        let (prk, hkdf) = Hkdf::<Sha256>::extract(Some(&vector.salt.0), &vector.ikm.0);
        assert_eq!(prk[..], vector.prk.0);
        let mut output = vec![0; vector.okm.0.len()];
        hkdf.expand(&vector.info.0, &mut output).unwrap();
        assert_eq!(output, vector.okm.0);
    }
}

#[derive(Deserialize)]
struct Agreements {
    vectors: Vec<Agreement>,
    iterated_once: Hex,
    iterated_1000: Hex,
    low_order: Vec<Hex>,
}

#[derive(Deserialize)]
struct Agreement {
    secret: Hex,
    public: Hex,
    shared: Hex,
}

fn agreements() -> Agreements {
    serde_json::from_str(include_str!("../../../tests/vectors/x25519.json")).unwrap()
}

fn agree(secret: [u8; 32], public: [u8; 32]) -> Option<[u8; 32]> {
    let shared = exchange::agree(&StaticSecret::from(secret), &PublicKey(public)).ok()?;
    Some(*shared.as_bytes())
}

#[test]
fn keys_agree_as_rfc_7748_says() {
    for vector in agreements().vectors {
        let shared = agree(vector.secret.array(), vector.public.array());
        assert_eq!(shared, Some(vector.shared.array()));
    }
}

#[test]
fn iterated_agreement_gives_what_rfc_7748_says() {
    let file = agreements();
    let mut base = [0; 32];
    base[0] = 9;
    let (mut secret, mut public) = (base, base);
    for round in 1..=1000 {
        (secret, public) = (agree(secret, public).unwrap(), secret);
        if round == 1 {
            assert_eq!(Hex(secret.to_vec()), file.iterated_once);
        }
    }
    assert_eq!(Hex(secret.to_vec()), file.iterated_1000);
}

/// With and without the bit that X25519 ignores.
#[test]
fn points_of_low_order_are_refused() {
    for point in agreements().low_order {
        let mut public = point.array();
        assert_eq!(agree([0x42; 32], public), None, "{point:02x?}");
        public[31] |= 0x80;
        assert_eq!(agree([0x42; 32], public), None, "{point:02x?}");
    }
}

#[test]
fn a_public_key_has_one_spelling() {
    let mut prime = [0xff; 32];
    (prime[0], prime[31]) = (0xed, 0x7f);
    let mut below = prime;
    below[0] -= 1;
    assert!(exchange::is_canonical(&PublicKey(below)));
    assert!(!exchange::is_canonical(&PublicKey(prime)));
    for above in 0xee..=0xff {
        prime[0] = above;
        assert!(!exchange::is_canonical(&PublicKey(prime)));
    }
    for byte in 1..31 {
        let mut smaller = prime;
        smaller[byte] = 0xfe;
        assert!(exchange::is_canonical(&PublicKey(smaller)), "byte {byte}");
    }
    let mut with_spare_bit = [0; 32];
    with_spare_bit[31] = 0x80;
    assert!(!exchange::is_canonical(&PublicKey(with_spare_bit)));
}
