//! The decisions of one download: what to ask of whom, whom to trust, when it is done.
//!
//! Promises that every wanted chunk is asked for as long as somebody has it, that no two peers send the same chunk
//! except to help out one that is late, that a peer which sent a wrong chunk is avoided and at the second one (or when
//! the first is proved) banned, and that nothing is asked for while the disk takes nothing. Inputs are `on_*` calls, the
//! answer is a list of [`Action`]s. No session, no disk, no clock.

use super::{
    chunks::{Arrival, ChunkState, Chunks},
    owed::Owed,
    picker::Picker,
    score::{Score, Standing},
    source::{Room, Source},
};
use p2p_shared::{
    bitfield::Bitfield,
    id::{ChunkIndex, PublicKey},
};
use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    time::{Duration, Instant},
};

/// A peer is helped out at the end only if its answer is further away than this…
const WORTH_HELPING: Duration = Duration::from_millis(250);
/// …and this many times as far as the helper's.
const MUCH_SLOWER: u32 = 2;
/// Chunks asked of a demoted peer at a time: enough to notice that it is well again.
const PROBATION: u32 = 1;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Ask `peer` for these.
    Request {
        /// Whom.
        peer: PublicKey,
        /// What, in this order.
        chunks: Vec<ChunkIndex>,
    },
    /// Tell `peer` that this is not needed any more.
    Cancel {
        /// Whom.
        peer: PublicKey,
        /// What.
        chunk: ChunkIndex,
    },
    /// Tell `peer` whether it has something that we want.
    Interest {
        /// Whom.
        peer: PublicKey,
        /// Whether it has.
        interested: bool,
    },
    /// Tell all peers that we hold one more.
    Have(ChunkIndex),
    /// Never deal with `peer` again: it sent wrong chunks.
    Ban(PublicKey),
    /// Close the session with `peer`: it claims and does not deliver.
    Drop(PublicKey),
}

/// The state of one download.
#[derive(Debug)]
pub struct Download {
    pub(super) chunks: Chunks,
    pub(super) picker: Picker,
    /// Ordered, so that the same inputs give the same actions.
    pub(super) sources: BTreeMap<PublicKey, Source>,
    /// The records of peers that are away: who comes back is who left.
    pub(super) records: HashMap<PublicKey, Score>,
    /// What was asked over sessions that are not used any more.
    pub(super) owed: Owed,
    /// The disk takes nothing, or a person said so.
    paused: bool,
}

impl Download {
    /// A download that has `held` and is to get `wanted`; `seed` is any random number.
    pub fn new(held: Bitfield, wanted: Bitfield, seed: u64) -> Self {
        Self {
            chunks: Chunks::new(held, wanted),
            picker: Picker::new(seed),
            sources: BTreeMap::new(),
            records: HashMap::new(),
            owed: Owed::default(),
            paused: false,
        }
    }

    /// What is on disk is this after all (the job was opened, or found damaged): begins anew with the same peers.
    pub fn restart(&mut self, held: Bitfield, wanted: Bitfield) -> Vec<Action> {
        self.chunks = Chunks::new(held, wanted);
        self.owed.clear();
        for source in self.sources.values_mut() {
            source.asked = 0;
        }
        let peers: Vec<_> = self.sources.keys().copied().collect();
        let mut actions: Vec<_> = peers
            .iter()
            .filter_map(|peer| self.update_interest(peer))
            .collect();
        actions.extend(self.assign_all());
        actions
    }

    /// These chunks come before all others.
    pub fn prefer(&mut self, first: Range<u32>) {
        self.picker.prefer(first);
    }

    /// Where each chunk is.
    pub fn chunks(&self) -> &Chunks {
        &self.chunks
    }

    /// Whether everything wanted is on disk.
    pub fn is_complete(&self) -> bool {
        self.chunks.is_complete()
    }

    /// The peers connected.
    pub fn peers(&self) -> usize {
        self.sources.len()
    }

    /// The peers that something is asked of now.
    pub fn busy_peers(&self) -> usize {
        self.sources.values().filter(|source| source.asked > 0).count()
    }

