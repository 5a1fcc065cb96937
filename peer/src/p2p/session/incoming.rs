//! What a peer says, and what follows from it: the half of [`SessionState`] that listens.
//!
//! Whatever no correct peer does is a [`Violation`] here and ends the session. What a correct peer may say late, because
//! our `Detach` or `Cancel` crossed it on the way, is not.

use super::{
    attachment::{Attachment, Theirs},
    close::{CloseReason, Violation},
    news::{ChunkNews, Detached, SessionNews},
    requests::Answer,
    state::{Action, Answered, Delivery, MAX_FILES, SessionState, told_detached},
};
use p2p_shared::{
    id::{ChunkHash, ChunkIndex, FileHash},
    merkle::MerkleProof,
    protocol::{DetachReason, MAX_REQUESTS, PeerMessage, RejectReason},
};
use std::time::{Duration, Instant};

/// Ranges of hashes that a peer may have queued here at a time: each costs a walk over a Merkle tree.
const MAX_HASH_QUESTIONS: u64 = 4;
/// Requests of a peer that wait until it is known whether we share the file: those that it may send right behind its `Attach`.
const EARLY: usize = 16;
/// Control messages a peer may send a second; at 500 MB/s a leecher sends 2,000 `Have`s.
const CHATTER: u32 = 20_000;

impl SessionState {
    /// A chunk came. An error ends the session.
    pub fn on_chunk(
        &mut self,
        file: FileHash,
        chunk: ChunkIndex,
        bytes: usize,
        now: Instant,
    ) -> Result<(Delivery, Vec<Action>), Violation> {
        self.liveness.on_heard(now);
        let unsolicited = Violation::Unsolicited(file, chunk);
        let Some(expected) = self.requests.expects(&(file, chunk)) else {
            return Err(unsolicited);
        };
        if bytes != expected as usize {
            let got = bytes;
            return Err(Violation::Length {
                file,
                chunk,
                got,
                expected,
            });
        }
        let answer = self.requests.on_chunk((file, chunk), now).ok_or(unsolicited)?;
        let mut actions = Vec::new();
        if !std::mem::replace(&mut self.useful, true) {
            actions.push(Action::Report(SessionNews::Useful));
        }
        let delivery = match answer {
            Answer::Wanted => {
                let room = self.room(&file);
                self.note_told(&file, room);
                Delivery::Deliver(room)
            }
            Answer::Cancelled => Delivery::Drop,
        };
        actions.extend(self.tell_room());
        Ok((delivery, actions))
    }

    /// Tells those who were last told that there is no room, if there is some.
    fn tell_room(&mut self) -> Vec<Action> {
        let waiting = self.files.iter().filter(|(_, attachment)| {
            let starved = attachment
                .fetch
                .as_ref()
                .is_some_and(|fetch| fetch.told_room == 0);
            starved && attachment.theirs.whole().is_some()
        });
        let waiting: Vec<_> = waiting.map(|(file, _)| *file).collect();
        let mut actions = Vec::new();
        for file in waiting {
            let room = self.room(&file);
            if room.free > 0 {
                self.note_told(&file, room);
                actions.push(Action::Tell(file, ChunkNews::Room(room)));
            }
        }
        actions
    }

    /// A control message came; `answered` is how much of theirs was answered by now.
    pub fn on_message(&mut self, message: PeerMessage, answered: Answered, now: Instant) -> Vec<Action> {
        self.liveness.on_heard(now);
        if let Err(violation) = self.count_chatter(now) {
            return vec![Action::Close(CloseReason::Violation(violation))];
        }
        match self.react(message, answered, now) {
            Ok(actions) => actions,
            Err(violation) => vec![Action::Close(CloseReason::Violation(violation))],
        }
    }

    fn count_chatter(&mut self, now: Instant) -> Result<(), Violation> {
        if now.saturating_duration_since(self.chatter_since) >= Duration::from_secs(1) {
            self.chatter_since = now;
            self.chatter = 0;
        }
        self.chatter += 1;
        if self.chatter > CHATTER {
            Err(Violation::TooMany("messages"))
        } else {
            Ok(())
        }
    }

