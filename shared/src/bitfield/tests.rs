use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn of(len: u32, chunks: impl IntoIterator<Item = u32>) -> Bitfield {
    let mut field = Bitfield::new(len);
    for chunk in chunks {
        field.set(ChunkIndex(chunk));
    }
    field
}

fn numbers(chunks: impl Iterator<Item = ChunkIndex>) -> Vec<u32> {
    chunks.map(|chunk| chunk.0).collect()
}

#[test]
fn chunk_0_is_the_highest_bit_of_the_first_byte() {
    assert_eq!(of(10, [0, 9]).to_bytes(), [0b1000_0000, 0b0100_0000]);
}

#[test]
fn setting_says_whether_it_was_new() {
    let mut field = Bitfield::new(65);
    assert!(field.set(ChunkIndex(64)));
    assert!(!field.set(ChunkIndex(64)));
    assert!(!field.set(ChunkIndex(65)));
    assert_eq!(field.count(), 1);
    assert!(field.clear(ChunkIndex(64)));
    assert!(!field.clear(ChunkIndex(64)));
    assert!(!field.clear(ChunkIndex(u32::MAX)));
    assert!(field.is_empty());
}

#[test]
fn the_bitfield_of_an_empty_file_is_full_and_has_no_bytes() {
    let field = Bitfield::new(0);
    assert!(field.is_full() && field.is_empty());
    assert_eq!(field.to_bytes(), [0; 0]);
    assert_eq!(Bitfield::from_bytes(0, &[]), Ok(field));
}

#[test]
fn spare_bits_and_wrong_lengths_are_refused() {
    assert_eq!(
        Bitfield::from_bytes(9, &[0xff, 0x40]),
        Err(BitfieldError::SpareBits { chunks: 9 })
    );
    assert_eq!(
        Bitfield::from_bytes(9, &[0xff]),
        Err(BitfieldError::Length { expected: 2, got: 1 })
    );
    assert_eq!(
        Bitfield::from_bytes(8, &[0xff, 0]),
        Err(BitfieldError::Length { expected: 1, got: 2 })
    );
    assert!(Bitfield::from_bytes(9, &[0xff, 0x80]).unwrap().is_full());
}

#[test]
fn parts_replace_their_place_and_nothing_else() {
    let mut field = of(30, [0, 29]);
    field.write_bytes(1, &[0xff]).unwrap();
    assert_eq!(numbers(field.ones()), [0, 8, 9, 10, 11, 12, 13, 14, 15, 29]);
    field.write_bytes(1, &[0x01]).unwrap();
    assert_eq!(numbers(field.ones()), [0, 15, 29]);
    assert!(field.write_bytes(3, &[0x01]).is_err());
    assert!(field.write_bytes(3, &[0, 0]).is_err());
    assert!(field.write_bytes(u32::MAX, &[0]).is_err());
    assert_eq!(numbers(field.ones()), [0, 15, 29]);
}

#[test]
fn a_longer_bitfield_cannot_set_bits_behind_the_end() {
    let mut field = Bitfield::new(3);
    field.union(&Bitfield::full(64));
    assert_eq!(field, Bitfield::full(3));
    let mut long = Bitfield::full(200);
    long.intersect(&Bitfield::full(3));
    assert_eq!(numbers(long.ones()), [0, 1, 2]);
    assert!(Bitfield::full(200).has_more_than(&Bitfield::full(64)));
}

fn sets() -> impl Strategy<Value = (u32, BTreeSet<u32>, BTreeSet<u32>)> {
    (1..300u32).prop_flat_map(|len| {
        let set = || prop::collection::btree_set(0..len, 0..=len as usize);
        (Just(len), set(), set())
    })
}

proptest! {
    #[test]
    fn it_behaves_as_a_set((len, a, b) in sets()) {
        let (x, y) = (of(len, a.clone()), of(len, b.clone()));
        prop_assert_eq!(x.count() as usize, a.len());
        prop_assert_eq!(numbers(x.ones()), a.iter().copied().collect::<Vec<_>>());
        prop_assert_eq!(numbers(x.missing()), (0..len).filter(|i| !a.contains(i)).collect::<Vec<_>>());
        prop_assert_eq!(x.and_not(&y), of(len, a.difference(&b).copied()));
        prop_assert_eq!(x.has_more_than(&y), a.difference(&b).next().is_some());
        for from in [0, len / 2, len - 1] {
            let common = numbers(x.common(&y, ChunkIndex(from)));
            let word = from / 64 * 64;
            prop_assert_eq!(common, a.intersection(&b).copied().filter(|i| *i >= word).collect::<Vec<_>>());
        }
        let mut both = x.clone();
        both.intersect(&y);
        prop_assert_eq!(both, of(len, a.intersection(&b).copied()));
        let mut either = x.clone();
        either.union(&y);
        prop_assert_eq!(either, of(len, a.union(&b).copied()));
        prop_assert_eq!(x.is_full(), a.len() == len as usize);
        prop_assert_eq!(Bitfield::full(len).and_not(&x).count(), len - x.count());
    }

    #[test]
    fn bytes_read_back_whole_and_in_parts((len, a, _) in sets(), cut in any::<prop::sample::Index>()) {
        let field = of(len, a);
        let bytes = field.to_bytes();
        prop_assert_eq!(Bitfield::from_bytes(len, &bytes), Ok(field.clone()));
        let cut = cut.index(bytes.len());
        let mut parts = Bitfield::new(len);
        parts.write_bytes(cut as u32, &bytes[cut..]).unwrap();
        parts.write_bytes(0, &bytes[..cut]).unwrap();
        prop_assert_eq!(parts, field);
    }

    #[test]
    fn any_bytes_are_a_bitfield_or_refused_and_never_misread(len in 0..100u32, bytes in prop::collection::vec(any::<u8>(), 0..14)) {
        if let Ok(field) = Bitfield::from_bytes(len, &bytes) {
            prop_assert_eq!(field.to_bytes(), bytes);
            prop_assert!(field.ones().all(|chunk| chunk.0 < len));
        }
    }
}
