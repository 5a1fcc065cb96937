//! A cursor over bytes that came from outside: every read is bounded by what is there, nothing is copied.

/// There are fewer bytes than were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EndOfBytes;

/// Reads forward through bytes; integers are big-endian.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Bytes not yet read.
    pub(crate) fn remaining(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], EndOfBytes> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(EndOfBytes)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], EndOfBytes> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(EndOfBytes)?;
        self.0 = rest;
        Ok(*bytes)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, EndOfBytes> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, EndOfBytes> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, EndOfBytes> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, EndOfBytes> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, EndOfBytes> {
        self.array().map(i64::from_be_bytes)
    }
}
