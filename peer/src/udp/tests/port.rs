//! The port as the program has it: opened, kept, closed.

use crate::udp::{StunServer, UdpHandle, mapping::MappingStatus, start};
use p2p_shared::supervision::{Supervisor, system};
use std::time::{Duration, Instant};

/// Runs on the actors' thread, with a port beside a listener.
fn with_port(test: impl AsyncFnOnce(&UdpHandle)) {
    system(2).unwrap().block_on(async {
        let mut supervisor = Supervisor::new();
        let udp = start(&mut supervisor, Some("127.0.0.1:0".parse().unwrap()), None);
        test(&udp).await;
        supervisor.stop(Duration::from_secs(10)).await;
        assert_eq!(udp.address(), None, "closed");
        assert!(matches!(&*udp.mapping().borrow(), MappingStatus::Off));
    });
}

#[test]
fn the_port_is_open_at_once_and_closed_at_the_end() {
    with_port(async |udp| {
        assert!(udp.address().unwrap().ip().is_loopback());
        assert!(udp.certificate().is_some());
    });
}

#[test]
fn a_socket_that_failed_is_replaced() {
    with_port(async |udp| {
        let (before, certificate) = (udp.address(), udp.certificate());
        // What a driver that lost its socket comes to.
        udp.port.line().unwrap().endpoint.close(0_u32.into(), b"");
        let deadline = Instant::now() + Duration::from_secs(60);
        while udp.certificate() == certificate {
            assert!(Instant::now() < deadline, "nobody looked after it");
            tokio::task::yield_now().await;
        }
        assert!(before.is_some() && udp.address().is_some());
    });
}

#[test]
fn servers_are_asked_side_by_side_and_answer_in_order() {
    with_port(async |udp| {
        let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = StunServer::from(silent.local_addr().unwrap());
        let asked = Instant::now();
        let seen = udp.observe(&vec![server; 8]).await;
        assert_eq!(seen.len(), 8);
        assert!(seen.iter().all(Result::is_err));
        assert!(
            asked.elapsed() < Duration::from_secs(12),
            "one after the other takes 24 s"
        );
    });
}

#[test]
fn who_has_no_listener_has_no_port() {
    system(2).unwrap().block_on(async {
        let mut supervisor = Supervisor::new();
        let udp = start(&mut supervisor, None, None);
        // Also when somebody sees to it that everything runs.
        udp.port.tend();
        assert_eq!((udp.address(), udp.certificate()), (None, None));
        supervisor.stop(Duration::from_secs(10)).await;
    });
}
