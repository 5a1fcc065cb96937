use super::{proof::outside, *};
use crate::{chunker::MAX_CHUNKS, testing};
use proptest::prelude::*;

const C: u64 = CHUNK_SIZE as u64;

/// A file of `chunks` chunks whose last one has 7 bytes.
fn layout_of(chunks: u32) -> Layout {
    Layout::new((u64::from(chunks) * C).saturating_sub(C - 7)).unwrap()
}

/// RFC 6962, 2.1, word for word.
fn mth(leaves: &[Node]) -> Node {
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => *leaf,
        _ => {
            let mut k = 1;
            while k * 2 < leaves.len() {
                k *= 2;
            }
            let (left, right) = (mth(&leaves[..k]), mth(&leaves[k..]));
            Sha256::digest([&[1][..], &left, &right].concat()).into()
        }
    }
}

fn verify_all(root: &MerkleRoot, layout: Layout, hashes: &[ChunkHash]) -> Result<(), BadProof> {
    verify_range(
        root,
        layout,
        ChunkIndex(0),
        hashes,
        &MerkleProof { nodes: vec![] },
    )
}

#[test]
fn the_tree_is_that_of_rfc_6962_at_every_number_of_chunks() {
    for chunks in (0..=33).chain([63, 64, 65, 127, 128, 129, 1000]) {
        let layout = layout_of(chunks);
        let hashes = testing::chunk_hashes(1, chunks);
        let leaves: Vec<Node> = layout
            .indices()
            .zip(&hashes)
            .map(|(i, hash)| leaf(layout, i, hash))
            .collect();
        let expected = seal(layout, mth(&leaves));
        assert_eq!(merkle_root(layout, &hashes), expected, "{chunks} chunks");
        assert_eq!(
            MerkleTree::new(layout, &hashes).unwrap().root(),
            expected,
            "{chunks} chunks"
        );
        assert_eq!(verify_all(&expected, layout, &hashes), Ok(()), "{chunks} chunks");
    }
}

#[test]
fn roots_are_those_of_an_independent_implementation() {
    // Python's hashlib and the definition at the head of the module; chunk hash i is 32 times the byte i.
    for (size, root) in [
        (
            0,
            "f9cc037338dba4c3b9ff668aad68b9a693e133a11ff248339c72452e99bc9b79",
        ),
        (
            1,
            "b1fc3673bfa74f1f3cff2161b1bdedc7309237e8fff4259d5a5ede8a89b44bd8",
        ),
        (
            C,
            "86d7d6157f93587a36bc8324bdb542389b925ad39a427e8014c0952948497037",
        ),
        (
            C + 1,
            "b43123fe1fbcc6269dafde71396e87ede59ab839e1af19c7a3b031306a5dd48c",
        ),
        (
            3 * C,
            "1fdf2ca5adba43d013aa4ac6a22e98deae4b384a2723cef655c9500fd4955f93",
        ),
        (
            5 * C + 7,
            "22c0e58e39da734e41ad3d8a36c75cdb3df4413142f91d698a7b5c8c90dbe28d",
        ),
    ] {
        let layout = Layout::new(size).unwrap();
        let hashes: Vec<_> = layout.indices().map(|i| ChunkHash([i.0 as u8; 32])).collect();
        assert_eq!(merkle_root(layout, &hashes).to_string(), root, "{size} bytes");
    }
}

#[test]
fn an_inner_node_is_no_leaf_and_no_chunk_hash() {
    let layout = layout_of(4);
    let hashes = testing::chunk_hashes(1, 4);
    let tree = MerkleTree::new(layout, &hashes).unwrap();
    let [left, right] = tree.levels[1][..] else {
        panic!()
    };
    let nodes = [ChunkHash(left), ChunkHash(right)];
    assert_ne!(merkle_root(layout_of(2), &nodes), tree.root());
    assert_eq!(
        verify_all(&tree.root(), layout_of(2), &nodes),
        Err(BadProof::Root)
    );
    // As the first of four chunks, with what would be the rest of the proof.
    for proof in [vec![right], vec![tree.levels[0][1], right], vec![left, right]] {
        let proof = MerkleProof { nodes: proof };
        let verdict = verify_range(&tree.root(), layout, ChunkIndex(0), &nodes[..1], &proof);
        assert!(verdict.is_err(), "{proof:?}");
    }
    // A leaf is not accepted in the place of its chunk's hash either.
    let leaves: Vec<_> = tree.levels[0].iter().map(|node| ChunkHash(*node)).collect();
    assert_eq!(verify_all(&tree.root(), layout, &leaves), Err(BadProof::Root));
}

