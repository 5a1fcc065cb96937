//! What happens while a peer seeds: how fast bytes go out, a source that changed, a tracker that went away.

use super::Orders;
use crate::{
    client::ClientStatus,
    error::Failure,
    event::{EventSink, Progress},
    operation::SessionLine,
    storage::ShareInfo,
};
use std::{
    collections::HashSet,
    path::PathBuf,
    time::{Duration, Instant},
};

/// How often to look. A person watches; nothing depends on it.
const EVERY: Duration = Duration::from_millis(500);

/// What was said already, so that it is said once.
#[derive(Default)]
struct Said {
    changed: HashSet<PathBuf>,
    trackers: HashSet<String>,
    /// When how many bytes had been sent to how many peers.
    sent: Option<(Instant, u64, u32)>,
    /// Bytes went out at the last look: that they stopped is worth a word.
    moving: bool,
}

impl Orders {
    /// Reports what happens while this peer seeds. Never returns while the peer runs.
    pub async fn watch(&self, sink: EventSink) -> Result<(), Failure> {
        let online = self.online()?;
        let mut said = Said::default();
        loop {
            tokio::time::sleep(EVERY).await;
            said.report_trackers(&online.client.status().borrow(), &sink);
            // A part that does not answer is being rebuilt; the next look finds it.
            if let Ok(shares) = self.parts.store.shares().await {
                said.report_changed(shares, &sink);
            }
            if let Ok(sessions) = self.sessions().await {
                said.report_rate(&sessions, &sink);
            }
        }
    }
}

impl Said {
    fn report_changed(&mut self, shares: Vec<ShareInfo>, sink: &EventSink) {
        for path in shares.into_iter().filter_map(|share| share.changed) {
            let message = format!(
                "{} is no longer what was shared; what changed is not sent, share it again for the new content",
                path.display()
            );
            if self.changed.insert(path) {
                sink.warning("changed", message);
            }
        }
    }

    fn report_trackers(&mut self, status: &ClientStatus, sink: &EventSink) {
        let errors = status
            .trackers
            .values()
            .filter_map(|tracker| tracker.error.as_ref());
        let errors: HashSet<String> = errors.map(ToString::to_string).collect();
        for error in errors.difference(&self.trackers) {
            sink.warning("tracker", format!("{error}; trying again"));
        }
        self.trackers = errors;
    }

    /// Says how fast bytes go out, as long as they do, and when peers come or go.
    fn report_rate(&mut self, sessions: &[SessionLine], sink: &EventSink) {
        let (now, sent) = (Instant::now(), sessions.iter().map(|session| session.sent).sum());
        let peers = sessions.len() as u32;
        let Some((at, before, peers_before)) = self.sent.replace((now, sent, peers)) else {
            return;
        };
        let more: u64 = u64::saturating_sub(sent, before);
        let moved = std::mem::replace(&mut self.moving, more > 0) || more > 0;
        if moved || peers != peers_before {
            sink.progress(Progress {
                bytes: sent,
                total: sent,
                rate: (more as f64 / (now - at).as_secs_f64()) as u64,
                eta: None,
                peers,
            });
        }
    }
}
