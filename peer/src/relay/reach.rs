//! From a name to a TCP connection.
//!
//! Promises that an address that does not answer holds up the next one for [`STAGGER`] and no longer, so that a host is reached though
//! one of its addresses, or a whole family of them, leads nowhere from here (RFC 8305). Never ends by itself while an address may still
//! answer: who calls sets the limit.

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    net::{TcpStream, lookup_host},
    time::sleep,
};

/// The "connection attempt delay" of RFC 8305 section 5.
const STAGGER: Duration = Duration::from_millis(250);

/// What was sent and is not acknowledged for so long was sent to nobody.
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);

/// Connects to the first address of `host` (an IPv6 address in brackets) that answers.
pub(super) async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let addresses = lookup_host((name, port)).await?.collect();
    let stream = first(in_turns(addresses), TcpStream::connect).await?;
    tune(&stream)?;
    Ok(stream)
}

/// The families in turns, each in the order in which the system gave it, the one that it prefers first.
fn in_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let (mut v4, mut v6) = (0, 0);
    let mut ranked: Vec<(u32, SocketAddr)> = Vec::with_capacity(addresses.len());
    for address in addresses {
        let rank = if address.is_ipv4() { &mut v4 } else { &mut v6 };
        ranked.push((*rank, address));
        *rank += 1;
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, address)| address).collect()
}

/// The first connection that is made. One more is tried when one failed, or has not been made for [`STAGGER`].
async fn first<T, F>(addresses: Vec<SocketAddr>, connect: impl Fn(SocketAddr) -> F) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut left = addresses.into_iter();
    let mut tried = FuturesUnordered::new();
    let mut last = io::Error::other("the name has no address");
    loop {
        tried.extend(left.next().map(&connect));
        tokio::select! {
            Some(made) = tried.next() => match made {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            },
            () = sleep(STAGGER), if left.len() > 0 => {}
            else => return Err(last),
        }
    }
}

/// Small frames are not held back, and a path that is cut is noticed.
fn tune(stream: &TcpStream) -> io::Result<()> {
    use socket2::{SockRef, TcpKeepalive};
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(10))
        .with_interval(Duration::from_secs(5))
        .with_retries(2);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_families_take_turns_in_the_systems_order() {
        let given = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"]);
        let turns = addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]);
        assert_eq!(in_turns(given), turns);
        assert_eq!(in_turns(Vec::new()), []);
    }

    /// Those of documentation answer never, port 9 refuses, the rest connects.
    async fn connect(address: SocketAddr) -> io::Result<SocketAddr> {
        match address {
            SocketAddr::V6(_) => std::future::pending().await,
            _ if address.port() == 9 => Err(io::ErrorKind::ConnectionRefused.into()),
            _ => Ok(address),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_is_reached_soon_though_most_of_its_addresses_lead_nowhere() {
        let given = [
            "[::1]:1",
            "[::2]:1",
            "[::3]:1",
            "[::4]:1",
            "192.0.2.1:9",
            "192.0.2.2:1",
        ];
        let begin = Instant::now();
        let reached = first(in_turns(addresses(&given)), connect).await.unwrap();
        assert_eq!(reached, addresses(&["192.0.2.2:1"])[0]);
        assert!(begin.elapsed() <= 2 * STAGGER, "after {:?}", begin.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_whose_addresses_all_refuse_is_not_waited_for() {
        let begin = Instant::now();
        let refused = first(addresses(&["192.0.2.1:9", "192.0.2.2:9"]), connect).await;
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(begin.elapsed(), Duration::ZERO);
        assert!(first(Vec::new(), connect).await.is_err());
    }
}
