//! `id`: who this peer is.

use super::output::Output;
use crate::{config::Settings, error::Failure, operation::IdentityInfo, root::identity};
use clap::Args;
use serde::Serialize;

/// Print this peer's public key (made at first use)
///
/// Others know this peer by it. The secret half never leaves the data folder.
#[derive(Debug, Args)]
pub(super) struct IdArgs {}

#[derive(Serialize)]
struct Line {
    event: &'static str,
    #[serde(flatten)]
    identity: IdentityInfo,
}

pub(super) fn run(settings: &Settings, output: &mut Output) -> Result<(), Failure> {
    let identity = identity::load_or_create(&settings.data)?;
    let identity = IdentityInfo {
        peer_id: identity.peer_id(),
        public_key: identity.public_key(),
    };
    if output.is_json() {
        output.object(&Line {
            event: "id",
            identity,
        })
    } else {
        output.text(&identity.public_key.to_string())
    }
}
