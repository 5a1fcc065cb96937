//! What happens while a peer seeds: how fast bytes go out, a source that changed, a tracker that went away.

use super::Orders;
use crate::{
    error::Failure,
    event::{EventSink, Progress},
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
    sent: Option<(Instant, u64)>,
}

impl Orders {
    /// Reports what happens while this peer seeds. Never returns while the peer runs.
    pub async fn watch(&self, sink: EventSink) -> Result<(), Failure> {
        let mut said = Said::default();
        loop {
            tokio::time::sleep(EVERY).await;
            self.report_changed(&mut said, &sink).await?;
            self.report_trackers(&mut said, &sink)?;
            self.report_rate(&mut said, &sink).await?;
        }
    }

    async fn report_changed(&self, said: &mut Said, sink: &EventSink) -> Result<(), Failure> {
        for share in self.parts.store.shares().await? {
            let Some(path) = share.changed else { continue };
            if said.changed.insert(path.clone()) {
                sink.warning(
                    "changed",
                    format!(
                        "{} is no longer what was shared; what changed is not sent, share it again for the new content",
                        path.display()
                    ),
                );
            }
        }
        Ok(())
    }

    fn report_trackers(&self, said: &mut Said, sink: &EventSink) -> Result<(), Failure> {
        let status = self.online()?.client.status();
        let errors: HashSet<String> = status
            .borrow()
            .trackers
            .values()
            .filter_map(|tracker| tracker.error.as_ref().map(ToString::to_string))
            .collect();
        for error in errors.difference(&said.trackers) {
            sink.warning("tracker", format!("{error}; trying again"));
        }
        said.trackers = errors;
        Ok(())
    }

    async fn report_rate(&self, said: &mut Said, sink: &EventSink) -> Result<(), Failure> {
        let sessions = self.sessions().await?;
        let sent = sessions.iter().map(|session| session.sent).sum();
        let now = Instant::now();
        let rate = match said.sent.replace((now, sent)) {
            Some((at, before)) if sent > before => ((sent - before) as f64 / (now - at).as_secs_f64()) as u64,
            _ => 0,
        };
        sink.progress(Progress {
            bytes: sent,
            total: sent,
            rate,
            eta: None,
            peers: sessions.len() as u32,
        });
        Ok(())
    }
}