#[test]
fn a_last_leaf_doubled_makes_another_root() {
    for chunks in [1, 3, 5, 7] {
        let mut hashes = testing::chunk_hashes(1, chunks);
        let root = merkle_root(layout_of(chunks), &hashes);
        hashes.push(hashes[chunks as usize - 1]);
        assert_ne!(merkle_root(layout_of(chunks), &hashes), root);
        assert_ne!(merkle_root(layout_of(chunks + 1), &hashes), root);
        assert_eq!(
            verify_all(&root, layout_of(chunks + 1), &hashes),
            Err(BadProof::Root)
        );
        assert_eq!(
            verify_all(&root, layout_of(chunks), &hashes),
            Err(BadProof::Range {
                first: 0,
                count: chunks as usize + 1,
                chunks
            })
        );
    }
}

#[test]
fn another_size_with_the_right_root_is_refused() {
    let size = 2 * C + 10;
    let hashes = testing::chunk_hashes(1, 3);
    let root = merkle_root(Layout::new(size).unwrap(), &hashes);
    for other in [size - 1, size + 1, 2 * C + 1, 3 * C] {
        let layout = Layout::new(other).unwrap();
        assert_eq!(
            verify_all(&root, layout, &hashes),
            Err(BadProof::Root),
            "{other} bytes"
        );
    }
}

#[test]
fn the_root_binds_the_size_even_where_no_leaf_does() {
    // The length of the last chunk is in its leaf too; the root must not rely on that.
    let top = [7; 32];
    assert_ne!(seal(layout_of(3), top), seal(layout_of(4), top));
}

#[test]
fn the_same_hash_at_another_place_is_another_leaf() {
    let layout = layout_of(3);
    let hash = ChunkHash([1; 32]);
    assert_ne!(
        leaf(layout, ChunkIndex(0), &hash),
        leaf(layout, ChunkIndex(1), &hash)
    );
    assert_ne!(
        leaf(layout, ChunkIndex(1), &hash),
        leaf(layout, ChunkIndex(2), &hash)
    );
    let longer = layout_of(4);
    assert_ne!(
        leaf(layout, ChunkIndex(2), &hash),
        leaf(longer, ChunkIndex(2), &hash),
        "another length"
    );
}

#[test]
fn every_range_of_small_files_is_proved_and_nowhere_else() {
    for chunks in 1..=20u32 {
        let layout = layout_of(chunks);
        let hashes = testing::chunk_hashes(u64::from(chunks), chunks);
        let tree = MerkleTree::new(layout, &hashes).unwrap();
        for start in 0..chunks {
            for end in start + 1..=chunks {
                let proof = tree.proof(start..end);
                let part = &hashes[start as usize..end as usize];
                let verify = |first| verify_range(&tree.root(), layout, ChunkIndex(first), part, &proof);
                assert_eq!(verify(start), Ok(()), "{start}..{end} of {chunks}");
                for elsewhere in (0..=chunks).filter(|&first| first != start) {
                    assert!(
                        verify(elsewhere).is_err(),
                        "{start}..{end} of {chunks} at {elsewhere}"
                    );
                }
            }
        }
    }
}

#[test]
fn nothing_is_proved_of_no_chunks_but_the_empty_file() {
    let hashes = testing::chunk_hashes(1, 5);
    let tree = MerkleTree::new(layout_of(5), &hashes).unwrap();
    assert_eq!(tree.proof(3..3).nodes.len(), 0);
    assert_eq!(tree.proof(7..9).nodes.len(), 0);
    let top = MerkleProof {
        nodes: vec![tree.levels[3][0]],
    };
    for proof in [&tree.proof(3..3), &top] {
        assert_eq!(
            verify_range(&tree.root(), layout_of(5), ChunkIndex(3), &[], proof),
            Err(BadProof::Range {
                first: 3,
                count: 0,
                chunks: 5
            })
        );
    }
    let empty = Layout::new(0).unwrap();
    let root = merkle_root(empty, &[]);
    assert_eq!(verify_all(&root, empty, &[]), Ok(()));
    assert!(verify_all(&root, empty, &hashes).is_err());
    assert!(verify_range(&root, empty, ChunkIndex(1), &[], &MerkleProof { nodes: vec![] }).is_err());
    assert_eq!(verify_all(&tree.root(), empty, &[]), Err(BadProof::Root));
}

