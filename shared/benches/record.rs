//! How fast records of one whole chunk are sealed and opened, on both builds of the cipher; and what a handshake
//! costs. One core, everything in cache: the ceiling for a session.
//!
//! `cargo bench -p p2p-shared --bench record`

use divan::{Bencher, counter::BytesCount};
#[cfg(feature = "aws-lc")]
use p2p_shared::crypto::aead::AwsLc;
use p2p_shared::crypto::{
    aead::{Cipher, Portable},
    handshake::{Carrier, Initiator, Responder, SessionKeys},
    identity::Identity,
    record::{RECORD_HEADER, RECORD_TAG},
};

/// A chunk with what a chunk message says before it.
const PLAINTEXT: usize = 256 * 1024 + 37;

fn main() {
    divan::main();
}

/// The keys of both ends of a session.
fn connect<C: Cipher>() -> (SessionKeys<C>, SessionKeys<C>) {
    let (alice, bob) = (Identity::from_secret([1; 32]), Identity::from_secret([2; 32]));
    let mut initiator = Initiator::new(&alice, &bob.public_key(), Carrier::Tcp).expect("an honest key");
    let mut responder = Responder::new(&bob, Carrier::Tcp).expect("randomness");
    let first = initiator.first_message().expect("a first message");
    responder.read_first(&first).expect("what the initiator made");
    let (answer, keys) = responder.finish_with().expect("an answer");
    let mut alice = initiator.finish_with(&answer).expect("what the responder made");
    let mut first = vec![0; RECORD_HEADER + 1];
    alice.sealer.seal(&mut first).expect("a record of fitting length");
    let (header, body) = first.split_first_chunk_mut().expect("a header");
    let (bob, _) = keys.open_first(*header, body).expect("what alice sealed");
    (alice, bob)
}

#[divan::bench]
fn handshake_both_sides(bencher: Bencher) {
    bencher.bench(connect::<Portable>);
}

fn sealing<C: Cipher>(bencher: Bencher) {
    let mut alice = connect::<C>().0;
    let mut record = vec![7; RECORD_HEADER + PLAINTEXT + RECORD_TAG];
    bencher
        .counter(BytesCount::new(PLAINTEXT))
        .bench_local(|| alice.sealer.seal_slice(divan::black_box(&mut record)));
}

/// Also the sealing of what is opened, for every record opens only once: subtract it.
fn sealing_and_opening<C: Cipher>(bencher: Bencher) {
    let (mut alice, mut bob) = connect::<C>();
    let mut record = vec![7; RECORD_HEADER + PLAINTEXT + RECORD_TAG];
    bencher.counter(BytesCount::new(PLAINTEXT)).bench_local(|| {
        alice
            .sealer
            .seal_slice(divan::black_box(&mut record))
            .expect("a record of fitting length");
        let (header, body) = record.split_first_chunk_mut().expect("a header");
        bob.opener.open(*header, body).expect("what alice sealed").len()
    });
}

#[divan::bench]
fn seal_portable(bencher: Bencher) {
    sealing::<Portable>(bencher);
}

#[divan::bench]
fn seal_and_open_portable(bencher: Bencher) {
    sealing_and_opening::<Portable>(bencher);
}

#[cfg(feature = "aws-lc")]
#[divan::bench]
fn seal_aws_lc(bencher: Bencher) {
    sealing::<AwsLc>(bencher);
}

#[cfg(feature = "aws-lc")]
#[divan::bench]
fn seal_and_open_aws_lc(bencher: Bencher) {
    sealing_and_opening::<AwsLc>(bencher);
}
