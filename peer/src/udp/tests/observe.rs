//! STUN from the peer's socket, with servers of a few lines.

use super::line;
use crate::udp::{Observation, ObserveError, StunServer, quic::Line};
use p2p_shared::holepunch::stun;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::net::UdpSocket;

/// A server that leaves the first `ignored` requests unanswered; `honest` ones answer from where they were asked.
async fn server(ignored: usize, honest: bool) -> StunServer {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = socket.local_addr().unwrap().into();
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        for heard in 0.. {
            let (len, from) = socket.recv_from(&mut buffer).await.unwrap();
            if heard >= ignored {
                let request = stun::read_request(&buffer[..len]).unwrap();
                let answer = stun::answer(&request, from, None).bytes;
                let from_where = if honest { &socket } else { &elsewhere };
                from_where.send_to(&answer, from).await.unwrap();
            }
        }
    });
    server
}

async fn observe(line: &Arc<Line>, server: &StunServer) -> Result<Observation, ObserveError> {
    line.observe(server).await
}

#[tokio::test]
async fn a_server_tells_how_it_sees_us() {
    let (line, address) = line();
    let seen = observe(&line, &server(0, true).await).await.unwrap();
    assert_eq!(seen.mapped, address);
    assert!(seen.rtt < Duration::from_secs(1));
}

#[tokio::test]
async fn a_lost_request_is_repeated() {
    let (line, address) = line();
    assert_eq!(
        observe(&line, &server(2, true).await).await.unwrap().mapped,
        address
    );
}

#[tokio::test]
async fn an_answer_from_elsewhere_does_not_count() {
    let (line, _) = line();
    let silent = observe(&line, &server(0, false).await).await;
    assert!(matches!(silent, Err(ObserveError::Silent)), "{silent:?}");
    assert_eq!(line.guests.turned_away(), 4, "one for each request");
}

#[tokio::test]
async fn a_server_of_a_family_that_we_have_not_cannot_be_asked() {
    let (line, _) = line();
    let server = StunServer::from("[::1]:3478".parse::<SocketAddr>().unwrap());
    let unresolved = observe(&line, &server).await;
    assert!(
        matches!(unresolved, Err(ObserveError::Unresolved(_))),
        "{unresolved:?}"
    );
}
