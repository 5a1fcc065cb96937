//! The task beside each session that keeps the table of connections informed about it.
//!
//! Promises that what a session reports arrives in order, that its end arrives last and always, and that a table which was
//! rebuilt after a crash hears of the session again. So sessions know nothing of the table, and a crash of the table
//! touches no session.

use super::{
    actor::ConnectionManager,
    messages::{Introduce, Report},
};
use crate::p2p::session::{SessionHandle, Started, close::CloseReason, news::SessionNews};
use p2p_shared::supervision::{CallError, Handle, Incarnation};
use std::time::Duration;
use tokio::{sync::mpsc, time};

/// Pause before a report is tried again that the table was too busy for.
const PAUSE: Duration = Duration::from_millis(20);

/// Keeps `table` informed about a session until it ends. `seen` is the life of the table that knows it.
pub(super) async fn accompany(table: Handle<ConnectionManager>, mut seen: Incarnation, started: Started) {
    let Started {
        session,
        mut reports,
        closed,
    } = started;
    loop {
        tokio::select! {
            biased;
            news = reports.recv() => match news {
                Some(news) => report(&table, &session, news).await,
                // The session is gone, and has said why.
                None => {
                    let reason = closed.await.unwrap_or(CloseReason::Crashed);
                    return report(&table, &session, SessionNews::Closed(reason)).await;
                }
            },
            rebuilt = table.rebuilt_since(seen) => match rebuilt {
                Ok(incarnation) => {
                    seen = incarnation;
                    introduce(&table, &session).await;
                }
                // The program ends.
                Err(_) => return drain(reports).await,
            },
        }
    }
}

async fn drain(mut reports: mpsc::Receiver<SessionNews>) {
    while reports.recv().await.is_some() {}
}

async fn introduce(table: &Handle<ConnectionManager>, session: &SessionHandle) {
    let Some(info) = session.describe().await else {
        return;
    };
    insist(|| {
        let files = info.files.clone();
        let session = session.clone();
        table.call(Introduce { session, files })
    })
    .await;
}

async fn report(table: &Handle<ConnectionManager>, session: &SessionHandle, news: SessionNews) {
    insist(|| {
        let (session, news) = (session.about().session, news.clone());
        table.call(Report { session, news })
    })
    .await;
}

/// Until it is heard, or nobody is there to hear it: a table that crashed over it is told everything again anyway.
async fn insist<F: Future<Output = Result<(), CallError>>>(call: impl Fn() -> F) {
    while let Err(CallError::Busy) = call().await {
        time::sleep(PAUSE).await;
    }
}
