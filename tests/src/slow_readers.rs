//! Tunnels whose readers are slow and whose senders are not: what a relay has to put up with.
//!
//! Promises honest peers: senders keep to the credit, readers grant what they have read. Each tunnel has two connections of its own. A tunnel that the
//! relay ends stays ended; all of it ends when the value is dropped.

use crate::relay_client::{Event, Registered, RelayClient, tunnel};
use p2p_shared::protocol::relay::{FRAME_COST, MAX_DATA, RelayFrame, TunnelId};
use p2p_shared::websocket::Opcode;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// What a reader takes from its socket in a second.
pub const SIP: usize = 1 << 10;

/// Many of them.
#[derive(Debug)]
pub struct SlowReaders {
    tunnels: usize,
    credit: u32,
    full: watch::Receiver<usize>,
    running: JoinSet<()>,
}

impl SlowReaders {
    /// A tunnel for each two of `peers`, over which `credit` bytes are granted at first. They begin to send.
    pub async fn start(address: SocketAddr, peers: &[Registered], credit: u32) -> Self {
        let (filled, full) = watch::channel(0);
        let filled = Arc::new(filled);
        let mut running = JoinSet::new();
        for pair in peers.chunks_exact(2) {
            let mut from = pair[0].connect(address).await;
            let mut to = pair[1].connect(address).await;
            let (near, far) = tunnel((&mut from, 0), (&mut to, pair[1].key), credit).await;
            running.spawn(send(from, near, credit, Arc::clone(&filled)));
            running.spawn(read(to, far));
        }
        Self {
            tunnels: peers.len() / 2,
            credit,
            full,
            running,
        }
    }

    /// Bytes that the relay may have to keep: what all readers have granted and not read.
    pub fn granted(&self) -> u64 {
        self.tunnels as u64 * u64::from(self.credit)
    }

    /// Waits until one of them was ended by the relay.
    pub async fn ended(&mut self) {
        self.running.join_next().await;
    }

    /// Waits until every sender has sent what it was granted at first.
    pub async fn full(&mut self) {
        let all = self.tunnels;
        let full = self.full.wait_for(|full| *full == all).await;
        assert!(*full.expect("the senders live") == all);
    }
}

/// Sends frame after frame as the credit allows.
async fn send(mut client: RelayClient, tunnel: TunnelId, mut credit: u32, filled: Arc<watch::Sender<usize>>) {
    let frame = [7; MAX_DATA];
    let mut has_filled = false;
    loop {
        while credit > FRAME_COST {
            let length = (credit - FRAME_COST).min(MAX_DATA as u32);
            credit -= length + FRAME_COST;
            client.send_data(tunnel, &frame[..length as usize]).await;
        }
        if !std::mem::replace(&mut has_filled, true) {
            filled.send_modify(|full| *full += 1);
        }
        match client.frame().await {
            RelayFrame::Credit { bytes, .. } => credit += bytes,
            RelayFrame::Close { .. } => return,
            other => panic!("nothing but credit is due, not {other:?}"),
        }
    }
}

/// Takes a sip a second and grants what came of it.
async fn read(mut client: RelayClient, tunnel: TunnelId) {
    let mut next = Instant::now();
    loop {
        next += Duration::from_secs(1);
        sleep_until(next).await;
        // The relay's pings lie behind what has not been read; unasked for, this says as well that somebody is there.
        if client.try_send_message(Opcode::Pong, &[]).await.is_err() {
            return;
        }
        let Some(events) = client.sip(SIP).await else {
            return;
        };
        for event in events {
            let Event::Data(_, bytes) = event else {
                panic!("nothing but data is due, not {event:?}");
            };
            let bytes = bytes.len() as u32 + FRAME_COST;
            client.send(&RelayFrame::Credit { tunnel, bytes }).await;
        }
    }
}
