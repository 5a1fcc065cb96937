//! What is said and answered in a session, and what a peer may not do.
//!
//! Promises that each request of ours is matched to one answer, that whatever no correct peer does ends the session
//! with its violation (see the listening half, `incoming.rs`), that the owner of a fetched file hears everything about it in order, and that races which correct
//! peers run into (a message about a file that was just detached) are no violations. Inputs are `on_*` calls and verbs,
//! the answer is a list of [`Action`]s. No socket, no disk, no clock.

use super::{
    attachment::{Attachment, Fetch, Wanted},
    close::CloseReason,
    incoming::rejections,
    liveness::{Beat, Liveness},
    news::{ChunkNews, Detached, SessionNews},
    requests::{Put, Requests},
    retiring::Retirement,
    window::Window,
};
use crate::download::source::Room;
use p2p_shared::{
    chunker::Layout,
    id::{ChunkIndex, FileHash},
    protocol::{DetachReason, GoodbyeReason, MAX_HASHES, MAX_HINTS, PeerHint, PeerMessage, RejectReason},
};
use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

/// Files that one session talks about at a time. A daemon with more shares answers for those that are asked for.
pub(super) const MAX_FILES: usize = 1024;
/// Nothing to talk about for this long: the session closes.
const IDLE: Duration = Duration::from_secs(60);

/// What is to be done.
#[derive(Debug)]
pub enum Action {
    /// Send this.
    Send(PeerMessage),
    /// Send what we hold of a file, as it is at this moment.
    SendBitfield(FileHash),
    /// Find out whether we share this file; answered by [`SessionState::on_opened`].
    Open(FileHash),
    /// Answer a request: read, seal, send.
    Serve(FileHash, ChunkIndex),
    /// A queued request is withdrawn.
    Withdraw(FileHash, ChunkIndex),
    /// All queued requests of a file are withdrawn.
    WithdrawAll(FileHash),
    /// Answer a question for chunk hashes.
    ServeHashes {
        /// Which file.
        file: FileHash,
        /// The first chunk.
        first: u32,
        /// How many.
        count: u32,
    },
    /// Tell whoever fetches the file.
    Tell(FileHash, ChunkNews),
    /// Tell the table of connections.
    Report(SessionNews),
    /// End the session.
    Close(CloseReason),
}

/// What to do with a chunk that came.
#[derive(Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Hand it to whoever fetches the file.
    Deliver(Room),
    /// It was cancelled meanwhile: drop it.
    Drop,
}

/// How much of what the peer asked was answered so far, one way or the other.
#[derive(Debug, Clone, Copy, Default)]
pub struct Answered {
    /// Requests for chunks.
    pub requests: u64,
    /// Questions for hashes.
    pub hashes: u64,
}

/// The state of one session.
#[derive(Debug)]
pub struct SessionState {
    pub(super) files: BTreeMap<FileHash, Attachment>,
    pub(super) requests: Requests,
    pub(super) liveness: Liveness,
    /// Bytes heard when it was looked last.
    heard: u64,
    /// Another session with the peer is used.
    pub(super) retirement: Option<Retirement>,
    /// They answer no requests of ours.
    pub(super) choked: bool,
    /// They have not said yet whether they do: they may be asked, and say so with their answer.
    pub(super) unheard: bool,
    /// We answer no requests of theirs.
    pub(super) choking: bool,
    /// Requests of theirs that were accepted, ever.
    pub(super) accepted: u64,
    /// Questions of ours for hashes, in order: they are answered in order.
    pub(super) asked_hashes: VecDeque<HashQuestion>,
    /// Questions of theirs for hashes that were accepted, ever.
    pub(super) accepted_hashes: u64,
    /// A chunk came.
    pub(super) useful: bool,
    pub(super) idle_since: Instant,
    /// Control messages since `chatter_since`.
    pub(super) chatter: u32,
    pub(super) chatter_since: Instant,
}

/// A question of ours for chunk hashes.
#[derive(Debug)]
pub(super) struct HashQuestion {
    pub(super) file: FileHash,
    pub(super) first: u32,
    pub(super) count: u32,
    /// Whoever asked still waits.
    pub(super) wanted: bool,
}