    /// The peer holds one more.
    pub fn on_has(&mut self, peer: &PublicKey, chunk: ChunkIndex) -> Vec<Action> {
        let Some(source) = self.sources.get_mut(peer) else {
            return Vec::new();
        };
        if source.bits.set(chunk) && !source.was_whole {
            self.picker.on_have(chunk);
        }
        let mut actions = Vec::new();
        if !source.interested && self.is_wanted(chunk) {
            actions.extend(self.update_interest(peer));
        }
        actions.extend(self.assign(peer));
        actions
    }

    fn is_wanted(&self, chunk: ChunkIndex) -> bool {
        matches!(
            self.chunks.state(chunk),
            ChunkState::Missing | ChunkState::Asked(_)
        )
    }

    pub(super) fn update_interest(&mut self, peer: &PublicKey) -> Option<Action> {
        let source = self.sources.get_mut(peer)?;
        let interested = self.chunks.wants_of(&source.bits);
        let changed = std::mem::replace(&mut source.interested, interested) != interested;
        changed.then_some(Action::Interest {
            peer: *peer,
            interested,
        })
    }

    /// The peer does or does not answer requests from now on.
    pub fn on_choke(&mut self, peer: &PublicKey, choked: bool, room: Room) -> Vec<Action> {
        if let Some(source) = self.sources.get_mut(peer) {
            source.choked = choked;
        }
        self.on_room(peer, room)
    }

    /// The peer's session can be asked for this much.
    pub fn on_room(&mut self, peer: &PublicKey, room: Room) -> Vec<Action> {
        if let Some(source) = self.sources.get_mut(peer) {
            source.room = room;
        }
        self.assign(peer).into_iter().collect()
    }

    /// The session did not put these questions: its window was full.
    pub fn on_refused(&mut self, peer: &PublicKey, chunks: &[ChunkIndex], room: Room) -> Vec<Action> {
        for chunk in chunks {
            self.give_up(peer, *chunk);
        }
        self.on_room(peer, room)
    }

    fn give_up(&mut self, peer: &PublicKey, chunk: ChunkIndex) {
        let ours = matches!(self.chunks.state(chunk), ChunkState::Asked(asked) if asked.of(peer));
        if ours {
            self.settle(peer, chunk);
        }
        self.chunks.on_given_up(chunk, peer);
    }

    /// The peer will not send a chunk. `empty_claim`: because it does not hold it, or cannot read it.
    pub fn on_rejected(
        &mut self,
        peer: &PublicKey,
        chunk: ChunkIndex,
        empty_claim: bool,
        room: Room,
    ) -> Vec<Action> {
        self.give_up(peer, chunk);
        let Some(source) = self.sources.get_mut(peer) else {
            return self.assign_all();
        };
        source.room = room;
        if source.presumed {
            // It did not claim anything. Nothing more is asked before it has said what it holds, and whether it answers.
            source.choked = true;
        } else if empty_claim {
            source.score.on_empty_claim();
            if source.bits.clear(chunk) && !source.was_whole {
                self.picker.on_lost(chunk);
            }
        }
        let mut actions: Vec<_> = self.judge(peer).into_iter().collect();
        actions.extend(self.assign_all());
        actions
    }

    /// A chunk came. What to do with it, and what else follows.
    ///
    /// `room`: how much more may be asked over the session that is used; nothing if it came over another one.
    pub fn on_received(
        &mut self,
        peer: &PublicKey,
        chunk: ChunkIndex,
        room: Option<Room>,
    ) -> (Arrival, Vec<Action>) {
        let was_asked = matches!(self.chunks.state(chunk), ChunkState::Asked(asked) if asked.of(peer));
        let arrival = self.chunks.on_received(chunk, peer);
        if was_asked {
            self.settle(peer, chunk);
        }
        let mut actions = Vec::new();
        if let Arrival::Store { loser: Some(loser) } = arrival {
            self.settle(&loser, chunk);
            actions.push(Action::Cancel { peer: loser, chunk });
        }
        actions.extend(room.map(|room| self.on_room(peer, room)).unwrap_or_default());
        (arrival, actions)
    }

