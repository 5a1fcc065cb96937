//! The peer's UDP port, for as long as the program runs: the line that is open on it now, and the tasks that keep it.
//!
//! Owns what no crash of the [keeper](super::keeper) may take: connections live on it. A line whose socket failed is replaced, on the same
//! port if that can be had.

use super::{
    bind,
    mapping::{Mapper, MappingStatus},
    quic::Line,
};
use std::{
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, task::JoinHandle, time::timeout};

/// How long what was said last may take to arrive when the program ends.
const FAREWELLS: Duration = Duration::from_secs(1);
/// How long the other sides may take to hear that we are gone.
const GOODBYES: Duration = Duration::from_millis(500);

/// The port. One a program.
pub(super) struct Port {
    /// The TCP listener beside it. Nothing: it is never opened.
    listener: Option<SocketAddr>,
    line: watch::Sender<Option<Arc<Line>>>,
    mapping: watch::Sender<MappingStatus>,
    mapper: Option<Mapper>,
    tasks: Mutex<Tasks>,
}

/// What runs as long as the port is open.
#[derive(Default)]
struct Tasks {
    door: Option<JoinHandle<()>>,
    mapper: Option<JoinHandle<()>>,
    is_closed: bool,
}

impl Port {
    /// Opens it. Without a socket there is no punching; the keeper tries again.
    pub(super) fn open(listener: Option<SocketAddr>, mapper: Option<Mapper>) -> Self {
        let port = Self {
            listener,
            line: watch::Sender::new(None),
            mapping: watch::Sender::new(MappingStatus::Off),
            mapper,
            tasks: Mutex::default(),
        };
        port.tend();
        port
    }

    /// The line that is open now.
    pub(super) fn line(&self) -> Option<Arc<Line>> {
        self.line.borrow().clone()
    }

    /// What became of the router's port.
    pub(super) fn mapping(&self) -> watch::Receiver<MappingStatus> {
        self.mapping.subscribe()
    }

    /// Starts what does not run (any more).
    pub(super) fn tend(&self) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(listener) = self.listener.filter(|_| !tasks.is_closed) else {
            return;
        };
        if !runs(tasks.door.as_ref()) {
            match self.reopen(listener) {
                Ok(line) => {
                    tasks.door = Some(tokio::spawn(async move { line.welcome().await }));
                }
                Err(error) => tracing::warn!(%error, "no UDP socket; peers are reached without it"),
            }
        }
        if !runs(tasks.mapper.as_ref())
            && let (Some(mapper), Some(line)) = (&self.mapper, self.line())
            && let Ok(udp) = line.endpoint.local_addr()
        {
            let (mapper, status, tcp) = (mapper.clone(), self.mapping.clone(), listener);
            tasks.mapper = Some(tokio::spawn(async move { mapper.keep(tcp, udp, &status).await }));
        }
    }

    fn reopen(&self, listener: SocketAddr) -> io::Result<Arc<Line>> {
        let last = self.line().and_then(|line| line.endpoint.local_addr().ok());
        // Its socket has to be gone before the next one is bound.
        self.line.send_replace(None);
        let line = Arc::new(Line::open(bind::beside(last.unwrap_or(listener))?)?);
        self.line.send_replace(Some(Arc::clone(&line)));
        Ok(line)
    }

    /// Gives back the router's port, delivers what was said last, and closes. Takes 2 s at most.
    pub(super) async fn close(&self) {
        let (door, mapper) = {
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            tasks.is_closed = true;
            (tasks.door.take(), tasks.mapper.take())
        };
        let release = async {
            if let Some(task) = mapper {
                task.abort();
                // Cancelled, or it ended by itself.
                task.await.ok();
            }
            self.release().await;
        };
        tokio::join!(release, self.hang_up());
        if let Some(door) = door {
            door.abort();
        }
    }

    async fn release(&self) {
        let status = self.mapping.send_replace(MappingStatus::Off);
        if let (Some(mapper), MappingStatus::Mapped(mapped)) = (&self.mapper, status) {
            mapper.release(&mapped).await;
        }
    }

    async fn hang_up(&self) {
        let Some(line) = self.line() else { return };
        line.farewells.close();
        // Too late for the rest: the other side finds out.
        timeout(FAREWELLS, line.farewells.wait()).await.ok();
        line.endpoint.close(0_u32.into(), b"");
        timeout(GOODBYES, line.endpoint.wait_idle()).await.ok();
        self.line.send_replace(None);
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Port({:?})", self.listener)
    }
}

fn runs(task: Option<&JoinHandle<()>>) -> bool {
    task.is_some_and(|task| !task.is_finished())
}
