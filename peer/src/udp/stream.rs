//! A QUIC stream as the duplex that sessions talk over.
//!
//! Promises that dropping the written half loses nothing of what was written: the stream is finished, and the connection is held until the
//! other side has it all, says that it wants no more, or [`LINGER`] is over. Then the connection is closed, and its address is no guest any more.

use super::guests::Admission;
use crate::p2p::wire::Wire;
use quinn::{Connection, RecvStream, SendStream, VarInt};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime::Handle,
    time::timeout,
};
use tokio_util::task::TaskTracker;

/// How long the last bytes may take after nobody here is interested any more. As long as a connection may be silent.
const LINGER: Duration = Duration::from_secs(10);
/// How a connection is closed whose stream is over.
const DONE: VarInt = VarInt::from_u32(0);

/// What a connection needs to be kept for.
struct Link {
    connection: Connection,
    _guest: Admission,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.connection.close(DONE, b"");
    }
}

struct Source {
    receive: RecvStream,
    _link: Arc<Link>,
}

struct Sink {
    /// Gone only while it is dropped.
    send: Option<SendStream>,
    link: Arc<Link>,
    runtime: Handle,
    farewells: TaskTracker,
}

/// A stream as a wire; the connection lives as long as one of its halves. Within a runtime.
pub(super) fn wire(
    connection: Connection,
    send: SendStream,
    receive: RecvStream,
    guest: Admission,
    farewells: TaskTracker,
) -> Wire {
    let address = Some(guest.address);
    let link = Arc::new(Link {
        connection,
        _guest: guest,
    });
    let source = Source {
        receive,
        _link: Arc::clone(&link),
    };
    let sink = Sink {
        send: Some(send),
        link,
        runtime: Handle::current(),
        farewells,
    };
    Wire {
        source: Box::new(source),
        sink: Box::new(sink),
        address,
    }
}

impl AsyncRead for Source {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        AsyncRead::poll_read(Pin::new(&mut self.receive), cx, buffer)
    }
}

impl Sink {
    fn send(&mut self) -> io::Result<Pin<&mut SendStream>> {
        self.send
            .as_mut()
            .map(Pin::new)
            .ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

impl AsyncWrite for Sink {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(self.send()?, cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(self.send()?, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(self.send()?, cx)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let Some(mut send) = self.send.take() else { return };
        let link = Arc::clone(&self.link);
        let farewell = async move {
            // Finished before, or the other side wants no more: in both cases the wait is right, and short.
            send.finish().ok();
            // Whatever it ends with, there is nothing left to deliver.
            timeout(LINGER, send.stopped()).await.ok();
            drop(link);
        };
        self.farewells.spawn_on(farewell, &self.runtime);
    }
}
