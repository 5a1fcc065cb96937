//! Chunk-sized memory, lent out and given back.
//!
//! Promise: never more than the pool's bound is lent, and a buffer returns to the pool by itself when it is
//! dropped, wherever its chunk ended. A reader that finds the pool empty waits, and so its socket waits.
//! A buffer has room for a whole record around a chunk, so records are sealed and opened in place.
//! Never: allocates per chunk (a fresh 256 KiB allocation is 64 page faults), nor shrinks a lent buffer.

use p2p_shared::crypto::record::{MAX_PLAINTEXT, RECORD_HEADER, RECORD_TAG};
use std::{
    fmt,
    ops::{Deref, DerefMut, Range},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What one buffer holds, in bytes: the longest sealed record, which is a chunk with what is said about it.
pub const BUFFER_SIZE: usize = RECORD_HEADER + MAX_PLAINTEXT + RECORD_TAG;

/// The default bound of a pool, in bytes: at 500 MB/s some 25 ms of data, and a quarter of what a peer may
/// keep resident.
pub const DEFAULT_POOL: usize = 12 << 20;

/// Buffers kept [aside](BufferPool::aside) by a pool: 2 MiB.
const ASIDE: usize = 8;

/// At most one in so many buffers is [parked](ChunkBytes::park).
const PARKED_PART: usize = 3;

/// A bounded stock of [`ChunkBuffer`]s. Clones share one stock.
#[derive(Clone)]
pub struct BufferPool {
    stock: Arc<Stock>,
}

struct Stock {
    /// One permit a buffer that may still be lent.
    permits: Arc<Semaphore>,
    /// Buffers that came back; never more than have been lent at once.
    spare: Mutex<Vec<Vec<u8>>>,
    buffers: usize,
    /// One permit a buffer that may be [parked](ChunkBytes::park).
    parking: Arc<Semaphore>,
    /// Not counted among `buffers`. A pool that is kept aside itself has none.
    aside: Option<BufferPool>,
}

impl Stock {
    fn spare(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        // Only whole pushes and pops happen under this lock, so a panic elsewhere leaves it right.
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BufferPool {
    /// A pool that lends at most `bytes` at a time (but always at least one buffer).
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let aside = Self::with(ASIDE, None);
        Self::with((bytes / BUFFER_SIZE).max(1), Some(aside))
    }

    fn with(buffers: usize, aside: Option<Self>) -> Self {
        let permits = Arc::new(Semaphore::new(buffers));
        let spare = Mutex::new(Vec::new());
        Self {
            stock: Arc::new(Stock {
                permits,
                spare,
                buffers,
                parking: Arc::new(Semaphore::new(buffers / PARKED_PART)),
                aside,
            }),
        }
    }

    /// A few buffers beside these, for who is not waited for: however many such there are, these stay free of them.
    #[must_use]
    pub fn aside(&self) -> Option<&Self> {
        self.stock.aside.as_ref()
    }

    /// How many buffers there are in all.
    #[must_use]
    pub fn buffers(&self) -> usize {
        self.stock.buffers
    }

    /// How many buffers could be had at once, now.
    #[must_use]
    pub fn available(&self) -> usize {
        self.stock.permits.available_permits()
    }

    /// An empty buffer, as soon as there is one; who asked first is served first. Cancel safe.
    pub async fn acquire(&self) -> ChunkBuffer {
        let mut buffer = self.acquire_used().await;
        buffer.clear();
        buffer
    }

    /// An empty buffer if there is one now.
    #[must_use]
    pub fn try_acquire(&self) -> Option<ChunkBuffer> {
        let permit = Arc::clone(&self.stock.permits).try_acquire_owned().ok()?;
        let mut buffer = self.lend(permit);
        buffer.clear();
        Some(buffer)
    }

    /// A buffer with what was in it last, as soon as there is one: who overwrites all of it need not have it zeroed first, which
    /// takes as long as filling it from the page cache.
    pub(crate) async fn acquire_used(&self) -> ChunkBuffer {
        let permits = Arc::clone(&self.stock.permits);
        match permits.acquire_owned().await {
            Ok(permit) => self.lend(permit),
            // The semaphore lives in `stock` and nothing closes it.
            Err(_closed) => std::future::pending().await,
        }
    }

    fn lend(&self, permit: OwnedSemaphorePermit) -> ChunkBuffer {
        let spare = self.stock.spare().pop();
        ChunkBuffer {
            bytes: spare.unwrap_or_else(|| Vec::with_capacity(BUFFER_SIZE)),
            stock: Arc::clone(&self.stock),
            _permit: permit,
        }
    }
}

impl Default for BufferPool {
    fn default() -> Self {
        Self::new(DEFAULT_POOL)
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferPool")
            .field("buffers", &self.buffers())
            .field("available", &self.available())
            .finish()
    }
}

/// A pooled `Vec<u8>` with room for [`BUFFER_SIZE`] bytes, handed out empty. Goes back when dropped.
pub struct ChunkBuffer {
    bytes: Vec<u8>,
    stock: Arc<Stock>,
    /// Returned after `bytes`, so that whoever waits finds the buffer itself and need not allocate.
    _permit: OwnedSemaphorePermit,
}

impl ChunkBuffer {
    /// Keeps what lies in `range` as a chunk's bytes; the rest stays allocated but is no longer seen.
    /// A range beyond the end is cut to what is there.
    #[must_use]
    pub fn into_chunk(self, range: Range<usize>) -> ChunkBytes {
        let end = range.end.min(self.bytes.len());
        let start = range.start.min(end);
        ChunkBytes {
            buffer: self,
            range: start..end,
        }
    }
}

impl Deref for ChunkBuffer {
    type Target = Vec<u8>;
    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for ChunkBuffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl Drop for ChunkBuffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        // A buffer that somebody grew or swapped would make the pool's bound untrue: it is let go.
        if (BUFFER_SIZE..=2 * BUFFER_SIZE).contains(&bytes.capacity()) {
            self.stock.spare().push(bytes);
        }
    }
}

impl fmt::Debug for ChunkBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChunkBuffer({} bytes)", self.bytes.len())
    }
}

