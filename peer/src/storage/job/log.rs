//! The journal of a download as a file: records are appended after what they speak of was written.
//!
//! Promise: a record is in the file whole or not at all as far as this process goes (a failed append is cut off again);
//! the ledger says what the file says. Once that can no longer be kept up, nothing more is appended.

use super::{
    journal::{self, Head, Record, Replay},
    ledger::Ledger,
};
use crate::storage::disk::{self, Boot};
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};
use p2p_shared::{id::ChunkIndex, manifest::Manifest};
use rustix::fs::OFlags;
use std::{
    fs::File,
    io::{self, BufReader},
    sync::Arc,
};

/// The journal's name in the job's folder.
const JOURNAL: &str = "journal";

/// The name of one that is not whole yet.
const NEW_JOURNAL: &str = "journal.new";

/// An open journal.
#[derive(Debug)]
pub(super) struct Log {
    file: Arc<File>,
    ledger: Ledger,
    /// Bytes of whole records.
    length: u64,
    chain: u32,
    /// The file may say more than the ledger knows.
    broken: bool,
}

/// What is found of an earlier run.
#[derive(Debug)]
pub(super) enum Found {
    /// No journal: nothing was begun.
    Nothing,
    /// A journal that cannot be used: nobody knows what is held.
    Unusable,
    /// What it says.
    Journal(Replay),
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options
}

/// Reads what an earlier run left in the job's folder.
pub(super) fn find(folder: &Dir, manifest: &Manifest) -> io::Result<Found> {
    let file = match folder.open_with(JOURNAL, &options()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        file => file?.into_std(),
    };
    Ok(match journal::replay(BufReader::new(file), manifest)? {
        Ok(replay) => Found::Journal(replay),
        Err(error) => {
            tracing::warn!(file = %manifest.hash, %error, "the journal of a download is of no use; its data is checked");
            Found::Unusable
        }
    })
}

impl Log {
    /// Goes on with the journal that was found, without what is torn at its end.
    pub(super) fn go_on(folder: &Dir, replay: Replay) -> io::Result<Self> {
        let file = folder.open_with(JOURNAL, &options())?.into_std();
        file.set_len(replay.length)?;
        Ok(Self {
            file: Arc::new(file),
            ledger: replay.ledger,
            length: replay.length,
            chain: replay.chain,
            broken: false,
        })
    }

    /// Begins a new journal that says what `ledger` says. One that `replaces` another is made durable first: a power
    /// cut must leave the one or the other.
    pub(super) fn begin(
        folder: &Dir,
        head: Head,
        manifest: &Manifest,
        ledger: Ledger,
        replaces: bool,
    ) -> io::Result<Self> {
        let file = folder
            .open_with(NEW_JOURNAL, options().create(true).truncate(true))?
            .into_std();
        let (mut bytes, mut chain) = journal::encode_head(head, manifest);
        for record in summary(&ledger) {
            bytes.extend(journal::encode_record(&record, &mut chain));
        }
        disk::append(&file, &bytes, 0)?;
        if replaces {
            disk::sync_data(&file)?;
        }
        folder.rename(NEW_JOURNAL, folder, JOURNAL)?;
        Ok(Self {
            file: Arc::new(file),
            ledger,
            length: bytes.len() as u64,
            chain,
            broken: false,
        })
    }

    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The file, to wait for without holding up who appends.
    pub(super) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Writes the record down; the caller tells the ledger then.
    fn append(&mut self, record: &Record) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("the journal could not be kept up and is closed"));
        }
        let mut chain = self.chain;
        let bytes = journal::encode_record(record, &mut chain);
        if let Err(error) = disk::append(&self.file, &bytes, self.length) {
            // Part of it may have been written. Appending after that would be in vain: it would be cut.
            self.broken = self.file.set_len(self.length).is_err();
            return Err(error);
        }
        self.length += bytes.len() as u64;
        self.chain = chain;
        Ok(())
    }

    pub(super) fn had(&mut self, chunk: ChunkIndex) -> io::Result<()> {
        let record = Record::Had {
            first: chunk,
            count: 1,
        };
        self.append(&record)?;
        self.ledger.on_had(chunk);
        Ok(())
    }

    pub(super) fn lost(&mut self, chunk: ChunkIndex) -> io::Result<()> {
        // Whatever becomes of the record: this chunk is no longer handed out.
        self.ledger.on_lost(chunk);
        self.append(&Record::Lost(chunk))
    }

    pub(super) fn mark(&mut self) -> io::Result<()> {
        self.append(&Record::Mark)?;
        self.ledger.on_mark();
        Ok(())
    }

    pub(super) fn durable(&mut self, front: Vec<u8>) -> io::Result<()> {
        let record = Record::Durable { front };
        self.append(&record)?;
        if let Record::Durable { front } = record {
            self.ledger.on_durable(front);
        }
        Ok(())
    }

    pub(super) fn unpacked(&mut self) -> io::Result<()> {
        self.append(&Record::Unpacked)?;
        self.ledger.on_unpacked();
        Ok(())
    }

    /// Nothing that it says can be relied on any more: whoever goes on has to look. Durable when this returns.
    pub(super) fn give_up(&mut self) -> io::Result<()> {
        self.broken = true;
        self.file.set_len(0)?;
        disk::sync_data(&self.file)
    }

    /// Only what was durable counts. If that cannot be written down, the journal is emptied: better to check
    /// everything than to believe too much.
    pub(super) fn distrust(&mut self) {
        self.ledger.on_distrust();
        if self.append(&Record::Distrust).is_err() {
            self.broken = true;
            if let Err(error) = self.file.set_len(0) {
                tracing::error!(%error, "a download's journal can neither be kept up nor emptied");
            }
        }
    }
}

/// The records that say what `ledger` says.
fn summary(ledger: &Ledger) -> Vec<Record> {
    let mut records = Vec::new();
    if ledger.is_unpacked() {
        records.push(Record::Unpacked);
    }
    records.extend(journal::runs(ledger.durable()));
    records.push(Record::Mark);
    records.push(Record::Durable {
        front: ledger.front().unwrap_or_default().to_vec(),
    });
    records.extend(journal::runs(&ledger.unproven()));
    records
}

/// What can be believed of an earlier run, and what has to be hashed before it can.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Everything that the journal says.
    Everything,
    /// What was durable; the rest of what it says is to be checked.
    Durable,
    /// Nothing: all that is there is to be checked.
    Nothing,
}

/// How far a journal can be trusted that was written with `head`, now, with these data.
pub(super) fn trust(head: Head, boot: Boot, inode: u64) -> Trust {
    if head.inode != inode {
        // The data are a copy, or something else altogether.
        Trust::Nothing
    } else if head.boot.is_same(boot) {
        Trust::Everything
    } else {
        Trust::Durable
    }
}
