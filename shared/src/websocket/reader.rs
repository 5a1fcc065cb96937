//! Messages out of a stream that comes in pieces.

use super::{Head, MAX_HEAD, Opcode, apply_mask, head_len, read_head, write_head};
use bytes::{Buf as _, Bytes, BytesMut};

/// Why a stream cannot be read on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Not WebSocket, or in a way that is not spoken here.
    #[error("no WebSocket frame of ours: {0}")]
    Malformed(&'static str),
    /// Longer than any message may be.
    #[error("a message of {0} bytes")]
    TooLong(u64),
}

/// A message, unmasked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it is; never [`Opcode::Continuation`].
    pub opcode: Opcode,
    /// The head of the frame in which a server sends this payload, then the payload.
    frame: BytesMut,
    head: usize,
}

impl Message {
    /// What was said.
    pub fn payload(&self) -> &[u8] {
        &self.frame[self.head..]
    }

    /// The same, to be altered in place.
    pub fn payload_mut(&mut self) -> &mut [u8] {
        &mut self.frame[self.head..]
    }

    /// The whole frame in which a server passes this on.
    pub fn into_frame(self) -> Bytes {
        self.frame.freeze()
    }
}

/// A message of which the head has been read.
struct Body {
    opcode: Opcode,
    mask: Option<[u8; 4]>,
    frame: BytesMut,
    head: usize,
    missing: usize,
}

/// Reads messages.
pub struct Reader {
    /// Clients mask what they send, servers do not.
    masked: bool,
    longest: usize,
    head: Vec<u8>,
    body: Option<Body>,
}

impl Reader {
    /// Reads what clients send; `longest` is how many bytes a message has at most.
    pub fn of_client(longest: usize) -> Self {
        Self::new(true, longest)
    }

    /// Reads what a server sends.
    pub fn of_server(longest: usize) -> Self {
        Self::new(false, longest)
    }

    fn new(masked: bool, longest: usize) -> Self {
        Self {
            masked,
            longest,
            head: Vec::new(),
            body: None,
        }
    }

    /// Takes bytes from the front of `piece` up to the end of a message. `None`: all were taken, and there is more to come. After
    /// an error the stream cannot be read on.
    pub fn read(&mut self, piece: &mut Bytes) -> Result<Option<Message>, FrameError> {
        if self.body.is_none() {
            self.body = self.begin(piece)?;
        }
        let Some(body) = &mut self.body else {
            return Ok(None);
        };
        let taken = body.missing.min(piece.len());
        body.frame.extend_from_slice(&piece[..taken]);
        body.missing -= taken;
        piece.advance(taken);
        Ok(self.body.take_if(|body| body.missing == 0).map(Body::finish))
    }

    /// Reads a head, across pieces. Takes nothing that is behind it.
    fn begin(&mut self, piece: &mut Bytes) -> Result<Option<Body>, FrameError> {
        let before = self.head.len();
        let more = piece.len().min(MAX_HEAD - before);
        self.head.extend_from_slice(&piece[..more]);
        let Some((head, used)) = read_head(&self.head)? else {
            piece.advance(more);
            return Ok(None);
        };
        piece.advance(used - before);
        self.head.clear();
        self.body_of(head).map(Some)
    }

    fn body_of(&self, head: Head) -> Result<Body, FrameError> {
        if !head.fin || head.opcode == Opcode::Continuation {
            return Err(FrameError::Malformed("a message in parts"));
        }
        if head.mask.is_some() != self.masked {
            return Err(FrameError::Malformed(
                "masked where it should not be, or not where it should",
            ));
        }
        let len = usize::try_from(head.len).unwrap_or(usize::MAX);
        if len > self.longest {
            return Err(FrameError::TooLong(head.len));
        }
        let mut frame = BytesMut::with_capacity(head_len(len) + len);
        write_head(head.opcode, len, None, &mut frame);
        Ok(Body {
            opcode: head.opcode,
            mask: head.mask,
            head: frame.len(),
            frame,
            missing: len,
        })
    }
}

impl Body {
    fn finish(self) -> Message {
        let mut message = Message {
            opcode: self.opcode,
            frame: self.frame,
            head: self.head,
        };
        if let Some(mask) = self.mask {
            apply_mask(mask, message.payload_mut());
        }
        message
    }
}
