//! Watches over the children of a running peer and ends them when told to. Lives on the actors' thread; the rest of the
//! program talks to it from anywhere.

use super::{DRAIN, Orders};
use crate::{api::LocalApi, error::Failure};
use p2p_shared::supervision::{Escalation, Supervisor};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// How long leaving the relays may take.
const LEAVE: Duration = Duration::from_secs(1);

/// The way to the keeper's task.
#[derive(Debug)]
pub(super) struct Keeper {
    stop: mpsc::Sender<oneshot::Sender<()>>,
    escalated: watch::Receiver<Option<Escalation>>,
}

impl Keeper {
    /// Takes over the children, and the local API if there is one.
    pub(super) fn start(supervisor: Supervisor, api: Option<LocalApi>, orders: Orders) -> Self {
        let (stop, stop_wanted) = mpsc::channel(1);
        let (tell, escalated) = watch::channel(None);
        actix_rt::spawn(keep(supervisor, api, orders, stop_wanted, tell));
        Self { stop, escalated }
    }

    /// Waits until a child is down for good; for ever while all is well.
    pub(super) async fn failed(&self) -> Failure {
        let mut escalated = self.escalated.clone();
        let escalation = match escalated.wait_for(Option::is_some).await {
            Ok(escalation) => escalation.clone(),
            Err(_) => None,
        };
        match escalation {
            Some(escalation) => {
                Failure::internal(format!("{escalation}; restart the peer, nothing on disk is lost"))
            }
            // Stopped in order: there is nothing to report, ever.
            None => std::future::pending().await,
        }
    }

    /// Drains and stops everything; returns when that is done.
    pub(super) async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        if self.stop.send(done).await.is_ok() {
            // An error means that it was stopped by somebody else meanwhile.
            stopped.await.ok();
        }
    }
}

async fn keep(
    mut supervisor: Supervisor,
    api: Option<LocalApi>,
    orders: Orders,
    mut stop_wanted: mpsc::Receiver<oneshot::Sender<()>>,
    tell: watch::Sender<Option<Escalation>>,
) {
    let done = tokio::select! {
        done = stop_wanted.recv() => done,
        escalation = supervisor.escalated() => {
            tracing::error!(actor = escalation.child, reason = %escalation.reason, "a permanent actor is down for good");
            tell.send_replace(Some(escalation));
            stop_wanted.recv().await
        }
    };
    if let Some(api) = api {
        api.stop().await;
    }
    orders.drain().await;
    supervisor.stop(DRAIN).await;
    orders.leave_relays(LEAVE).await;
    if let Some(done) = done {
        // Whoever asked may have stopped waiting.
        done.send(()).ok();
    }
}
