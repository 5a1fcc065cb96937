//! `list`: what this peer shares and fetches.

use super::{
    format,
    output::{Output, shown},
    reach::Reached,
};
use crate::{
    config::Settings,
    error::Failure,
    operation::{ShareInfo, ShareState},
};
use clap::Args;
use serde::Serialize;

/// List this peer's shares and unfinished downloads
#[derive(Debug, Args)]
pub(super) struct ListArgs {}

#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    #[serde(flatten)]
    share: &'a ShareInfo,
}

pub(super) async fn run(settings: &Settings, output: &mut Output) -> Result<(), Failure> {
    let reached = Reached::or_open(settings).await?;
    let shares = reached.list().await;
    reached.end().await?;
    print(&shares?, output)
}

/// Writes shares as a table, or one JSON object each.
pub(super) fn print(shares: &[ShareInfo], output: &mut Output) -> Result<(), Failure> {
    if output.is_json() {
        return shares.iter().try_for_each(|share| {
            output.object(&Line {
                event: "share",
                share,
            })
        });
    }
    if shares.is_empty() {
        return Ok(());
    }
    let head = ["HASH", "SIZE", "STATE", "NAME"].map(String::from).to_vec();
    let rows: Vec<_> = std::iter::once(head).chain(shares.iter().map(row)).collect();
    output.text(&format::table(&rows, &[false, true]))
}

fn row(share: &ShareInfo) -> Vec<String> {
    let state = match share.state {
        ShareState::Downloading | ShareState::Waiting | ShareState::Paused => match share.wanted {
            Some(wanted) => format!("{} {}", share.state, format::percent(share.bytes, wanted)),
            None => format!("{} {} here", share.state, format::size(share.bytes)),
        },
        state => state.to_string(),
    };
    vec![
        share.hash.to_string(),
        format::size(share.size),
        state,
        match &share.reason {
            Some(reason) => format!("{} ({})", shown(&share.name), shown(reason)),
            None => shown(&share.name),
        },
    ]
}
