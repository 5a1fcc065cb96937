//! What a peer says to trackers: it registers, stays registered, announces what it holds, asks for files and peers.
//!
//! [`TrackerClientHandle`] holds what the trackers shall know ([`Announcement`]s); the TrackerClient actor drives every
//! tracker towards it ([`state`]) and is rebuilt from it after a crash. Whatever a tracker forgets, by a lease that ran
//! out or by a restart, it is told again. Questions go straight to the trackers, past the actor.
//!
//! Several trackers are told and asked side by side; one that is away costs the others nothing.

mod actor;
pub(crate) mod addresses;
mod calls;
mod errands;
mod error;
mod handle;
mod http;
mod messages;
mod probe;
mod query;
mod state;
mod status;
mod url;

pub use addresses::Told;
pub use error::CallError;
pub use handle::{Announced, TrackerClientHandle};
pub use query::{HandOut, QueryError};
pub use state::Announcement;
pub use status::{ClientStatus, TrackerStatus};
pub use url::{BadTrackerUrl, TrackerUrl};

use crate::{config::TrackerConfig, error::Failure};
use actor::{Parts, TrackerClient};

use http::Http;
use messages::{Leave, Wanted, Wish};
use p2p_shared::{
    crypto::identity::Identity,
    supervision::{ChildSpec, Supervisor},
};
use query::Queries;
use std::sync::Arc;
use tokio::sync::watch;

/// Starts the TrackerClient under `supervisor`. Registers with every configured tracker at once. `told` says which
/// addresses they are told.
pub fn start(
    supervisor: &mut Supervisor,
    config: &TrackerConfig,
    identity: Arc<Identity>,
    told: Told,
) -> Result<TrackerClientHandle, Failure> {
    let http = Http::new(config.api_key.as_ref(), config.proxy.as_ref())
        .map_err(|error| Failure::internal(format!("cannot make an HTTP client: {error}")))?;
    http.name(&config.urls);
    let configured = |tracker: &TrackerUrl| {
        let wish = Wish {
            configured: true,
            ..Wish::default()
        };
        (tracker.clone(), wish)
    };
    warn_of_open_keys(config);
    let (wanted, wanted_by_actor) = watch::channel(Wanted {
        trackers: config.urls.iter().map(configured).collect(),
        ..Wanted::default()
    });
    let (status, status_for_others) = watch::channel(ClientStatus::default());
    let parts = Parts {
        identity,
        http: http.clone(),
        told,
        wanted: wanted_by_actor,
        status,
    };
    let spec = ChildSpec::new("TrackerClient", move |_| TrackerClient::new(parts.clone())).before_stop(
        |client| async move {
            // No answer: no time to say goodbye, and the leases run out.
            client.call(Leave).await.ok();
        },
    );
    supervisor.start(spec);
    let queries = Queries {
        http,
        status: status_for_others,
    };
    Ok(TrackerClientHandle::new(wanted, queries))
}

/// A key that others can read on the way is worth a word.
fn warn_of_open_keys(config: &TrackerConfig) {
    let open = |tracker: &&TrackerUrl| !tracker.is_encrypted() && !tracker.is_loopback();
    if config.api_key.is_some()
        && let Some(tracker) = config.urls.iter().find(open)
    {
        tracing::warn!(%tracker, "the API key travels unencrypted; use an https:// address");
    }
}

#[cfg(test)]
mod tests;
