//! "From which address do you see me?": STUN from the very socket that punches, since a NAT may map every socket differently.
//!
//! Promises that an answer counts only from who was asked, with the number that was drawn for it, and that a silent server costs three
//! seconds. Requests are repeated as RFC 8489 (6.2.1) says, with its times shortened: who waits is somebody who wants a file.

use super::{quic::Line, server::StunServer};
use p2p_shared::holepunch::stun::{self, BindingError, TransactionId};
use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// How long each request is waited for before the next one is sent, or none any more.
const WAITS: [Duration; 4] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(1250),
];

/// How a server sees us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// Who was asked.
    pub server: SocketAddr,
    /// The address that it sees.
    pub mapped: SocketAddr,
    /// From the last request to its answer.
    pub rtt: Duration,
}

/// Why a server did not tell.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// Its name leads nowhere.
    #[error("cannot be found: {0}")]
    Unresolved(#[source] io::Error),
    /// Nothing can be sent there.
    #[error("cannot be asked: {0}")]
    Unsent(#[source] io::Error),
    /// It did not answer; UDP may be blocked on the way.
    #[error("did not answer")]
    Silent,
    /// It answered something else.
    #[error("refused: {0}")]
    Refused(#[source] BindingError),
    /// There is no UDP socket.
    #[error("cannot be asked: there is no UDP socket")]
    NoSocket,
}

impl Line {
    /// Asks a server how it sees us.
    pub(super) async fn observe(&self, server: &StunServer) -> Result<Observation, ObserveError> {
        let reaches = |address| self.socket.reaches(address);
        let server = server.resolve(reaches).await.map_err(ObserveError::Unresolved)?;
        let mut transaction = TransactionId::default();
        getrandom::fill(&mut transaction).map_err(|error| ObserveError::Unsent(io::Error::other(error)))?;
        let request = stun::request(transaction);
        let mut question = self.guests.ask(transaction, server);
        for wait in WAITS {
            let asked = Instant::now();
            self.socket
                .send(server, &request)
                .await
                .map_err(ObserveError::Unsent)?;
            if let Ok(Ok(answer)) = timeout(wait, &mut question.answer).await {
                let reply = stun::read_reply(&answer, transaction).map_err(ObserveError::Refused)?;
                return Ok(Observation {
                    server,
                    mapped: reply.mapped,
                    rtt: asked.elapsed(),
                });
            }
        }
        Err(ObserveError::Silent)
    }
}
