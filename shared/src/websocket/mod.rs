//! WebSocket framing (RFC 6455 section 5): heads, masks, and messages out of a stream of bytes. Pure.
//!
//! Promises to know how long a message is before it takes memory for it, which the WebSocket crates of actix do not: they
//! collect a message of any announced length first and refuse it then. A message is one frame; who sends one in parts is refused, for nobody who
//! speaks the relay protocol does. A message lies in one buffer with room before it for the head of the frame that passes it on, so
//! a relay forwards it without copying.

mod reader;
#[cfg(test)]
mod tests;

pub use reader::{FrameError, Message, Reader};

/// Bytes of the payload of a control frame (RFC 6455 section 5.5).
pub const MAX_CONTROL: usize = 125;

/// The longest head: two bytes, an eight-byte length, a mask.
pub const MAX_HEAD: usize = 14;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Opcode {
    /// A later part of a message.
    Continuation,
    /// UTF-8.
    Text,
    /// Bytes.
    Binary,
    /// The end of the conversation: nothing, or a code and a text.
    Close,
    /// "Are you there?"
    Ping,
    /// "I am."
    Pong,
}

impl Opcode {
    fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::Continuation),
            1 => Some(Self::Text),
            2 => Some(Self::Binary),
            8 => Some(Self::Close),
            9 => Some(Self::Ping),
            10 => Some(Self::Pong),
            _ => None,
        }
    }

    fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// What stands before a frame's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Whether the message ends with this frame.
    pub fin: bool,
    /// What it is.
    pub opcode: Opcode,
    /// Clients mask what they send, servers do not.
    pub mask: Option<[u8; 4]>,
    /// Bytes of the payload.
    pub len: u64,
}

/// How many bytes the head of an unmasked frame with so much payload takes.
pub fn head_len(len: usize) -> usize {
    match len {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

/// Appends the head of a whole message.
pub fn write_head(opcode: Opcode, len: usize, mask: Option<[u8; 4]>, out: &mut impl Extend<u8>) {
    let masked = if mask.is_some() { MASKED } else { 0 };
    out.extend([FIN | opcode.bits()]);
    match len {
        0..=125 => out.extend([masked | len as u8]),
        126..=0xffff => {
            out.extend([masked | 126]);
            out.extend((len as u16).to_be_bytes());
        }
        _ => {
            out.extend([masked | 127]);
            out.extend((len as u64).to_be_bytes());
        }
    }
    out.extend(mask.into_iter().flatten());
}

/// A whole message that a server sends.
pub fn message(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(head_len(payload.len()) + payload.len());
    write_head(opcode, payload.len(), None, &mut out);
    out.extend_from_slice(payload);
    out
}

/// Reads a head. `None`: there is more of it to come.
pub fn read_head(bytes: &[u8]) -> Result<Option<(Head, usize)>, FrameError> {
    let &[first, second, ref rest @ ..] = bytes else {
        return Ok(None);
    };
    let opcode = Opcode::from_bits(first & 0x0f).ok_or(FrameError::Malformed("an unknown opcode"))?;
    if first & RESERVED != 0 {
        return Err(FrameError::Malformed("reserved bits"));
    }
    let fin = first & FIN != 0;
    let extended = match second & !MASKED {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    if opcode.is_control() && (extended > 0 || !fin) {
        return Err(FrameError::Malformed("a control frame in parts or too long"));
    }
    let mask_len = if second & MASKED != 0 { 4 } else { 0 };
    let (Some(extension), true) = (rest.get(..extended), rest.len() >= extended + mask_len) else {
        return Ok(None);
    };
    let len = match extended {
        0 => u64::from(second & !MASKED),
        _ => extension.iter().fold(0, |len, byte| len << 8 | u64::from(*byte)),
    };
    let mask = rest[extended..].first_chunk().copied().filter(|_| mask_len > 0);
    let head = Head {
        fin,
        opcode,
        mask,
        len,
    };
    Ok(Some((head, 2 + extended + mask_len)))
}

/// Masks or unmasks a whole payload.
pub fn apply_mask(mask: [u8; 4], payload: &mut [u8]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

/// The payload of a close frame.
pub fn close_payload(code: u16, text: &str) -> Vec<u8> {
    let end = text.floor_char_boundary(MAX_CONTROL - 2);
    [&code.to_be_bytes()[..], &text.as_bytes()[..end]].concat()
}

/// The code in the payload of a close frame, if it has one.
pub fn close_code(payload: &[u8]) -> Option<u16> {
    payload.first_chunk().map(|code| u16::from_be_bytes(*code))
}
