//! What `pause`, `resume` and `remove` have in common: one share is found, something is done to it, and what it is then is said.

use super::{
    output::{Output, note, shown},
    reach::Reached,
};
use crate::{
    config::Settings,
    error::Failure,
    operation::{ShareInfo, find},
};
use serde::Serialize;

#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    #[serde(flatten)]
    share: &'a ShareInfo,
}

/// Does `act` to the share that a person means by `id`, whose whole hash it is told.
pub(super) async fn change(
    settings: &Settings,
    id: &str,
    act: impl AsyncFnOnce(&Reached, &str) -> Result<ShareInfo, Failure>,
) -> Result<ShareInfo, Failure> {
    let reached = Reached::or_open(settings).await?;
    let changed = async {
        // Found here: a ticket is longer than what an address may be.
        let shares = reached.list().await?;
        let hash = find(&shares, id)?.hash.to_string();
        act(&reached, &hash).await
    }
    .await;
    reached.end().await?;
    changed
}

/// Says that `event` happened to the share; `more` is for a person only.
pub(super) fn say(
    event: &'static str,
    share: &ShareInfo,
    more: &str,
    output: &mut Output,
) -> Result<(), Failure> {
    if output.is_json() {
        return output.object(&Line { event, share });
    }
    note(&format!("{event} {}{more}", shown(&share.name)));
    Ok(())
}