    /// A chunk from `peer` was right and is on disk.
    pub fn on_stored(&mut self, peer: &PublicKey, chunk: ChunkIndex, now: Instant) -> Vec<Action> {
        if !self.chunks.on_stored(chunk) {
            return Vec::new();
        }
        if let Some(source) = self.sources.get_mut(peer) {
            source.score.on_good(now);
        }
        let mut actions = vec![Action::Have(chunk)];
        actions.extend(self.convict(peer, chunk));
        actions
    }

    /// Whoever sent `chunk` wrongly before `witness` sent it rightly is beyond doubt.
    fn convict(&mut self, witness: &PublicKey, chunk: ChunkIndex) -> Vec<Action> {
        let mut banned = Vec::new();
        for (peer, source) in self.sources.iter_mut().filter(|(peer, _)| *peer != witness) {
            if source.score.on_proved_elsewhere(chunk) {
                banned.push(Action::Ban(*peer));
            }
        }
        for (peer, score) in self.records.iter_mut().filter(|(peer, _)| *peer != witness) {
            if score.on_proved_elsewhere(chunk) {
                banned.push(Action::Ban(*peer));
            }
        }
        banned
    }

    /// A chunk from `peer` was not what its hash says.
    pub fn on_bad(&mut self, peer: &PublicKey, chunk: ChunkIndex) -> Vec<Action> {
        self.chunks.on_not_stored(chunk);
        match self.sources.get_mut(peer) {
            Some(source) => source.score.on_bad(chunk),
            None => self.records.entry(*peer).or_default().on_bad(chunk),
        }
        let mut actions: Vec<_> = self.judge(peer).into_iter().collect();
        actions.extend(self.assign_all());
        actions
    }

    /// A right chunk could not be written.
    pub fn on_not_stored(&mut self, chunk: ChunkIndex) {
        self.chunks.on_not_stored(chunk);
    }

    fn judge(&self, peer: &PublicKey) -> Option<Action> {
        let score = self.sources.get(peer).map(|source| &source.score);
        match score.or_else(|| self.records.get(peer))?.standing() {
            Standing::Banned => Some(Action::Ban(*peer)),
            Standing::Dropped => Some(Action::Drop(*peer)),
            Standing::Good | Standing::Demoted => None,
        }
    }

    /// These answers of `peer` are late: ask somebody else as well.
    pub fn on_late(&mut self, peer: &PublicKey, chunks: &[ChunkIndex], room: Room) -> Vec<Action> {
        if let Some(source) = self.sources.get_mut(peer) {
            source.room = room;
        }
        let helped = chunks.iter().filter_map(|chunk| self.help_out(*chunk));
        helped.collect()
    }

    /// Asks the best idle peer for a chunk that another one owes.
    fn help_out(&mut self, chunk: ChunkIndex) -> Option<Action> {
        let ChunkState::Asked(asked) = self.chunks.state(chunk) else {
            return None;
        };
        let able = self.sources.iter().filter(|(peer, source)| {
            source.free() > 0
                && source.bits.has(chunk)
                && !asked.of(peer)
                && source.score.standing() == Standing::Good
        });
        let best = able
            .min_by_key(|(_, source)| source.wait(1))
            .map(|(peer, _)| *peer)?;
        self.ask_as_well(best, chunk)
    }

    fn ask_as_well(&mut self, peer: PublicKey, chunk: ChunkIndex) -> Option<Action> {
        if self.paused || !self.chunks.ask_again(chunk, peer) {
            return None;
        }
        if let Some(source) = self.sources.get_mut(&peer) {
            source.asked += 1;
        }
        let chunks = vec![chunk];
        Some(Action::Request { peer, chunks })
    }

    /// Time passed. `own_pause`: this side took nothing in (no buffer was free), so nobody is to blame.
    pub fn on_tick(&mut self, own_pause: bool, now: Instant) -> Vec<Action> {
        for source in self.sources.values_mut() {
            if own_pause {
                source.score.on_own_pause();
            }
            source.score.on_tick(source.asked > 0, now);
        }
        let peers: Vec<_> = self.sources.keys().copied().collect();
        let mut actions: Vec<_> = peers.iter().filter_map(|peer| self.judge(peer)).collect();
        actions.extend(peers.iter().filter_map(|peer| self.update_interest(peer)));
        actions.extend(self.assign_all());
        actions
    }