    fn react(
        &mut self,
        message: PeerMessage,
        answered: Answered,
        now: Instant,
    ) -> Result<Vec<Action>, Violation> {
        match message {
            PeerMessage::Hello(_) => Err(Violation::Hello),
            PeerMessage::Attach { file } => self.on_attach(file),
            PeerMessage::Detach { file, reason } => Ok(self.on_detach(file, reason)),
            PeerMessage::Bitfield {
                file,
                first_byte,
                bits,
            } => self.on_bitfield(file, first_byte, bits),
            PeerMessage::Have { file, chunk } => self.on_have(file, chunk),
            PeerMessage::Choke => Ok(self.on_choke(true)),
            PeerMessage::Unchoke => Ok(self.on_choke(false)),
            PeerMessage::Interested { file } => Ok(self.on_interest(file, true)),
            PeerMessage::NotInterested { file } => Ok(self.on_interest(file, false)),
            PeerMessage::Request { file, chunk } => self.on_request(file, chunk, answered),
            PeerMessage::Cancel { file, chunk } => Ok(vec![self.on_cancel(file, chunk)]),
            PeerMessage::Reject { file, chunk, reason } => self.on_reject(file, chunk, reason),
            PeerMessage::GetHashes { file, first, count } => self.on_get_hashes(file, first, count, answered),
            PeerMessage::Hashes {
                file,
                first,
                hashes,
                proof,
            } => self.on_hashes(file, first, hashes, &proof),
            PeerMessage::PeerExchange { file, peers } => {
                Ok(vec![Action::Report(SessionNews::Learned { file, peers })])
            }
            PeerMessage::Ping { nonce } => Ok(vec![Action::Send(PeerMessage::Pong { nonce })]),
            PeerMessage::Pong { nonce } => {
                let measured = self.liveness.on_pong(nonce, now);
                Ok(measured.map_or_else(Vec::new, |round_trip| self.on_round_trip(round_trip)))
            }
            PeerMessage::Goodbye { reason } => Ok(vec![Action::Close(CloseReason::Theirs(reason))]),
        }
    }

    fn on_attach(&mut self, file: FileHash) -> Result<Vec<Action>, Violation> {
        if self.files.len() >= MAX_FILES && !self.files.contains_key(&file) {
            return Err(Violation::TooMany("files"));
        }
        let attachment = self.files.entry(file).or_default();
        attachment.they = true;
        // What they hold follows, from the beginning.
        attachment.theirs = Theirs::default();
        let mut actions = vec![Action::Report(SessionNews::Attached(file))];
        match attachment.layout {
            Some(layout) => attachment.theirs.learn(file, layout)?,
            None if !attachment.opening => {
                attachment.opening = true;
                actions.push(Action::Open(file));
            }
            None => {}
        }
        Ok(actions)
    }

    fn on_detach(&mut self, file: FileHash, reason: DetachReason) -> Vec<Action> {
        let Some(attachment) = self.files.remove(&file) else {
            return Vec::new();
        };
        let mut actions = vec![
            Action::WithdrawAll(file),
            Action::Report(SessionNews::Detached(file)),
        ];
        actions.extend(rejections(file, &attachment.early, RejectReason::Cancelled));
        if attachment.fetch.is_some() {
            // What was asked is still answered, but nobody waits for it.
            let unfinished = self.requests.cancel_file(&file);
            actions.push(told_detached(file, Detached::Theirs(reason), unfinished));
        }
        actions
    }

    fn on_bitfield(
        &mut self,
        file: FileHash,
        first_byte: u32,
        bits: Vec<u8>,
    ) -> Result<Vec<Action>, Violation> {
        let Some(attachment) = self.attached(&file) else {
            return Ok(Vec::new());
        };
        let complete = attachment.theirs.on_part(file, first_byte, bits)?;
        Ok(if complete {
            self.tell_attached(file)
        } else {
            Vec::new()
        })
    }

    /// What the peer attached; what it says of a file that we have just detached is nothing to us.
    fn attached(&mut self, file: &FileHash) -> Option<&mut Attachment> {
        self.files.get_mut(file).filter(|attachment| attachment.they)
    }

    fn on_have(&mut self, file: FileHash, chunk: ChunkIndex) -> Result<Vec<Action>, Violation> {
        let Some(attachment) = self.attached(&file) else {
            return Ok(Vec::new());
        };
        let news = attachment.theirs.on_have(file, chunk)? && attachment.fetch.is_some();
        let told = news.then_some(Action::Tell(file, ChunkNews::Has(chunk)));
        Ok(told.into_iter().collect())
    }

    /// Those who fetch hear of the first one.
    fn on_round_trip(&mut self, round_trip: Duration) -> Vec<Action> {
        let is_first = self.window().round_trip().is_none();
        self.requests.on_round_trip(round_trip);
        let attached = self
            .files
            .iter()
            .filter(|(_, attachment)| is_first && attachment.fetch.is_some());
        attached
            .map(|(file, _)| Action::Tell(*file, ChunkNews::RoundTrip(round_trip)))
            .collect()
    }

    fn on_choke(&mut self, choked: bool) -> Vec<Action> {
        self.unheard = false;
        if std::mem::replace(&mut self.choked, choked) == choked {
            return Vec::new();
        }
        let ready = self
            .files
            .iter()
            .filter(|(_, attachment)| attachment.fetch.is_some() && attachment.theirs.whole().is_some());
        let ready: Vec<_> = ready.map(|(file, _)| *file).collect();
        let told = ready.into_iter().map(|file| {
            let room = self.room(&file);
            self.note_told(&file, room);
            Action::Tell(file, ChunkNews::Choked { choked, room })
        });
        told.collect()
    }