/// The bytes of one chunk, within the buffer that they arrived in. Goes back to the pool when dropped.
pub struct ChunkBytes {
    buffer: ChunkBuffer,
    range: Range<usize>,
}

impl Deref for ChunkBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // `into_chunk` keeps the range within the buffer and nothing changes either afterwards.
        self.buffer.bytes.get(self.range.clone()).unwrap_or_default()
    }
}

impl fmt::Debug for ChunkBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChunkBytes({} bytes)", self.range.len())
    }
}

impl ChunkBytes {
    /// Keeps the bytes for later, if not too many of the pool's buffers are kept already: who waits for other chunks
    /// must not hold the buffers that those would come in. `None`: they went back to the pool.
    #[must_use]
    pub(super) fn park(self) -> Option<ParkedBytes> {
        let permit = Arc::clone(&self.buffer.stock.parking).try_acquire_owned().ok()?;
        Some(ParkedBytes {
            bytes: self,
            _permit: permit,
        })
    }
}

/// The bytes of a chunk that are kept for later. Goes back to the pool when dropped.
#[derive(Debug)]
pub(super) struct ParkedBytes {
    bytes: ChunkBytes,
    _permit: OwnedSemaphorePermit,
}

impl Deref for ParkedBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use std::pin::pin;

    #[test]
    fn lends_no_more_than_its_bound() {
        let pool = BufferPool::new(3 * BUFFER_SIZE + 1);
        let lent: Vec<_> = (0..3).map(|_| pool.try_acquire().unwrap()).collect();
        assert!(pool.try_acquire().is_none());
        drop(lent);
        assert_eq!(pool.available(), 3);
    }

    #[test]
    fn a_pool_smaller_than_a_buffer_still_lends_one() {
        assert_eq!(BufferPool::new(0).buffers(), 1);
    }

    #[test]
    fn a_buffer_comes_back_when_its_chunk_is_dropped_and_is_lent_again_empty() {
        let pool = BufferPool::new(BUFFER_SIZE);
        let mut buffer = pool.try_acquire().unwrap();
        buffer.extend_from_slice(b"head, chunk, tail");
        let place = buffer.as_ptr();
        let chunk = buffer.into_chunk(6..11);
        assert_eq!(&*chunk, b"chunk");
        assert!(pool.try_acquire().is_none());
        drop(chunk);
        assert_eq!(pool.stock.spare().len(), 1, "it is kept");
        let again = pool.try_acquire().unwrap();
        assert!(again.is_empty() && again.capacity() >= BUFFER_SIZE);
        assert_eq!(again.as_ptr(), place, "the same memory is used again");
    }

    #[test]
    fn a_range_beyond_the_end_is_cut() {
        let pool = BufferPool::new(BUFFER_SIZE);
        let mut buffer = pool.try_acquire().unwrap();
        buffer.extend_from_slice(b"abc");
        assert_eq!(&*buffer.into_chunk(1..9), b"bc");
        assert!(pool.try_acquire().unwrap().into_chunk(5..9).is_empty());
    }

    #[test]
    fn a_buffer_that_was_swapped_for_a_small_one_is_not_kept() {
        let pool = BufferPool::new(BUFFER_SIZE);
        let mut buffer = pool.try_acquire().unwrap();
        drop(std::mem::take(&mut *buffer));
        drop(buffer);
        assert!(pool.try_acquire().unwrap().capacity() >= BUFFER_SIZE);
    }

    #[test]
    fn only_a_part_of_the_pool_can_be_parked() {
        let pool = BufferPool::new(9 * BUFFER_SIZE);
        let chunk = || pool.try_acquire().unwrap().into_chunk(0..0);
        let parked: Vec<_> = (0..3).map(|_| chunk().park().unwrap()).collect();
        assert!(chunk().park().is_none());
        assert_eq!(pool.available(), 6);
        drop(parked);
        assert_eq!(pool.available(), 9);
        assert!(chunk().park().is_some());
    }

    #[tokio::test]
    async fn who_finds_the_pool_empty_waits_until_a_buffer_is_back() {
        let pool = BufferPool::new(BUFFER_SIZE);
        let held = pool.acquire().await;
        let mut next = pin!(pool.acquire());
        assert!(next.as_mut().now_or_never().is_none());
        drop(held);
        assert!(next.as_mut().now_or_never().is_some());
    }
}
