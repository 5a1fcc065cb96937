//! The way to the UDP port.

use super::{
    mapping::MappingStatus,
    observe::{Observation, ObserveError},
    port::Port,
    punch::{PunchError, PunchedPath, punch},
    server::StunServer,
};
use crate::metrics;
use futures_util::future::join_all;
use p2p_shared::holepunch::{burst::Round, signal::CertificateHash};
use std::{net::SocketAddr, sync::Arc};
use tokio::sync::watch;

/// The way to the peer's UDP port. Clones lead to the same one, also after its socket was replaced.
#[derive(Debug, Clone)]
pub struct UdpHandle {
    pub(super) port: Arc<Port>,
}

impl UdpHandle {
    /// Where the socket is bound. `None`: there is none at the moment.
    pub fn address(&self) -> Option<SocketAddr> {
        self.port.line()?.endpoint.local_addr().ok()
    }

    /// What our offers say of our certificate. It is another one when the socket was replaced.
    pub fn certificate(&self) -> Option<CertificateHash> {
        Some(CertificateHash(self.port.line()?.credentials.fingerprint))
    }

    /// Asks servers at the same time how they see us; in the order of `servers`. Takes five seconds at most.
    pub async fn observe(&self, servers: &[StunServer]) -> Vec<Result<Observation, ObserveError>> {
        let line = self.port.line();
        let ask = async |server| match &line {
            Some(line) => line.observe(server).await,
            None => Err(ObserveError::NoSocket),
        };
        join_all(servers.iter().map(ask)).await
    }

    /// Carries out a round of punching, to its end. Takes seven seconds at most.
    ///
    /// # Errors
    /// Why there is no path this time; the schedule says when to try again.
    pub async fn punch(&self, round: Round) -> Result<PunchedPath, PunchError> {
        let punched = match self.port.line() {
            Some(line) => punch(line, round).await,
            None => Err(PunchError::NoSocket),
        };
        metrics::punched(match &punched {
            Ok(_) => "punched",
            Err(PunchError::NoSocket) => "no-socket",
            Err(PunchError::Busy) => "busy",
            Err(PunchError::Burst(_)) => "no-way",
            Err(PunchError::Quic(_) | PunchError::NoConnection) => "no-connection",
        });
        punched
    }

    /// What became of the port that the router was asked for; tells of changes.
    pub fn mapping(&self) -> watch::Receiver<MappingStatus> {
        self.port.mapping()
    }

    /// Datagrams that nobody wanted, since the socket was bound.
    pub fn turned_away(&self) -> u64 {
        self.port.line().map_or(0, |line| line.guests.turned_away())
    }
}
