//! What tells one state of a file from another without reading it: device, inode, size, modification and change time.
//!
//! The change time (ctime) is set by the kernel at every write and cannot be set back, so two equal identities mean
//! the same bytes, unless both changes fell within one tick of the file system's clock: [`FileIdentity::settles_in`]
//! says when that is ruled out. Everything here is pure except reading the metadata.

use super::format::{Decoder, Encoder, FormatError};
use rustix::fs::Stat;
use std::{
    fs::File,
    io,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A file's state as far as the file system tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FileIdentity {
    /// The device that holds it.
    pub(super) device: u64,
    /// Its number there.
    pub(super) inode: u64,
    /// Bytes.
    pub(super) size: u64,
    /// When its content was last modified, as it claims.
    pub(super) modified: Time,
    /// When anything about it last changed, by the kernel's clock.
    pub(super) changed: Time,
}

/// Seconds and nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Time {
    /// Whole seconds; negative before 1970.
    pub(super) seconds: i64,
    /// The rest, 0–999,999,999.
    pub(super) nanos: u32,
}

impl Time {
    /// By the system's clock.
    #[must_use]
    pub(super) fn now() -> Self {
        // A clock before 1970 makes every file one that never settles, which is the safe side.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            seconds: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
            nanos: now.subsec_nanos(),
        }
    }

    fn since(self, earlier: Self) -> Option<Duration> {
        let nanos = |time: Self| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
        let elapsed = u64::try_from(nanos(self) - nanos(earlier)).ok()?;
        Some(Duration::from_nanos(elapsed))
    }
}

/// Two ticks of the slowest kernel clock (100 Hz): how far apart two changes have to be to get different times.
const TICK: Duration = Duration::from_millis(20);

/// The same for a file system that keeps whole seconds only (the coarsest, FAT, has two).
const COARSE_TICK: Duration = Duration::from_secs(2);

impl FileIdentity {
    /// The state of an open file.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        Ok(Self::from_stat(&rustix::fs::fstat(file)?))
    }

    /// The state that `stat` describes.
    #[must_use]
    pub(super) fn from_stat(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: Time {
                seconds: stat.st_mtime,
                nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
            },
            changed: Time {
                seconds: stat.st_ctime,
                nanos: u32::try_from(stat.st_ctime_nsec).unwrap_or(0),
            },
        }
    }

    /// How long after `now` any further change is sure to get another change time. `None`: that cannot be said (the
    /// change time lies in the future: a clock was set back, or the file server's clock is ahead).
    #[must_use]
    pub(super) fn settles_in(&self, now: Time) -> Option<Duration> {
        let coarse = self.changed.nanos == 0;
        let tick = if coarse { COARSE_TICK } else { TICK };
        Some(tick.saturating_sub(now.since(self.changed)?))
    }

    pub(super) fn encode(&self, out: &mut Encoder) {
        out.u64(self.device);
        out.u64(self.inode);
        out.u64(self.size);
        for time in [self.modified, self.changed] {
            out.i64(time.seconds);
            out.u32(time.nanos);
        }
    }

    pub(super) fn decode(from: &mut Decoder<'_>) -> Result<Self, FormatError> {
        let time = |from: &mut Decoder<'_>| {
            Ok::<_, FormatError>(Time {
                seconds: from.i64()?,
                nanos: from.u32()?,
            })
        };
        Ok(Self {
            device: from.u64()?,
            inode: from.u64()?,
            size: from.u64()?,
            modified: time(from)?,
            changed: time(from)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn changed_at(seconds: i64, nanos: u32) -> FileIdentity {
        let time = Time { seconds, nanos };
        FileIdentity {
            device: 1,
            inode: 2,
            size: 3,
            modified: time,
            changed: time,
        }
    }

    #[test]
    fn a_file_settles_two_ticks_after_its_last_change() {
        let now = Time {
            seconds: 100,
            nanos: 15_000_000,
        };
        assert_eq!(changed_at(99, 1).settles_in(now), Some(Duration::ZERO));
        assert_eq!(
            changed_at(100, 5_000_000).settles_in(now),
            Some(Duration::from_millis(10))
        );
    }

    #[test]
    fn whole_seconds_are_taken_for_a_coarse_clock() {
        let now = Time {
            seconds: 101,
            nanos: 0,
        };
        assert_eq!(changed_at(100, 0).settles_in(now), Some(Duration::from_secs(1)));
        assert_eq!(changed_at(99, 0).settles_in(now), Some(Duration::ZERO));
    }

    #[test]
    fn a_change_in_the_future_never_settles() {
        let now = Time {
            seconds: 100,
            nanos: 0,
        };
        assert_eq!(changed_at(101, 1).settles_in(now), None);
    }

    #[test]
    fn an_identity_survives_the_disk() {
        let identity = changed_at(-5, 999_999_999);
        let mut out = Encoder::default();
        identity.encode(&mut out);
        assert_eq!(
            FileIdentity::decode(&mut Decoder::new(&out.finish())),
            Ok(identity)
        );
    }

    #[test]
    fn a_write_shows_even_when_the_modification_time_is_set_back() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"before").unwrap();
        let before = FileIdentity::of(&file).unwrap();
        let wait = before.settles_in(Time::now()).unwrap();
        // Not for an event: the promise is about time that has passed.
        std::thread::sleep(wait);
        rustix::io::pwrite(&file, b"AFTER!", 0).unwrap();
        let mtime =
            std::time::UNIX_EPOCH + Duration::new(before.modified.seconds as u64, before.modified.nanos);
        file.set_modified(mtime).unwrap();
        let after = FileIdentity::of(&file).unwrap();
        assert_eq!((after.size, after.modified), (before.size, before.modified));
        assert_ne!(after, before);
    }
}
