//! Who is asked, and what is it: from a ticket or a bare hash to the record of a share.
//!
//! Promises that a tracker a person named is trusted from then on, and that a bare hash that nobody knows, or that nobody could be
//! asked about in time, is said to be so. Fetches nothing.

use super::{Orders, orders::Online, trackers};
use crate::{
    client::TrackerUrl,
    connection::Policy,
    error::Failure,
    event::{EventSink, Phase},
    operation::Wanted,
    selection::Selection,
};
use p2p_shared::{
    id::FileHash,
    manifest::{Manifest, ShareKind},
};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a bare hash waits for a tracker that does not answer, at most: without it there is nothing to wait for.
const TRACKER_PATIENCE: Duration = Duration::from_secs(10);

/// The pause before a tracker that did not answer is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// For ever, as a deadline: nobody waits a year for a peer.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// What a person asks for, in the words of a `get` or of a look at it.
pub(super) struct Question<'a> {
    pub(super) what: &'a Wanted,
    /// The trackers that were named with it.
    pub(super) trackers: &'a [TrackerUrl],
    /// Seconds; 0: for ever.
    pub(super) timeout: u64,
    /// By which paths it may come.
    pub(super) policy: Policy,
    pub(super) selection: &'a Selection,
}

/// A share that is known by its record, and where to look for it.
pub(super) struct Sought {
    pub(super) what: Wanted,
    pub(super) manifest: Manifest,
    /// Trackers that are asked and told.
    pub(super) told: Vec<TrackerUrl>,
    /// What is wanted of it; everything, if it is a single file.
    pub(super) selection: Selection,
    /// By which paths it may come.
    pub(super) policy: Policy,
    /// How long nobody may be reached.
    pub(super) patience: Duration,
    /// Until when the first peer has to be reached.
    pub(super) deadline: Instant,
}

impl Orders {
    /// Finds out what `question` is about.
    pub(super) async fn seek(&self, question: Question<'_>, sink: &EventSink) -> Result<Sought, Failure> {
        let online = self.online()?;
        let Question {
            what,
            trackers,
            timeout,
            policy,
            selection,
        } = question;
        self.trust(trackers).await?;
        sink.phase(Phase::Connecting);
        let patience = patience(timeout);
        let deadline = Instant::now() + patience;
        let told = told(what, trackers, &online.client.configured())?;
        let manifest = match what {
            Wanted::Ticket(ticket) => ticket.manifest.clone(),
            Wanted::Hash(hash) => look_up(online, hash, &told, deadline, sink).await?,
        };
        let selection = match manifest.kind {
            ShareKind::File => {
                selection.check_file(&manifest.name)?;
                Selection::default()
            }
            ShareKind::Folder => selection.clone(),
        };
        Ok(Sought {
            what: what.clone(),
            manifest,
            told,
            selection,
            policy,
            patience,
            deadline,
        })
    }
}

/// The trackers that are told of a download: the ticket's and those named with it; else those of the configuration.
fn told(what: &Wanted, named: &[TrackerUrl], configured: &[TrackerUrl]) -> Result<Vec<TrackerUrl>, Failure> {
    let of_ticket: Vec<TrackerUrl> = match what {
        Wanted::Ticket(ticket) => ticket
            .trackers
            .iter()
            .filter_map(|url| url.parse().ok())
            .collect(),
        Wanted::Hash(_) => Vec::new(),
    };
    let told = trackers::union(&[&of_ticket, named]);
    let told = if told.is_empty() {
        configured.to_vec()
    } else {
        told
    };
    match what {
        Wanted::Hash(hash) if told.is_empty() => Err(Failure::usage(format!(
            "the bare hash {hash} does not say where to look; add --tracker URL, or use the share's ticket"
        ))),
        _ => Ok(told),
    }
}

/// Seconds as they are given; 0: for ever.
fn patience(seconds: u64) -> Duration {
    match seconds {
        0 => FOR_EVER,
        seconds => Duration::from_secs(seconds).min(FOR_EVER),
    }
}

/// Asks for the record of a bare hash until somebody answers or the time is up.
async fn look_up(
    online: &Online,
    hash: &FileHash,
    trackers: &[TrackerUrl],
    deadline: Instant,
    sink: &EventSink,
) -> Result<Manifest, Failure> {
    let deadline = deadline.min(Instant::now() + TRACKER_PATIENCE);
    let mut warned = false;
    loop {
        let error = match online.client.file(hash, trackers).await {
            Ok(manifest) => return Ok(manifest),
            Err(error) => error,
        };
        if error.is_file_unknown() {
            let names: Vec<_> = trackers.iter().map(ToString::to_string).collect();
            return Err(Failure::not_found(format!(
                "no tracker knows {hash} (asked: {}); check the hash, or ask for the share's ticket",
                names.join(", ")
            )));
        }
        if !error.is_worth_retrying() || Instant::now() + ASK_AGAIN >= deadline {
            return Err(Failure::from(&error));
        }
        if !std::mem::replace(&mut warned, true) {
            sink.warning("tracker", format!("{error}; trying again"));
        }
        sleep(ASK_AGAIN).await;
    }
}
