//! When a peer is told what we hold beside what we said at first: the part of [`SessionState`] that says `Have`.
//!
//! Promises that whoever may want a chunk hears of it at once, that everybody hears of every chunk in the end, and that what is
//! told never takes up all the room that messages have.

use super::state::{Action, SessionState};
use p2p_shared::{
    bitfield::Bitfield,
    id::{ChunkIndex, FileHash},
    protocol::PeerMessage,
};

/// Chunks that we hold and that are told of late, a tick: far fewer than messages may wait, and at four ticks a second more than
/// any disk stores.
const UNSAID: usize = 2048;

impl SessionState {
    /// We hold one more. Who may want it is told at once; a peer that holds all of the file is told of many together, since
    /// a record a chunk would cost both sides a good part of what the chunk does.
    pub fn have(&mut self, file: FileHash, chunk: ChunkIndex) -> Vec<Action> {
        let attachment = self.files.get_mut(&file).filter(|attachment| attachment.they);
        let Some(attachment) = attachment else {
            return Vec::new();
        };
        if attachment.theirs.whole().is_some_and(Bitfield::is_full) {
            attachment.unsaid.push_back(chunk);
            return Vec::new();
        }
        vec![Action::Send(PeerMessage::Have { file, chunk })]
    }

    /// We hold all of these: what was fetched earlier can be read from now on. Said little by little, so that it does not take up
    /// all the room that messages have.
    pub fn have_all(&mut self, file: FileHash, chunks: impl Iterator<Item = ChunkIndex>) {
        let attachment = self.files.get_mut(&file).filter(|attachment| attachment.they);
        if let Some(attachment) = attachment {
            attachment.unsaid.extend(chunks);
        }
    }

    pub(super) fn say_unsaid(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut room = UNSAID;
        for (&file, attachment) in &mut self.files {
            let now = attachment.unsaid.len().min(room);
            room -= now;
            let unsaid = attachment.unsaid.drain(..now);
            actions.extend(unsaid.map(|chunk| Action::Send(PeerMessage::Have { file, chunk })));
        }
        actions
    }
}