    /// Whoever is interested is unchoked: which of many may fetch at a time is not decided here yet.
    fn on_interest(&mut self, file: FileHash, interested: bool) -> Vec<Action> {
        let Some(attachment) = self.files.get_mut(&file) else {
            return Vec::new();
        };
        attachment.their_interest = interested;
        if interested && std::mem::take(&mut self.choking) {
            return vec![Action::Send(PeerMessage::Unchoke)];
        }
        Vec::new()
    }

    pub(super) fn on_request(
        &mut self,
        file: FileHash,
        chunk: ChunkIndex,
        answered: Answered,
    ) -> Result<Vec<Action>, Violation> {
        let reject = |reason| Ok(vec![Action::Send(PeerMessage::Reject { file, chunk, reason })]);
        let attachment = self.files.get_mut(&file);
        if let Some(attachment) = attachment.filter(|known| known.opening && known.layout.is_none())
            && attachment.early.len() < EARLY
        {
            attachment.early.push(chunk);
            return Ok(Vec::new());
        }
        let Some(layout) = self.files.get(&file).and_then(|attachment| attachment.layout) else {
            return reject(RejectReason::NotHeld);
        };
        if !layout.contains(chunk) {
            return Err(Violation::OutOfRange(file, chunk));
        }
        if self.choking {
            return reject(RejectReason::Choked);
        }
        if self.accepted.saturating_sub(answered.requests) >= MAX_REQUESTS as u64 {
            return reject(RejectReason::Busy);
        }
        self.accepted += 1;
        Ok(vec![Action::Serve(file, chunk)])
    }

    /// What they asked for before we knew whether we have the file.
    pub(super) fn take_early(&mut self, file: FileHash, answered: Answered) -> Vec<Action> {
        let early = self
            .files
            .get_mut(&file)
            .map(|known| std::mem::take(&mut known.early));
        let mut actions = Vec::new();
        for chunk in early.unwrap_or_default() {
            match self.on_request(file, chunk, answered) {
                Ok(answer) => actions.extend(answer),
                Err(violation) => {
                    actions.push(Action::Close(CloseReason::Violation(violation)));
                    return actions;
                }
            }
        }
        actions
    }

    fn on_cancel(&mut self, file: FileHash, chunk: ChunkIndex) -> Action {
        let early = self.files.get_mut(&file).map(|attachment| &mut attachment.early);
        let waits =
            early.and_then(|early| Some(early.swap_remove(early.iter().position(|asked| *asked == chunk)?)));
        match waits {
            Some(chunk) => rejection(file, chunk, RejectReason::Cancelled),
            None => Action::Withdraw(file, chunk),
        }
    }

    fn on_reject(
        &mut self,
        file: FileHash,
        chunk: ChunkIndex,
        reason: RejectReason,
    ) -> Result<Vec<Action>, Violation> {
        let answer = self.requests.on_reject((file, chunk));
        let mut actions = Vec::new();
        match answer {
            None => return Err(Violation::Rejection(file, chunk)),
            Some(Answer::Wanted) => {
                let room = self.room(&file);
                self.note_told(&file, room);
                actions.push(Action::Tell(file, ChunkNews::Rejected { chunk, reason, room }));
            }
            Some(Answer::Cancelled) => {}
        }
        actions.extend(self.tell_room());
        Ok(actions)
    }

    fn on_get_hashes(
        &mut self,
        file: FileHash,
        first: u32,
        count: u32,
        answered: Answered,
    ) -> Result<Vec<Action>, Violation> {
        if self.accepted_hashes.saturating_sub(answered.hashes) >= MAX_HASH_QUESTIONS {
            return Err(Violation::TooMany("questions for hashes"));
        }
        self.accepted_hashes += 1;
        Ok(vec![Action::ServeHashes { file, first, count }])
    }

    fn on_hashes(
        &mut self,
        file: FileHash,
        first: u32,
        hashes: Vec<ChunkHash>,
        proof: &MerkleProof,
    ) -> Result<Vec<Action>, Violation> {
        let question = self.asked_hashes.pop_front();
        let question = question.filter(|question| (question.file, question.first) == (file, first));
        let question = question.ok_or(Violation::Hashes(file))?;
        let Some(fetch) = self.fetch(&file).filter(|_| question.wanted) else {
            return Ok(Vec::new());
        };
        fetch.wanted.check_hashes(first, question.count, &hashes, proof)?;
        Ok(vec![Action::Tell(file, ChunkNews::Hashes { first, hashes })])
    }
}

fn rejection(file: FileHash, chunk: ChunkIndex, reason: RejectReason) -> Action {
    Action::Send(PeerMessage::Reject { file, chunk, reason })
}

/// Each request is answered, also one of a file that is talked about no more.
pub(super) fn rejections(
    file: FileHash,
    chunks: &[ChunkIndex],
    reason: RejectReason,
) -> impl Iterator<Item = Action> + '_ {
    chunks.iter().map(move |chunk| rejection(file, *chunk, reason))
}