impl SessionState {
    /// A session that begins at `now`, both sides choked.
    pub fn new(now: Instant) -> Self {
        Self {
            files: BTreeMap::new(),
            requests: Requests::default(),
            liveness: Liveness::new(now),
            heard: 0,
            retirement: None,
            choked: true,
            unheard: true,
            choking: true,
            accepted: 0,
            asked_hashes: VecDeque::new(),
            accepted_hashes: 0,
            useful: false,
            idle_since: now,
            chatter: 0,
            chatter_since: now,
        }
    }

    /// The window of requests: rate and round trip.
    pub fn window(&self) -> &Window {
        self.requests.window()
    }

    /// Whether the peer has yet to answer something that was asked of it.
    pub fn is_owed(&self) -> bool {
        self.requests.outstanding() > 0 || !self.asked_hashes.is_empty()
    }

    /// The files that the peer attached.
    pub fn their_files(&self) -> impl Iterator<Item = FileHash> + '_ {
        self.files
            .iter()
            .filter(|(_, attachment)| attachment.they)
            .map(|(file, _)| *file)
    }

    /// How a file that is talked about is cut, if we know it.
    pub fn layout(&self, file: &FileHash) -> Option<Layout> {
        self.files.get(file)?.layout
    }

    /// The files that are fetched over this session.
    pub fn fetched(&self) -> impl Iterator<Item = FileHash> + '_ {
        self.files
            .iter()
            .filter(|(_, attachment)| attachment.fetch.is_some())
            .map(|(file, _)| *file)
    }

    /// How much more of `file` may be asked for: what the window leaves, shared evenly among the files fetched.
    pub fn room(&self, file: &FileHash) -> Room {
        let sharers = self.fetched().count().max(1) as u32;
        let window = self.window().chunks().div_ceil(sharers);
        let own = self.requests.outstanding_of(file);
        Room {
            free: if self.choked {
                0
            } else {
                self.requests.room().min(window.saturating_sub(own))
            },
            window,
            rate: self.window().rate().unwrap_or_default() as u64,
        }
    }

    pub(super) fn fetch(&mut self, file: &FileHash) -> Option<&mut Fetch> {
        self.files.get_mut(file)?.fetch.as_mut()
    }

    // What the owners of files want.

    /// Somebody fetches a file over this session from now on. An owner that comes anew (its predecessor crashed, say)
    /// takes over; it does not wait for the answers of the old one.
    pub fn attach(&mut self, wanted: Wanted) -> Vec<Action> {
        let file = wanted.file;
        if self.files.len() >= MAX_FILES && !self.files.contains_key(&file) {
            return vec![told_detached(file, Detached::Ours, Vec::new())];
        }
        let mut actions = self.cancel_all(&file);
        let attachment = self.files.entry(file).or_default();
        let interested = attachment.fetch.as_ref().is_some_and(|fetch| fetch.interested);
        attachment.fetch = Some(Fetch {
            wanted,
            interested,
            told_room: 0,
        });
        // If their question was being looked up, this is its answer.
        attachment.opening = false;
        // What they hold of it and what we do crossed on the way: they ask again when they know.
        let early = std::mem::take(&mut attachment.early);
        actions.extend(self.introduce(file, wanted.layout));
        actions.extend(rejections(file, &early, RejectReason::Busy));
        actions.extend(self.tell_attached(file));
        actions
    }

    /// We know how the file is cut: says `Attach` if that was not said yet, and reads what they said before.
    fn introduce(&mut self, file: FileHash, layout: Layout) -> Vec<Action> {
        let Some(attachment) = self.files.get_mut(&file) else {
            return Vec::new();
        };
        if attachment.layout.replace(layout).is_none()
            && let Err(violation) = attachment.theirs.learn(file, layout)
        {
            return vec![Action::Close(CloseReason::Violation(violation))];
        }
        if std::mem::replace(&mut attachment.we, true) {
            return Vec::new();
        }
        vec![
            Action::Send(PeerMessage::Attach { file }),
            Action::SendBitfield(file),
        ]
    }

    /// Tells the owner what the peer holds, if there is an owner and the peer said so completely.
    pub(super) fn tell_attached(&mut self, file: FileHash) -> Vec<Action> {
        let attachment = self
            .files
            .get(&file)
            .filter(|attachment| attachment.fetch.is_some());
        let Some(bits) = attachment
            .and_then(|attachment| attachment.theirs.whole())
            .cloned()
        else {
            return Vec::new();
        };
        let room = self.room(&file);
        self.note_told(&file, room);
        let choked = self.choked;
        let mut actions = vec![
            Action::Tell(file, ChunkNews::Attached(bits)),
            Action::Tell(file, ChunkNews::Choked { choked, room }),
        ];
        // Else it is told when it is measured.
        if let Some(round_trip) = self.window().round_trip() {
            actions.push(Action::Tell(file, ChunkNews::RoundTrip(round_trip)));
        }
        actions
    }

    pub(super) fn note_told(&mut self, file: &FileHash, room: Room) {
        if let Some(fetch) = self.fetch(file) {
            fetch.told_room = room.free;
        }
    }

    /// Nobody fetches the file over this session any more. It is still served, if `serving`.
    pub fn detach(&mut self, file: FileHash, serving: bool, reason: DetachReason) -> Vec<Action> {
        let Some(fetch) = self
            .files
            .get_mut(&file)
            .and_then(|attachment| attachment.fetch.take())
        else {
            return Vec::new();
        };
        let mut actions = self.cancel_all(&file);
        if serving && fetch.interested {
            actions.push(Action::Send(PeerMessage::NotInterested { file }));
        }
        if !serving {
            self.files.remove(&file);
            actions.extend([
                Action::WithdrawAll(file),
                Action::Send(PeerMessage::Detach { file, reason }),
            ]);
        }
        actions.push(told_detached(file, Detached::Ours, Vec::new()));
        actions
    }

    /// Nobody waits for what is outstanding of `file` any more; the answers still come, each to its question.
    fn cancel_all(&mut self, file: &FileHash) -> Vec<Action> {
        for question in self
            .asked_hashes
            .iter_mut()
            .filter(|question| question.file == *file)
        {
            question.wanted = false;
        }
        let cancelled = self.requests.cancel_file(file).into_iter();
        cancelled
            .map(|chunk| Action::Send(PeerMessage::Cancel { file: *file, chunk }))
            .collect()
    }

    /// Asks the peer for chunks of a file, also before it has said whether it answers. Those that cannot be asked for are said back.
    pub fn request(&mut self, file: FileHash, chunks: Vec<ChunkIndex>, now: Instant) -> Vec<Action> {
        let layout = self.fetch(&file).map(|fetch| fetch.wanted.layout);
        let mut actions = Vec::with_capacity(chunks.len());
        let mut refused = Vec::new();
        for chunk in chunks {
            let bytes = layout
                .filter(|layout| layout.contains(chunk) && (!self.choked || self.unheard))
                .map(|layout| layout.length(chunk));
            match bytes.map(|bytes| self.requests.ask((file, chunk), bytes, now)) {
                Some(Ok(Put::Asked)) => actions.push(Action::Send(PeerMessage::Request { file, chunk })),
                Some(Ok(Put::Revived)) => {}
                Some(Err(_)) | None => refused.push(chunk),
            }
        }
        if !refused.is_empty() {
            let room = self.room(&file);
            actions.push(Action::Tell(
                file,
                ChunkNews::NotAsked {
                    chunks: refused,
                    room,
                },
            ));
        }
        actions
    }

    /// A chunk is not needed any more.
    pub fn cancel(&mut self, file: FileHash, chunk: ChunkIndex) -> Vec<Action> {
        let told = self.requests.cancel((file, chunk));
        told.then_some(Action::Send(PeerMessage::Cancel { file, chunk }))
            .into_iter()
            .collect()
    }

    /// Asks the peer for the hashes of a range.
    pub fn get_hashes(&mut self, file: FileHash, first: u32, count: u32) -> Vec<Action> {
        if self.fetch(&file).is_none() {
            return Vec::new();
        }
        let count = count.min(MAX_HASHES as u32);
        self.asked_hashes.push_back(HashQuestion {
            file,
            first,
            count,
            wanted: true,
        });
        vec![Action::Send(PeerMessage::GetHashes { file, first, count })]
    }

    /// Tells the peer whether it has something for us.
    pub fn set_interest(&mut self, file: FileHash, interested: bool) -> Vec<Action> {
        let Some(fetch) = self.fetch(&file) else {
            return Vec::new();
        };
        if std::mem::replace(&mut fetch.interested, interested) == interested {
            return Vec::new();
        }
        vec![Action::Send(if interested {
            PeerMessage::Interested { file }
        } else {
            PeerMessage::NotInterested { file }
        })]
    }

    /// Names others who share a public file.
    pub fn name_peers(&self, file: FileHash, mut peers: Vec<PeerHint>) -> Vec<Action> {
        let listening = self.files.get(&file).is_some_and(|attachment| attachment.they);
        peers.truncate(MAX_HINTS);
        let worth = listening && !peers.is_empty();
        worth
            .then_some(Action::Send(PeerMessage::PeerExchange { file, peers }))
            .into_iter()
            .collect()
    }

    // What happened on our side.

    /// Whether we share a file that the peer attached, and how it is cut.
    pub fn on_opened(&mut self, file: FileHash, layout: Option<Layout>, answered: Answered) -> Vec<Action> {
        let Some(attachment) = self.files.get_mut(&file).filter(|attachment| attachment.opening) else {
            return Vec::new();
        };
        attachment.opening = false;
        match layout {
            Some(layout) => {
                let mut actions = self.introduce(file, layout);
                actions.extend(self.take_early(file, answered));
                actions
            }
            None => {
                let early = std::mem::take(&mut attachment.early);
                self.files.remove(&file);
                let reason = DetachReason::NotShared;
                let mut actions: Vec<_> = rejections(file, &early, RejectReason::NotHeld).collect();
                actions.push(Action::Send(PeerMessage::Detach { file, reason }));
                // Else whoever names files that nobody has is remembered with all of them.
                actions.push(Action::Report(SessionNews::Detached(file)));
                actions
            }
        }
    }

    /// This side did not read for `length`: no buffer was free.
    pub fn on_own_pause(&mut self, length: Duration) {
        self.requests.on_own_pause(length);
        self.liveness.on_own_pause(length);
    }

    /// So many bytes were heard so far, of whole records or not.
    pub fn on_bytes(&mut self, heard: u64, now: Instant) {
        if std::mem::replace(&mut self.heard, heard) != heard {
            self.liveness.on_heard(now);
        }
    }

    /// Time passed; `answered` is how much of theirs was answered by now.
    pub fn on_tick(&mut self, answered: Answered, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        match self.liveness.on_tick(self.is_owed(), now) {
            Beat::Dead => return vec![Action::Close(CloseReason::Silent)],
            Beat::Pulse { ping, news } => {
                actions.extend(ping.map(|nonce| Action::Send(PeerMessage::Ping { nonce })));
                actions.extend(news.map(Action::Report));
            }
        }
        if self.is_retirement_over(answered, now) {
            return vec![Action::Close(CloseReason::Redundant)];
        }
        if !self.files.is_empty() {
            self.idle_since = now;
        } else if now.saturating_duration_since(self.idle_since) >= IDLE {
            return vec![Action::Close(CloseReason::Ours(GoodbyeReason::Idle))];
        }
        actions.extend(self.say_unsaid());
        actions.extend(self.late(now));
        actions
    }

    fn late(&mut self, now: Instant) -> Vec<Action> {
        let mut by_file: BTreeMap<FileHash, Vec<ChunkIndex>> = BTreeMap::new();
        for (file, chunk) in self.requests.late(now) {
            by_file.entry(file).or_default().push(chunk);
        }
        let told = by_file.into_iter().map(|(file, mut chunks)| {
            chunks.sort_unstable();
            let room = self.room(&file);
            Action::Tell(file, ChunkNews::Late { chunks, room })
        });
        told.collect()
    }

    /// The session ends: what its owners are told last.
    pub fn on_close(&mut self, reason: &CloseReason) -> Vec<Action> {
        let files: Vec<_> = self.fetched().collect();
        let told = files.into_iter().map(|file| {
            let unfinished = self.requests.forget_file(&file);
            told_detached(file, Detached::Closed(reason.clone()), unfinished)
        });
        let told = told.collect();
        self.files.clear();
        told
    }
}

pub(super) fn told_detached(file: FileHash, reason: Detached, unfinished: Vec<ChunkIndex>) -> Action {
    Action::Tell(file, ChunkNews::Detached { reason, unfinished })
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
