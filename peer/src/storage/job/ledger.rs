//! Which chunks of a download are held, and which of those would survive a power cut. Pure.
//!
//! Every chunk is in exactly one state: missing, *held* (written and journaled: survives the death of the process) or
//! held and *durable* (covered by a checkpoint: survives the death of the machine). A checkpoint is marked before the
//! disk is told to write and taken note of when it has written, so what is had in between stays merely held.

use p2p_shared::{bitfield::Bitfield, id::ChunkIndex};

/// The state of every chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ledger {
    held: Bitfield,
    /// A part of `held`.
    durable: Bitfield,
    /// What is held and not durable, in the order in which it came.
    fresh: Vec<ChunkIndex>,
    /// How many of `fresh` the checkpoint on its way covers.
    marked: Option<usize>,
    /// The whole-file hash as of the last checkpoint.
    front: Option<Vec<u8>>,
    /// The folder's files are where they belong (see `target::folder`).
    unpacked: bool,
}

impl Ledger {
    /// Nothing is held of `chunks` chunks.
    pub(super) fn new(chunks: u32) -> Self {
        Self {
            held: Bitfield::new(chunks),
            durable: Bitfield::new(chunks),
            fresh: Vec::new(),
            marked: None,
            front: None,
            unpacked: false,
        }
    }

    pub(super) fn held(&self) -> &Bitfield {
        &self.held
    }

    pub(super) fn durable(&self) -> &Bitfield {
        &self.durable
    }

    /// What is held but would not be known to survive a power cut.
    pub(super) fn unproven(&self) -> Bitfield {
        self.held.and_not(&self.durable)
    }

    pub(super) fn front(&self) -> Option<&[u8]> {
        self.front.as_deref()
    }

    pub(super) fn is_unpacked(&self) -> bool {
        self.unpacked
    }

    /// The chunk was written and journaled.
    pub(super) fn on_had(&mut self, chunk: ChunkIndex) {
        if self.held.set(chunk) {
            self.fresh.push(chunk);
        }
    }

    /// The chunk turned out not to be what was written.
    pub(super) fn on_lost(&mut self, chunk: ChunkIndex) {
        self.held.clear(chunk);
        self.durable.clear(chunk);
        // Had again while a checkpoint is on its way, it must not pass for what that checkpoint covers.
        let covered = self.fresh.iter().take(self.marked.unwrap_or(0));
        let gone = covered.filter(|fresh| **fresh == chunk).count();
        self.fresh.retain(|fresh| *fresh != chunk);
        self.marked = self.marked.map(|marked| marked - gone);
    }

    /// What is held by now is about to be made durable.
    pub(super) fn on_mark(&mut self) {
        self.marked = Some(self.fresh.len());
    }

    /// What was held at the mark is durable; `front` is the whole-file hash of that time.
    pub(super) fn on_durable(&mut self, front: Vec<u8>) {
        let Some(marked) = self.marked.take() else {
            return;
        };
        for chunk in self.fresh.drain(..marked) {
            self.durable.set(chunk);
        }
        self.front = Some(front);
    }

    /// The disk failed to make durable what it had taken: only what was durable before counts.
    pub(super) fn on_distrust(&mut self) {
        self.held = self.durable.clone();
        self.fresh.clear();
        self.marked = None;
    }

    /// All that was held was copied to where it belongs, and the copies are not durable yet.
    pub(super) fn on_unpacked(&mut self) {
        self.unpacked = true;
        self.durable = Bitfield::new(self.held.len());
        self.fresh = self.held.ones().collect();
        self.marked = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(had: &[u32]) -> Ledger {
        let mut ledger = Ledger::new(8);
        had.iter().for_each(|chunk| ledger.on_had(ChunkIndex(*chunk)));
        ledger
    }

    fn chunks(bits: &Bitfield) -> Vec<u32> {
        bits.ones().map(|chunk| chunk.0).collect()
    }

    #[test]
    fn a_checkpoint_covers_what_was_held_when_it_began() {
        let mut ledger = ledger(&[3, 1]);
        ledger.on_mark();
        ledger.on_had(ChunkIndex(5));
        ledger.on_durable(vec![1]);
        assert_eq!(chunks(ledger.durable()), [1, 3]);
        assert_eq!(chunks(&ledger.unproven()), [5]);
        ledger.on_mark();
        ledger.on_durable(vec![2]);
        assert!(ledger.unproven().is_empty());
        assert_eq!(ledger.front(), Some(&[2][..]));
    }

    #[test]
    fn a_checkpoint_that_was_never_marked_covers_nothing() {
        let mut ledger = ledger(&[1]);
        ledger.on_durable(vec![1]);
        assert_eq!((chunks(ledger.durable()), ledger.front()), (vec![], None));
    }

    #[test]
    fn a_lost_chunk_is_neither_held_nor_made_durable_by_a_checkpoint_on_its_way() {
        let mut ledger = ledger(&[1, 2]);
        ledger.on_mark();
        ledger.on_lost(ChunkIndex(1));
        ledger.on_had(ChunkIndex(1));
        ledger.on_lost(ChunkIndex(2));
        ledger.on_durable(vec![]);
        assert_eq!(
            (chunks(ledger.held()), chunks(ledger.durable())),
            (vec![1], vec![])
        );
        assert_eq!(chunks(&ledger.unproven()), [1]);
    }

    #[test]
    fn after_a_failed_checkpoint_only_the_one_before_counts() {
        let mut ledger = ledger(&[1]);
        ledger.on_mark();
        ledger.on_durable(vec![]);
        ledger.on_had(ChunkIndex(2));
        ledger.on_mark();
        ledger.on_distrust();
        ledger.on_durable(vec![]);
        assert_eq!(
            (chunks(ledger.held()), chunks(ledger.durable())),
            (vec![1], vec![1])
        );
    }

    #[test]
    fn what_was_copied_has_to_be_made_durable_anew() {
        let mut ledger = ledger(&[1, 2]);
        ledger.on_mark();
        ledger.on_durable(vec![]);
        ledger.on_unpacked();
        assert_eq!(
            (chunks(ledger.held()), chunks(ledger.durable())),
            (vec![1, 2], vec![])
        );
        ledger.on_mark();
        ledger.on_durable(vec![]);
        assert_eq!(chunks(ledger.durable()), [1, 2]);
    }
}
