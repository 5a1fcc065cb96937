//! The task beside each session that keeps the table of connections informed about it.
//!
//! Promises that the session is introduced first, that what it reports arrives in order, and that its end arrives last and
//! always; and that the roster, from which a crashed table is rebuilt, knows all of it before the table does. So
//! sessions know nothing of the table, and a crash of the table touches no session.

use super::{
    actor::ConnectionManager,
    messages::{Introduce, Report},
    roster::SharedRoster,
    state::SessionId,
};
use crate::p2p::session::{Started, close::CloseReason, news::SessionNews};
use p2p_shared::supervision::{CallError, Handle};
use std::time::Duration;
use tokio::{sync::oneshot, time};

/// Pause before a report is tried again that the table was too busy for.
const PAUSE: Duration = Duration::from_millis(20);

/// Keeps `roster` and `table` informed about a session until it ends; `introduced` hears when the table has decided about it.
pub(super) async fn accompany(
    table: Handle<ConnectionManager>,
    roster: SharedRoster,
    started: Started,
    introduced: oneshot::Sender<()>,
) {
    let Started {
        session,
        mut reports,
        closed,
    } = started;
    let id = session.about().session;
    insist(|| table.call(Introduce(session.clone()))).await;
    // Whoever brought it here may have gone.
    introduced.send(()).ok();
    while let Some(news) = reports.recv().await {
        report(&table, &roster, id, news).await;
    }
    // The session is gone, and has said why.
    let reason = closed.await.unwrap_or(CloseReason::Crashed);
    report(&table, &roster, id, SessionNews::Closed(reason)).await;
}

async fn report(
    table: &Handle<ConnectionManager>,
    roster: &SharedRoster,
    session: SessionId,
    news: SessionNews,
) {
    roster.look().on_news(session, &news);
    insist(|| {
        let news = news.clone();
        table.call(Report { session, news })
    })
    .await;
}

/// Until it is heard, or nobody is there to hear it: a table that crashed over it is rebuilt from the roster, which
/// knows it already.
pub(super) async fn insist<F: Future<Output = Result<(), CallError>>>(call: impl Fn() -> F) {
    while let Err(CallError::Busy) = call().await {
        time::sleep(PAUSE).await;
    }
}
