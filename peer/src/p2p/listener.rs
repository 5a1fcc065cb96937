//! Where other peers knock.
//!
//! Promises that strangers cost little: connections that have not proved who they are are limited in number (in all and
//! for one address) and in time, and when there are too many the oldest goes, since an honest peer is through in
//! milliseconds and whoever stalls is the oldest. Who does not know our key gets no byte. When the system has no more file
//! descriptors, accepting pauses; it never ends but with its task.

use super::{
    greeting::{Greeted, answer},
    wire::Wire,
};
use crate::connection::direct::Caller;
use p2p_shared::crypto::handshake::Carrier;
use std::{
    collections::VecDeque,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
    time,
};

/// Strangers at a time.
const HALF_OPEN: usize = 512;
/// Strangers from one address at a time. Peers behind one NAT share it.
const HALF_OPEN_PER_IP: usize = 16;
/// How long a stranger may take to prove who it is.
const DEADLINE: Duration = Duration::from_secs(5);
/// Pause when the system cannot accept (no file descriptors, no memory).
const PAUSE: Duration = Duration::from_millis(100);

/// Binds the address that peers connect to.
pub fn bind(address: SocketAddr) -> io::Result<Arc<TcpListener>> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted daemon takes its port back while old connections linger.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    Ok(Arc::new(TcpListener::from_std(socket.into())?))
}

/// Accepts for ever; everybody who proves who they are is handed to `welcome`.
pub async fn accept<F>(
    listener: Arc<TcpListener>,
    caller: Caller,
    welcome: impl Fn(Greeted) -> F + Clone + Send + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut strangers = Strangers::default();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => strangers.admit(address.ip(), meet(stream, caller.clone(), welcome.clone())),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    time::sleep(PAUSE).await;
                }
            },
            Some(_) = strangers.tasks.join_next() => strangers.forget_finished(),
        }
    }
}

async fn meet<F: Future<Output = ()>>(stream: TcpStream, caller: Caller, welcome: impl Fn(Greeted) -> F) {
    let from = stream.peer_addr().ok();
    let greeting = async {
        let wire = Wire::tcp(stream)?;
        answer(
            wire,
            &caller.identity,
            Carrier::Tcp,
            caller.hello,
            caller.receiving,
        )
        .await
    };
    match time::timeout(DEADLINE, greeting).await {
        Ok(Ok(greeted)) => welcome(greeted).await,
        Ok(Err(error)) => tracing::debug!(?from, %error, "a connection did not become a session"),
        Err(_) => tracing::debug!(?from, "a connection stalled before it became a session"),
    }
}

/// The connections that have not proved who they are, oldest first.
#[derive(Default)]
struct Strangers {
    tasks: JoinSet<()>,
    queue: VecDeque<(IpAddr, AbortHandle)>,
}

impl Strangers {
    fn admit(&mut self, ip: IpAddr, meeting: impl Future<Output = ()> + Send + 'static) {
        self.forget_finished();
        let from_there = self.queue.iter().filter(|(from, _)| *from == ip).count();
        let oldest = if from_there >= HALF_OPEN_PER_IP {
            self.queue.iter().position(|(from, _)| *from == ip)
        } else {
            (self.queue.len() >= HALF_OPEN).then_some(0)
        };
        if let Some((_, oldest)) = oldest.and_then(|oldest| self.queue.remove(oldest)) {
            oldest.abort();
        }
        let task = self.tasks.spawn(meeting);
        self.queue.push_back((ip, task));
    }

    fn forget_finished(&mut self) {
        self.queue.retain(|(_, task)| !task.is_finished());
    }
}

#[cfg(test)]
#[path = "listener_tests.rs"]
mod tests;
