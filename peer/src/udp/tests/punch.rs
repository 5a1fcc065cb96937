//! Rounds of punching between two sockets.

use super::line;
use crate::udp::{
    PunchError,
    punch::{PunchedPath, punch},
    quic::Line,
};
use p2p_shared::{
    holepunch::{
        burst::{BurstFailure, Round},
        candidate::{Candidate, CandidateKind},
        probe::{PROBE, ProbeKey, Role},
        signal::{CertificateHash, RoundNonce},
    },
    testing::identity,
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UdpSocket,
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(60);
const NONCES: [RoundNonce; 2] = [RoundNonce([1; 16]), RoundNonce([2; 16])];

struct Side {
    number: u8,
    line: Arc<Line>,
    address: SocketAddr,
}

/// The two sides of a round, the client first.
fn sides() -> [Side; 2] {
    let side = |number| {
        let (line, address) = line();
        Side {
            number,
            line,
            address,
        }
    };
    let (one, two) = (side(1), side(2));
    match one.key(&two).role() {
        Role::Client => [one, two],
        Role::Server => [two, one],
    }
}

impl Side {
    fn nonce(&self) -> RoundNonce {
        NONCES[usize::from(self.number) - 1]
    }

    fn key(&self, other: &Self) -> ProbeKey {
        let remote = identity(other.number.into()).public_key();
        ProbeKey::new(
            &identity(self.number.into()),
            &self.nonce(),
            &remote,
            &other.nonce(),
        )
        .unwrap()
    }

    fn certificate(&self) -> CertificateHash {
        CertificateHash(self.line.credentials.fingerprint)
    }

    /// A round with the other side, looked for at these addresses.
    fn round(&self, other: &Self, at: &[SocketAddr]) -> Round {
        let candidate = |address: &SocketAddr| Candidate {
            kind: CandidateKind::Lan,
            address: *address,
        };
        Round {
            remote: identity(other.number.into()).public_key(),
            key: self.key(other),
            candidates: at.iter().map(candidate).collect(),
            certificate: other.certificate(),
            delay: Duration::ZERO,
        }
    }

    async fn punch(&self, round: Round) -> Result<PunchedPath, PunchError> {
        timeout(PATIENCE, punch(Arc::clone(&self.line), round))
            .await
            .unwrap()
    }
}

async fn passes(from: &mut PunchedPath, to: &mut PunchedPath) {
    from.wire.sink.write_all(b"through").await.unwrap();
    let mut heard = [0; 7];
    timeout(PATIENCE, to.wire.source.read_exact(&mut heard))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&heard, b"through");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_ends_with_a_stream_between_the_two() {
    let [client, server] = sides();
    let (near, far) = tokio::join!(
        client.punch(client.round(&server, &[server.address])),
        server.punch(server.round(&client, &[client.address]))
    );
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    assert_eq!((near.role, far.role), (Role::Client, Role::Server));
    assert_eq!((near.address, far.address), (server.address, client.address));
    assert_eq!(
        (near.kind, far.kind),
        (Some(CandidateKind::Lan), Some(CandidateKind::Lan))
    );
    passes(&mut near, &mut far).await;
    passes(&mut far, &mut near).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_named_no_address_learns_it_from_the_probes() {
    let [client, server] = sides();
    for (to_server, to_client) in [(vec![server.address], vec![]), (vec![], vec![client.address])] {
        let (near, far) = tokio::join!(
            client.punch(client.round(&server, &to_server)),
            server.punch(server.round(&client, &to_client))
        );
        let (mut near, mut far) = (near.unwrap(), far.unwrap());
        assert_eq!([near.kind, far.kind].iter().flatten().count(), 1);
        passes(&mut near, &mut far).await;
        passes(&mut far, &mut near).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_addresses_of_a_peer_lead_to_one_connection() {
    let [client, server] = sides();
    let nobody = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let also = [nobody.local_addr().unwrap(), client.address];
    let (near, far) = tokio::join!(
        client.punch(client.round(&server, &[nobody.local_addr().unwrap(), server.address])),
        server.punch(server.round(&client, &also))
    );
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    passes(&mut near, &mut far).await;
    assert_eq!(client.line.endpoint.open_connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_not_there_fails_the_round_and_leaves_no_guest() {
    let [client, server] = sides();
    let failed = client.punch(client.round(&server, &[server.address])).await;
    let failed = failed.err().unwrap();
    assert!(
        matches!(failed, PunchError::Burst(BurstFailure::Silence)),
        "{failed}"
    );
    assert!(!client.line.guests.is_admitted(&server.address));
    assert!(server.line.guests.turned_away() > 0, "it was knocked at");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_the_offer_did_not_name_fails_the_round() {
    let [client, server] = sides();
    let mut round = client.round(&server, &[server.address]);
    round.certificate = CertificateHash([9; 32]);
    let (near, far) = tokio::join!(
        client.punch(round),
        server.punch(server.round(&client, &[client.address]))
    );
    let near = near.err().unwrap();
    assert!(matches!(near, PunchError::Quic(_)), "{near}");
    let far = far.err().unwrap();
    // It may have noticed that the client left before the client had answered it.
    let in_vain = PunchError::Burst(BurstFailure::OneWay).to_string();
    assert!(
        [PunchError::NoConnection.to_string(), in_vain].contains(&far.to_string()),
        "{far}"
    );
    assert!(!server.line.guests.is_admitted(&client.address));
}

/// In mid-round, when the socket expects probes: a forged one, with the right name of the round.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_probe_is_not_answered_and_admits_nobody() {
    let [client, server] = sides();
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let genuine = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let probe = p2p_shared::holepunch::probe::Probe {
        kind: p2p_shared::holepunch::probe::Kind::Probe,
        number: 0,
    };
    let packet = server.key(&client).seal(probe);
    let line = Arc::clone(&client.line);
    let round = tokio::spawn(punch(line, client.round(&server, &[])));
    for bit in 0..PROBE * 8 {
        let mut forged = packet;
        forged[bit / 8] ^= 1 << (bit % 8);
        stranger.send_to(&forged, client.address).await.unwrap();
    }
    // The genuine one, sent after them, is answered: so they had been seen.
    let mut answer = [0; 1500];
    loop {
        genuine.send_to(&packet, client.address).await.unwrap();
        if let Ok(Ok((len, _))) = timeout(Duration::from_millis(100), genuine.recv_from(&mut answer)).await {
            assert_eq!(len, PROBE, "no more bytes than it had");
            break;
        }
        assert!(!round.is_finished(), "the round ended without an answer");
    }
    assert!(client.line.guests.is_admitted(&genuine.local_addr().unwrap()));
    assert!(!client.line.guests.is_admitted(&stranger.local_addr().unwrap()));
    assert!(stranger.try_recv(&mut answer).is_err());
    round.abort();
}