#[test]
fn a_range_that_reaches_over_the_end_or_overflows_is_refused() {
    let hashes = testing::chunk_hashes(1, 5);
    let root = merkle_root(layout_of(5), &hashes);
    let none = MerkleProof { nodes: vec![] };
    for first in [1, 4, 5, u32::MAX - 4, u32::MAX] {
        let verdict = verify_range(&root, layout_of(5), ChunkIndex(first), &hashes, &none);
        let (count, chunks) = (5, 5);
        assert_eq!(verdict, Err(BadProof::Range { first, count, chunks }));
    }
}

#[test]
fn a_tree_needs_as_many_hashes_as_there_are_chunks() {
    for got in [0, 2, 4] {
        let hashes = testing::chunk_hashes(1, got);
        let error = MerkleTree::new(layout_of(3), &hashes).map(|_| ()).unwrap_err();
        let got = got as usize;
        assert_eq!(error, WrongCount { got, chunks: 3 });
        assert_ne!(
            merkle_root(layout_of(3), &hashes),
            merkle_root(layout_of(3), &testing::chunk_hashes(1, 3))
        );
    }
}

#[test]
fn a_proof_of_the_largest_file_has_no_more_nodes_than_the_limit() {
    let count = |wanted: Range<u32>| {
        let mut nodes = 0;
        outside(0..MAX_CHUNKS, &wanted, &mut |_| nodes += 1);
        nodes
    };
    let middle = MAX_CHUNKS / 2;
    let counts = [
        1..MAX_CHUNKS - 1,
        middle - 1..middle + 1,
        middle..middle + 1,
        0..1,
        0..MAX_CHUNKS,
    ]
    .map(count);
    assert_eq!(counts, [2, 50, 26, 26, 0]);
    assert!(counts.iter().max() == Some(&MAX_PROOF_NODES));
}

proptest! {
    #[test]
    fn a_proof_with_any_bit_changed_is_refused(
        chunks in 1..200u32,
        a in any::<prop::sample::Index>(),
        b in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        bit in 0..8u32,
    ) {
        let layout = layout_of(chunks);
        let hashes = testing::chunk_hashes(3, chunks);
        let tree = MerkleTree::new(layout, &hashes).unwrap();
        let (a, b) = (a.index(chunks as usize), b.index(chunks as usize));
        let (start, end) = (a.min(b), a.max(b) + 1);
        let mut part = hashes[start..end].to_vec();
        let mut proof = tree.proof(start as u32..end as u32);
        prop_assert!(proof.nodes.len() <= MAX_PROOF_NODES);
        let first = ChunkIndex(start as u32);
        prop_assert_eq!(verify_range(&tree.root(), layout, first, &part, &proof), Ok(()));

        let at = at.index((part.len() + proof.nodes.len()) * 32);
        let (item, byte) = (at / 32, at % 32);
        match item.checked_sub(part.len()) {
            None => part[item].0[byte] ^= 1 << bit,
            Some(node) => proof.nodes[node][byte] ^= 1 << bit,
        }
        prop_assert_eq!(verify_range(&tree.root(), layout, first, &part, &proof), Err(BadProof::Root));
    }

    #[test]
    fn a_proof_with_too_few_or_too_many_nodes_is_refused(chunks in 2..200u32, start in any::<prop::sample::Index>()) {
        let layout = layout_of(chunks);
        let hashes = testing::chunk_hashes(3, chunks);
        let tree = MerkleTree::new(layout, &hashes).unwrap();
        let start = start.index(chunks as usize);
        let verify = |proof: &MerkleProof| {
            verify_range(&tree.root(), layout, ChunkIndex(start as u32), &hashes[start..=start], proof)
        };
        let good = tree.proof(start as u32..start as u32 + 1);
        let expected = good.nodes.len();
        let mut fewer = good.clone();
        fewer.nodes.pop();
        prop_assert_eq!(verify(&fewer), Err(BadProof::Nodes { got: expected - 1, expected }));
        let mut more = good;
        more.nodes.push([0; 32]);
        prop_assert_eq!(verify(&more), Err(BadProof::Nodes { got: expected + 1, expected }));
    }
}
