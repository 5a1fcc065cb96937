//! Records: what opens, and what never does.

use super::{one_bit_wrong, open, pair, seal, standard_pair};
use crate::crypto::{
    aead::Portable,
    epoch::{Direction, Limits},
    record::{MAX_PLAINTEXT, Opener, RECORD_HEADER, RECORD_TAG, RecordError, body_length},
};

/// Fails, and shows that nothing opens any more: not even what would have been the right record.
fn assert_refused(mut opener: Opener, record: &[u8], genuine: &[u8]) {
    assert!(open(&mut opener, record).is_err());
    assert_eq!(open(&mut opener, genuine), Err(RecordError::Closed));
}

#[test]
fn a_record_is_header_ciphertext_and_tag() {
    let (mut sealer, _) = standard_pair();
    let record = seal(&mut sealer, b"hello");
    assert_eq!(record.len(), RECORD_HEADER + 5 + RECORD_TAG);
    assert_eq!(record[..RECORD_HEADER], [0, 0, 0, 21]);
    assert!(!record.windows(5).any(|bytes| bytes == b"hello"));
}

#[test]
fn every_flipped_bit_of_a_record_is_refused() {
    let genuine = seal(&mut standard_pair().0, b"the quick brown fox");
    for wrong in one_bit_wrong(&genuine) {
        assert_refused(standard_pair().1, &wrong, &genuine);
    }
}

#[test]
fn a_shortened_or_lengthened_record_is_refused() {
    let genuine = seal(&mut standard_pair().0, b"the quick brown fox");
    for length in (RECORD_HEADER..genuine.len()).chain([genuine.len() + 1]) {
        let mut wrong = genuine.clone();
        wrong.resize(length, 0);
        assert_eq!(
            open(&mut standard_pair().1, &wrong),
            Err(RecordError::WrongLength)
        );
        assert_refused(standard_pair().1, &wrong, &genuine);
        // And with a header that fits.
        let body = (length - RECORD_HEADER) as u32;
        wrong[..RECORD_HEADER].copy_from_slice(&body.to_be_bytes());
        assert_refused(standard_pair().1, &wrong, &genuine);
    }
}

#[test]
fn a_record_opens_once() {
    let (mut sealer, mut opener) = standard_pair();
    let (first, second) = (seal(&mut sealer, b"first"), seal(&mut sealer, b"second"));
    open(&mut opener, &first).unwrap();
    assert_refused(opener, &first, &second);
}

#[test]
fn records_open_in_their_order_only() {
    let (mut sealer, opener) = standard_pair();
    let (first, second) = (seal(&mut sealer, b"first"), seal(&mut sealer, b"second"));
    assert_refused(opener, &second, &first);
}

#[test]
fn a_record_of_the_other_direction_does_not_open() {
    let (_, opener) = standard_pair();
    let (mut other, _) = pair::<Portable>(Direction::ToInitiator, Limits::STANDARD);
    assert_refused(
        opener,
        &seal(&mut other, b"hello"),
        &seal(&mut standard_pair().0, b"hello"),
    );
}

#[test]
fn a_stream_that_is_cut_gives_its_first_records_and_never_the_last_one() {
    let (mut sealer, _) = standard_pair();
    let texts = [&b"one"[..], b"two", b"goodbye"];
    let stream = texts.map(|text| seal(&mut sealer, text)).concat();
    for cut in 0..=stream.len() {
        let (mut opener, mut rest, mut opened) = (standard_pair().1, &stream[..cut], 0);
        while let Some((header, after)) = rest.split_first_chunk() {
            let Some((body, after)) = after.split_at_checked(body_length(*header).unwrap()) else {
                break;
            };
            let plaintext = opener.open(*header, &mut body.to_vec()).unwrap().to_vec();
            assert_eq!(plaintext, texts[opened]);
            (rest, opened) = (after, opened + 1);
        }
        assert_eq!(
            opened == texts.len(),
            cut == stream.len(),
            "cut after {cut} bytes"
        );
    }
}

#[test]
fn a_record_without_content_or_too_long_is_not_sealed_and_changes_nothing() {
    let (mut sealer, mut opener) = standard_pair();
    for length in [0, 1, RECORD_HEADER] {
        assert_eq!(sealer.seal(&mut vec![0; length]), Err(RecordError::Empty));
    }
    let mut long = vec![5; RECORD_HEADER + MAX_PLAINTEXT + 1];
    assert_eq!(
        sealer.seal(&mut long),
        Err(RecordError::TooLong(MAX_PLAINTEXT + 1))
    );
    assert_eq!(long, vec![5; RECORD_HEADER + MAX_PLAINTEXT + 1]);
    assert_eq!(open(&mut opener, &seal(&mut sealer, b"hello")).unwrap(), b"hello");
}

#[test]
fn the_longest_record_goes_through() {
    let (mut sealer, mut opener) = standard_pair();
    let text = vec![3; MAX_PLAINTEXT];
    assert_eq!(open(&mut opener, &seal(&mut sealer, &text)), Ok(text));
}

#[test]
fn a_header_is_refused_before_anybody_allocates_for_it() {
    let header = |length: usize| (length as u32).to_be_bytes();
    for length in 0..=RECORD_TAG {
        assert_eq!(body_length(header(length)), Err(RecordError::Empty));
    }
    let longest = MAX_PLAINTEXT + RECORD_TAG;
    assert_eq!(body_length(header(longest)), Ok(longest));
    for length in [longest + 1, 1 << 20, 0x7fff_ffff] {
        assert!(matches!(
            body_length(header(length)),
            Err(RecordError::TooLong(_))
        ));
    }
    assert!(body_length([0xff; 4]).is_err());
    assert_eq!(
        body_length([0x80, 0, 0, 17]),
        Ok(17),
        "the bit for the next key is no length"
    );
}

#[test]
fn a_record_is_sealed_and_opened_where_it_lies() {
    let (mut sealer, mut opener) = standard_pair();
    let mut record = Vec::with_capacity(RECORD_HEADER + 1000 + RECORD_TAG);
    record.resize(RECORD_HEADER + 1000, 7);
    let place = record.as_ptr();
    sealer.seal(&mut record).unwrap();
    assert_eq!(record.as_ptr(), place);
    let (header, body) = record.split_first_chunk_mut().unwrap();
    let plaintext = opener.open(*header, body).unwrap();
    assert_eq!(plaintext.as_ptr(), place.wrapping_add(RECORD_HEADER));
    assert_eq!(plaintext, [7; 1000]);
}
