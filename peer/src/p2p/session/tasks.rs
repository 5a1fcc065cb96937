//! The three tasks of a connection, and how they end with their session.
//!
//! Reader → records → actor → orders → server → chunks → writer, and messages from the actor straight to the writer. Every
//! arrow is a bounded queue: a session whose disk or store is behind stops reading, one whose peer does not read stops
//! serving.

use super::{
    close::CloseReason,
    server::{Order, Server},
    start::SessionParts,
    traffic::Traffic,
    writer::Writer,
};
use crate::p2p::{
    greeting::Greeted,
    wire::{Heard, Owing, Record, RecordReader, Stalled},
};
use futures_util::{Stream, stream};
use p2p_shared::protocol::{GoodbyeReason, PeerMessage};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Records read and not yet looked at: a few, since each may hold a buffer.
const RECORDS: usize = 8;
/// Messages that wait to be written; a `Have` a chunk is the most frequent, so this is 2 GiB worth of them.
const MESSAGES: usize = 8192;
/// Orders that wait: requests, their cancellations, and room for what comes in bursts.
const ORDERS: usize = 1024;
/// How long a goodbye may take to be written.
const GOODBYE: Duration = Duration::from_secs(2);

/// How long the other side is read from after a goodbye, for it to end as well.
const LINGER: Duration = Duration::from_secs(1);

/// A task of the connection failed.
pub(super) struct Ends(pub CloseReason);

/// The tasks, as the actor knows them.
pub(super) struct Tasks {
    pub messages: mpsc::Sender<PeerMessage>,
    pub orders: mpsc::Sender<Order>,
    reader: Option<JoinHandle<()>>,
    /// Tells the reader that what comes now is not for anybody.
    over: CancellationToken,
    server: JoinHandle<()>,
    writer: Option<JoinHandle<()>>,
    goodbyes: TaskTracker,
}

/// What the tasks tell the actor.
pub(super) struct Streams {
    pub records: mpsc::Receiver<Result<Record, CloseReason>>,
    pub ends: mpsc::Receiver<Ends>,
    pub stalled: Stalled,
    pub owing: Owing,
    pub heard: Heard,
}

impl Tasks {
    /// Starts them on the current runtime.
    pub(super) fn start(greeted: Greeted, parts: &SessionParts, traffic: Arc<Traffic>) -> (Self, Streams) {
        let (messages, messages_out) = mpsc::channel(MESSAGES);
        let (orders, orders_out) = mpsc::channel(ORDERS);
        let (records_in, records) = mpsc::channel(RECORDS);
        let (ends_in, ends) = mpsc::channel(1);
        // One chunk waits while one is written and one is read.
        let (chunks_in, chunks) = mpsc::channel(1);
        let (stalled, owing) = (greeted.reader.stalled(), greeted.reader.owing());
        let heard = greeted.reader.heard();
        let over = CancellationToken::new();
        let server = Server {
            orders: orders_out,
            chunks: chunks_in,
            messages: messages.clone(),
            pool: parts.serving.clone(),
            shelf: Arc::clone(&parts.shelf),
            traffic: Arc::clone(&traffic),
            moved: HashMap::new(),
        };
        let writer = Writer {
            sink: greeted.sink,
            sealer: greeted.sealer,
            messages: messages_out,
            chunks,
            traffic,
        };
        let tasks = Self {
            messages,
            orders,
            reader: Some(tokio::spawn(read(greeted.reader, records_in, over.clone()))),
            over,
            server: tokio::spawn(server.run()),
            writer: Some(tokio::spawn(write(writer, ends_in))),
            goodbyes: parts.goodbyes.clone(),
        };
        let streams = Streams {
            records,
            ends,
            stalled,
            owing,
            heard,
        };
        (tasks, streams)
    }

    /// Ends them, after a goodbye if the other side is to hear one.
    pub(super) fn end(&mut self, goodbye: Option<GoodbyeReason>) {
        let (Some(reader), Some(writer)) = (self.reader.take(), self.writer.take()) else {
            return;
        };
        let reason = goodbye.map(|reason| PeerMessage::Goodbye { reason });
        // A full queue means that the peer does not read: it would not read this either.
        let said = reason.is_some_and(|goodbye| self.messages.try_send(goodbye).is_ok());
        if !said {
            reader.abort();
            writer.abort();
            self.server.abort();
            return;
        }
        self.over.cancel();
        let (server, last_words) = (self.server.abort_handle(), writer.abort_handle());
        let listening = reader.abort_handle();
        self.goodbyes.spawn(async move {
            if timeout(GOODBYE, writer).await.is_err() {
                last_words.abort();
            }
            server.abort();
            if timeout(LINGER, reader).await.is_err() {
                listening.abort();
            }
        });
    }
}

impl Drop for Tasks {
    /// After a panic of the actor; after an orderly end there is nothing left to do.
    fn drop(&mut self) {
        if let Some(reader) = &self.reader {
            reader.abort();
        }
        if let Some(writer) = &self.writer {
            writer.abort();
            self.server.abort();
        }
    }
}

async fn read(
    mut reader: RecordReader,
    records: mpsc::Sender<Result<Record, CloseReason>>,
    over: CancellationToken,
) {
    let reading = async {
        loop {
            let record = reader.next().await;
            let last = record.is_err();
            if records.send(record).await.is_err() || last {
                return last;
            }
        }
    };
    let ended = tokio::select! {
        ended = reading => ended,
        () = over.cancelled() => false,
    };
    if !ended {
        reader.discard().await;
    }
}

async fn write(writer: Writer, ends: mpsc::Sender<Ends>) {
    if let Err(reason) = writer.run().await {
        // An error means that the session is over already.
        ends.send(Ends(reason)).await.ok();
    }
}

/// A receiver as the stream that actors take.
pub(super) fn stream_of<T>(mut receiver: mpsc::Receiver<T>) -> impl Stream<Item = T> {
    stream::poll_fn(move |cx| receiver.poll_recv(cx))
}
