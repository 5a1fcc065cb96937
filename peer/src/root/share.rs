//! `share`: a path becomes a share that the trackers know, and a ticket.

use super::{Orders, meter::Meter, tickets, trackers};
use crate::{
    client::{Announced, Announcement, TrackerUrl},
    config::Mode,
    error::Failure,
    event::{Event, EventSink, Phase, TicketLine},
    operation::ShareRequest,
    storage::{FolderId, HashOptions, Import, ScanOptions, hash, share_scan},
};
use p2p_shared::{hash::HashAlgorithm, tracker_api::Have};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// How long a ticket waits for the trackers to know the share: long enough for one that is just starting.
const TRACKER_PATIENCE: Duration = Duration::from_secs(5);

impl Orders {
    /// Makes each path of `request` a share of its own, tells the trackers, and reports the tickets. Seeding goes on
    /// after this returns, for as long as the peer runs.
    ///
    /// A tracker that cannot be told is a warning; if none could be, it is a failure of a peer that runs for this share
    /// alone.
    pub async fn share(&self, request: ShareRequest, sink: EventSink) -> Result<(), Failure> {
        self.trust(&request.trackers).await?;
        let told = trackers::union(&[&self.online()?.client.configured(), &request.trackers]);
        for path in request.paths {
            sink.phase(Phase::Hashing);
            let import = self
                .import(path, request.algorithm, request.skip_unreadable, &sink)
                .await?;
            let line = self.share_import(import, &told, &sink).await?;
            sink.send(Event::Ticket(line));
        }
        sink.phase(Phase::Seeding);
        Ok(())
    }

    /// Reads what is at `path`. Dropping the future stops that; what was hashed is kept.
    async fn import(
        &self,
        path: PathBuf,
        algorithm: HashAlgorithm,
        skip_unreadable: bool,
        sink: &EventSink,
    ) -> Result<Import, Failure> {
        let cancel = CancellationToken::new();
        let _stops_when_dropped = cancel.clone().drop_guard();
        let (cache, sink) = (self.parts.store.cache().clone(), sink.clone());
        let data = &self.parts.data;
        let own_data = FolderId::of(data).map_err(|error| Failure::io("look at", data, &error))?;
        let options = ScanOptions {
            skip_unreadable,
            own_data: Some(own_data),
        };
        let work = move || {
            let plan = share_scan(&path, options)?;
            for skipped in plan.skipped() {
                sink.warning("skipped", format!("not shared: {skipped}"));
            }
            let meter = Meter::new(plan.size(), sink);
            let options = HashOptions {
                algorithm,
                cache: Some(&cache),
                progress: &|bytes| meter.at(bytes),
                cancel: &cancel,
            };
            hash(plan, options)
        };
        let import = tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| Failure::internal(format!("hashing crashed: {error}")))?;
        Ok(import?)
    }

    async fn share_import(
        &self,
        import: Import,
        told: &[TrackerUrl],
        sink: &EventSink,
    ) -> Result<TicketLine, Failure> {
        let online = self.online()?;
        let (manifest, hashes) = (import.manifest.clone(), import.hashes.clone());
        self.keep_open(self.parts.store.add_share(import).await?);
        self.parts.book.set(manifest.hash, told).await?;
        let announcement = Announcement {
            manifest: Arc::new(manifest.clone()),
            hashes: Some(hashes),
            have: Have::Seeder,
            fresh: true,
        };
        online.client.announce(announcement, told);
        let outcomes = online
            .client
            .announced(&manifest.hash, told, TRACKER_PATIENCE)
            .await;
        self.judge(&outcomes, sink)?;
        let ticket = tickets::make(manifest.clone(), &online.maker(), told).await;
        Ok(TicketLine {
            ticket: ticket.to_string(),
            hash: manifest.hash,
            size: manifest.size,
            name: manifest.name.to_string(),
        })
    }

    /// What is to be said of trackers that do not know the share.
    fn judge(&self, outcomes: &Announced, sink: &EventSink) -> Result<(), Failure> {
        let failures: Vec<Failure> = outcomes
            .iter()
            .filter_map(|(_, outcome)| outcome.as_ref().err().map(Failure::from))
            .collect();
        let all_failed = !failures.is_empty() && failures.len() == outcomes.len();
        match failures.into_iter().next() {
            Some(first) if all_failed && self.parts.mode == Mode::OnDemand => Err(first),
            _ => {
                for (_, outcome) in outcomes {
                    if let Err(error) = outcome {
                        sink.warning("tracker", format!("{error}; it is told as soon as it answers"));
                    }
                }
                Ok(())
            }
        }
    }
}
