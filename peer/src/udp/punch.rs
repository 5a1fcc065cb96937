//! Carries out a round of punching on the peer's socket, to the end: a QUIC stream, or the reason why there is none.
//!
//! Promises an end after the round's delay, [`LONGEST`] and [`CONNECT`] at most; that an address is heard by QUIC only after an authentic probe
//! came from it; and that what was admitted and is not the path is admitted no more when the round ends. What is sent when is the
//! [burst](p2p_shared::holepunch::burst)'s to decide.

use super::{
    bind::plain,
    guests::{Admission, Expected, Hearing},
    quic::{Connected, Line, QuicError, take},
};
use crate::p2p::wire::Wire;
use futures_util::future::{BoxFuture, OptionFuture};
use p2p_shared::holepunch::{
    burst::{Burst, BurstAction, BurstFailure, LONGEST, Round},
    candidate::{Candidate, CandidateKind, canonical},
    probe::Role,
};
use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

/// How long QUIC may take on a path that is open: some round trips of the longest.
const CONNECT: Duration = Duration::from_secs(3);

/// A path that was punched.
pub struct PunchedPath {
    /// The QUIC stream on it.
    pub wire: Wire,
    /// The other side's address.
    pub address: SocketAddr,
    /// What the other side called this address. `None`: it did not know it.
    pub kind: Option<CandidateKind>,
    /// Who dialled QUIC: the client.
    pub role: Role,
    /// As QUIC measured it.
    pub rtt: Duration,
}

/// Why a round led to no path.
#[derive(Debug, thiserror::Error)]
pub enum PunchError {
    /// There is no UDP socket at the moment.
    #[error("there is no UDP socket")]
    NoSocket,
    /// Too many rounds at a time, or this one twice.
    #[error("too many rounds of hole punching at a time")]
    Busy,
    /// No way through.
    #[error("{0}")]
    Burst(#[from] BurstFailure),
    /// There was one, and QUIC did not get through it.
    #[error("packets pass, but {0}")]
    Quic(#[from] QuicError),
    /// There was one, and the other side did not use it.
    #[error("packets pass, but no connection came of it in time")]
    NoConnection,
}

/// A connection on its way.
type Connecting = BoxFuture<'static, Result<Connected, QuicError>>;

/// A round under way.
struct Punching {
    line: Arc<Line>,
    burst: Burst,
    hearing: Hearing,
    candidates: Vec<Candidate>,
    role: Role,
    /// How connections of this round are made.
    expected: Expected,
    /// The addresses that an authentic packet came from.
    guests: HashMap<SocketAddr, Admission>,
    connections: mpsc::Receiver<quinn::Connecting>,
    connecting: Option<Connecting>,
}

/// Carries out a round.
pub(super) async fn punch(line: Arc<Line>, round: Round) -> Result<PunchedPath, PunchError> {
    let hearing = line.guests.hear(round.key.name()).ok_or(PunchError::Busy)?;
    let (to, connections) = mpsc::channel(1);
    let deadline = Instant::now() + round.delay + LONGEST + CONNECT;
    let punching = Punching {
        line,
        hearing,
        candidates: round.candidates.clone(),
        role: round.key.role(),
        expected: Expected {
            pin: round.certificate.0,
            to,
        },
        guests: HashMap::new(),
        connections,
        connecting: None,
        burst: Burst::new(round, Instant::now().into_std()),
    };
    punching.run(deadline).await
}

impl Punching {
    async fn run(mut self, deadline: Instant) -> Result<PunchedPath, PunchError> {
        loop {
            let due = self.burst.deadline().map(|due| sleep_until(due.into()));
            let is_idle = self.connecting.is_none();
            let actions = tokio::select! {
                Some(()) = OptionFuture::from(due) => self.burst.on_tick(Instant::now().into_std()),
                Some((from, datagram)) = self.hearing.datagrams.recv() => {
                    self.burst.on_packet(Instant::now().into_std(), from, &datagram)
                }
                Some(connecting) = self.connections.recv(), if is_idle => {
                    self.connecting = Some(Box::pin(take(connecting)));
                    Vec::new()
                }
                Some(connected) = OptionFuture::from(self.connecting.as_mut()) => match self.on_connected(connected)? {
                    Some(path) => return Ok(path),
                    None => Vec::new(),
                },
                () = sleep_until(deadline) => return Err(PunchError::NoConnection),
            };
            self.carry_out(actions).await?;
        }
    }

    async fn carry_out(&mut self, actions: Vec<BurstAction>) -> Result<(), PunchError> {
        for action in actions {
            match action {
                BurstAction::Send { to, packet } => {
                    if let Err(error) = self.line.socket.send(to, &packet).await {
                        tracing::trace!(%to, %error, "a probe was not sent");
                    }
                }
                BurstAction::Admit(address) => self.admit(address),
                BurstAction::Punched(punched) => {
                    if self.role == Role::Client {
                        self.connecting = Some(self.dial(punched.address));
                    }
                }
                BurstAction::Failed(_) if self.connecting.is_some() => {}
                BurstAction::Failed(failure) => return Err(failure.into()),
            }
        }
        Ok(())
    }

    fn admit(&mut self, address: SocketAddr) {
        let guest = self.line.guests.admit(address);
        if self.role == Role::Server {
            guest.expect(self.expected.clone());
        }
        self.guests.insert(address, guest);
    }

    fn dial(&self, address: SocketAddr) -> Connecting {
        let (line, pin) = (Arc::clone(&self.line), self.expected.pin);
        Box::pin(async move { line.dial(address, pin).await })
    }

    /// The client's only connection ends the round; of those that come to the server, the first that works.
    fn on_connected(
        &mut self,
        connected: Result<Connected, QuicError>,
    ) -> Result<Option<PunchedPath>, PunchError> {
        self.connecting = None;
        let connected = match connected {
            Ok(connected) => connected,
            Err(error) if self.role == Role::Client => return Err(error.into()),
            Err(error) => {
                tracing::debug!(%error, "a QUIC connection failed");
                return Ok(None);
            }
        };
        let address = plain(connected.0.remote_address());
        // What connected is a guest, or its packets had not been heard.
        let guest = self.guests.remove(&address).ok_or(QuicError::Stranger)?;
        guest.expect_no_more();
        let called = |candidate: &&Candidate| canonical(candidate.address) == address;
        Ok(Some(PunchedPath {
            address,
            kind: self
                .candidates
                .iter()
                .find(called)
                .map(|candidate| candidate.kind),
            role: self.role,
            rtt: connected.0.rtt(),
            wire: self.line.wire(connected, guest),
        }))
    }
}