    /// The disk takes nothing (or a person said so): cancels everything and asks for nothing until resumed.
    pub fn pause(&mut self) -> Vec<Action> {
        self.paused = true;
        let owed: Vec<_> = self.chunks.asked().collect();
        let mut actions = Vec::new();
        for (chunk, asked) in owed {
            for peer in asked.peers() {
                self.give_up(&peer, chunk);
                actions.push(Action::Cancel { peer, chunk });
            }
        }
        actions
    }

    /// Goes on.
    pub fn resume(&mut self) -> Vec<Action> {
        self.paused = false;
        self.assign_all()
    }

    /// Whether it stands still.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Changes what is wanted.
    pub fn select(&mut self, wanted: Bitfield) -> Vec<Action> {
        self.chunks.select(wanted);
        let peers: Vec<_> = self.sources.keys().copied().collect();
        let mut actions: Vec<_> = peers
            .iter()
            .filter_map(|peer| self.update_interest(peer))
            .collect();
        actions.extend(self.assign_all());
        actions
    }

    /// Gives every peer with room something to do; good ones first, fast ones before slow ones.
    pub(super) fn assign_all(&mut self) -> Vec<Action> {
        let mut peers: Vec<_> = self.sources.iter().collect();
        peers.sort_by_key(|(_, source)| (source.score.standing(), source.wait(1)));
        let peers: Vec<_> = peers.into_iter().map(|(peer, _)| *peer).collect();
        peers.iter().flat_map(|peer| self.assign(peer)).collect()
    }

    pub(super) fn assign(&mut self, peer: &PublicKey) -> Option<Action> {
        let source = self.sources.get(peer).filter(|_| !self.paused)?;
        let chunks = match source.score.standing() {
            Standing::Good => self
                .picker
                .pick(&self.chunks, &source.bits, source.batch() as usize),
            Standing::Demoted => self.last_resort(source),
            Standing::Dropped | Standing::Banned => return None,
        };
        if chunks.is_empty() {
            return self.help_somebody(*peer);
        }
        for chunk in &chunks {
            self.chunks.ask(*chunk, *peer);
        }
        self.sources.get_mut(peer)?.asked += chunks.len() as u32;
        Some(Action::Request { peer: *peer, chunks })
    }

    /// What a demoted peer is asked for: little, and only what no good peer holds.
    fn last_resort(&self, demoted: &Source) -> Vec<ChunkIndex> {
        let room = demoted.free().min(PROBATION.saturating_sub(demoted.asked));
        if room == 0 {
            return Vec::new();
        }
        let mut theirs = demoted.bits.clone();
        for source in self
            .sources
            .values()
            .filter(|source| source.score.standing() == Standing::Good)
        {
            theirs = theirs.and_not(&source.bits);
        }
        self.picker.pick(&self.chunks, &theirs, room as usize)
    }

    /// Endgame: an idle peer is asked for what a much slower one owes.
    fn help_somebody(&mut self, peer: PublicKey) -> Option<Action> {
        let helper = self.sources.get(&peer)?;
        if !self.chunks.is_endgame() || !helper.is_idle() || helper.score.standing() != Standing::Good {
            return None;
        }
        let mine = helper.wait(1);
        let owed = self
            .chunks
            .asked()
            .filter(|(chunk, asked)| helper.bits.has(*chunk) && !asked.of(&peer));
        let slowest = owed
            .map(|(chunk, asked)| (self.shortest_wait(asked.peers()), chunk))
            .max()?;
        let (wait, chunk) = slowest;
        let worth = wait > WORTH_HELPING && wait > mine * MUCH_SLOWER;
        worth.then(|| self.ask_as_well(peer, chunk)).flatten()
    }

    fn shortest_wait(&self, peers: impl Iterator<Item = PublicKey>) -> Duration {
        let waits = peers
            .filter_map(|peer| self.sources.get(&peer))
            .map(|source| source.wait(0));
        waits.min().unwrap_or_default()
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
