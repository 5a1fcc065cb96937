//! The WebSocket under a session: what comes in, one message after the other.
//!
//! On top of actix-web's own upgrade: the request's payload is read here and the response's body is the outbox. Why not one of
//! the WebSocket crates is in `docs/adr/0004-relay-websocket.md`. At most one message of one connection is in the making.

use super::{limits::Rate, share::Share};
use crate::clock::Clock;
use actix_web::{
    error::PayloadError,
    rt::time::{Sleep, sleep},
    web::Bytes,
};
use futures_util::{Stream, StreamExt as _};
use p2p_shared::{
    protocol::relay_codec::MAX_FRAME,
    websocket::{FrameError, Message, Reader},
};
use std::{
    future::Future as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

/// What a client sends. Ends with the connection, or behind the first error.
pub(crate) struct Incoming<P> {
    payload: P,
    reader: Reader,
    /// What was received and not read yet.
    piece: Bytes,
    rate: Rate,
    /// What all peers of the key may send together.
    share: Arc<Share>,
    clock: Clock,
    /// The client has sent faster than it may: it is read from when this is over.
    pause: Option<Pin<Box<Sleep>>>,
    is_over: bool,
}

impl<P> Incoming<P> {
    /// Reads from the payload of a request, at most `rate` bytes a second (0: as fast as they come) and what `share` has left.
    pub(crate) fn new(payload: P, (rate, share): (u64, Arc<Share>), clock: Clock) -> Self {
        Self {
            payload,
            reader: Reader::of_client(MAX_FRAME),
            piece: Bytes::new(),
            rate: Rate::new(rate),
            share,
            clock,
            pause: None,
            is_over: false,
        }
    }

    fn account(&mut self, message: &Message) {
        let (bytes, now) = (message.payload().len() as u64, self.clock.now());
        let wait = self.rate.take(bytes, now).max(self.share.take(bytes, now));
        if wait > 0 {
            self.pause = Some(Box::pin(sleep(Duration::from_millis(wait))));
        }
    }
}

impl<P: Stream<Item = Result<Bytes, PayloadError>> + Unpin> Stream for Incoming<P> {
    type Item = Result<Message, FrameError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some(pause) = &mut this.pause {
            ready!(pause.as_mut().poll(cx));
            this.pause = None;
        }
        while !this.is_over {
            match this.reader.read(&mut this.piece) {
                Ok(None) => {}
                Ok(Some(message)) => {
                    this.account(&message);
                    return Poll::Ready(Some(Ok(message)));
                }
                Err(error) => {
                    this.is_over = true;
                    return Poll::Ready(Some(Err(error)));
                }
            }
            match ready!(this.payload.poll_next_unpin(cx)) {
                Some(Ok(piece)) => this.piece = piece,
                // The connection is gone; how does not matter.
                Some(Err(_)) | None => this.is_over = true,
            }
        }
        Poll::Ready(None)
    }
}
