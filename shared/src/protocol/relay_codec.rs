//! Relay frames to bytes and back.
//!
//! Under the rules of [`codec`](super::codec): a frame has a budget that bincode keeps before it allocates, any input gives a
//! frame or an error. Data is not decoded: its header is read, and its bytes stay where they are.

use super::{
    codec::{DecodeError, EncodeError, limited, unlimited},
    relay::{MAX_DATA, RelayFrame, TunnelId},
};

/// The type byte of data, far behind the other frames.
pub const DATA: u8 = 0x40;

/// Bytes before those of a data frame: type, tunnel.
pub const DATA_PREFIX: usize = 1 + 4;

/// The longest frame.
pub const MAX_FRAME: usize = DATA_PREFIX + MAX_DATA;

/// How many type bytes are taken by frames that are no data, from 0 on.
pub(super) const FRAME_TYPES: u8 = 9;

/// A signal and its key, or a URL.
const BUDGET: usize = 8 * 1024;

/// What a WebSocket message held.
#[derive(Debug, PartialEq, Eq)]
pub enum IncomingFrame<'a> {
    /// Something to act upon.
    Frame(RelayFrame),
    /// Bytes of a tunnel, still in the buffer that they came in.
    Data {
        /// The leg that they came on.
        tunnel: TunnelId,
        /// At least one, at most [`MAX_DATA`].
        bytes: &'a [u8],
    },
}

/// Reads a WebSocket message.
pub fn decode_frame(message: &[u8]) -> Result<IncomingFrame<'_>, DecodeError> {
    match message.first() {
        None => Err(DecodeError::Empty),
        Some(&DATA) => decode_data(message),
        Some(&kind) if kind < FRAME_TYPES => decode_other(kind, message).map(IncomingFrame::Frame),
        Some(&kind) => Err(DecodeError::UnknownType(kind)),
    }
}

/// The bytes of a frame. An error is a mistake of the sender.
pub fn encode_frame(frame: &RelayFrame) -> Result<Vec<u8>, EncodeError> {
    frame.check()?;
    bincode::encode_to_vec(frame, unlimited()).map_err(|error| EncodeError::Unencodable(error.to_string()))
}

/// What stands before the bytes of a tunnel.
pub fn data_header(tunnel: TunnelId) -> [u8; DATA_PREFIX] {
    let [a, b, c, d] = tunnel.0.to_be_bytes();
    [DATA, a, b, c, d]
}

fn decode_data(message: &[u8]) -> Result<IncomingFrame<'_>, DecodeError> {
    match message.split_first_chunk::<DATA_PREFIX>() {
        Some((&[_, a, b, c, d], bytes)) if (1..=MAX_DATA).contains(&bytes.len()) => Ok(IncomingFrame::Data {
            tunnel: TunnelId(u32::from_be_bytes([a, b, c, d])),
            bytes,
        }),
        _ => Err(DecodeError::DataLength(message.len())),
    }
}

fn decode_other(kind: u8, message: &[u8]) -> Result<RelayFrame, DecodeError> {
    let (frame, used): (RelayFrame, usize) = bincode::decode_from_slice(message, limited::<BUDGET>())
        .map_err(|error| DecodeError::Malformed {
            kind,
            detail: error.to_string(),
        })?;
    if used < message.len() {
        return Err(DecodeError::Trailing(message.len() - used));
    }
    frame.check()?;
    Ok(frame)
}
