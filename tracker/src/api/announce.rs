//! `POST /api/files/announce`.

use super::{
    Api, body,
    error::{ApiError, Kind},
    path, to_the_end,
};
use crate::{
    catalogue::announce::{Announcing, Progress, Run},
    registry::swarm::Role,
};
use actix_web::{HttpRequest, web};
use p2p_shared::{
    manifest::Manifest,
    tracker_api::{AnnounceRequest, AnnounceResponse, ChunkHashes, FileMetadata, Have},
};
use std::{sync::Arc, time::Duration};
use tokio::sync::OwnedSemaphorePermit;

/// Seconds until a peer should repeat what it holds. Its membership lasts as long as its lease; repeating only mends
/// what was lost.
const REPEAT: u32 = 600;

/// How long a large announcement waits for its turn.
const TURN: Duration = Duration::from_secs(10);

pub(super) async fn announce(
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<web::Json<AnnounceResponse>, ApiError> {
    let session = path::session(&api, &request)?;
    // Before the body: nobody without a registration makes the tracker read 4 MiB.
    let key = api.registry.key_of(session).await?;
    let _turn = turn_for_large(&api, &request).await?;
    let announcement = body::json(&request, payload, body::ANNOUNCEMENT).await?;
    let announcing = Announcing {
        registry: api.registry.clone(),
        writer: api.writer.clone(),
        store: Arc::clone(&api.store),
        clock: api.clock,
        session,
        key,
    };
    let progress = to_the_end(carry_out(announcing, announcement)).await?;
    Ok(web::Json(response(progress)))
}

/// A turn to send a large body (or one of unknown length); small ones need none.
async fn turn_for_large(api: &Api, request: &HttpRequest) -> Result<Option<OwnedSemaphorePermit>, ApiError> {
    if body::announced_length(request)?.is_some_and(|length| length <= body::SMALL as u64) {
        return Ok(None);
    }
    let turn = Arc::clone(&api.large_bodies).acquire_owned();
    match tokio::time::timeout(TURN, turn).await {
        Ok(Ok(turn)) => Ok(Some(turn)),
        _ => {
            let detail = "too many large announcements at once; ask again in a second";
            Err(ApiError::new(Kind::Busy, detail))
        }
    }
}

async fn carry_out(announcing: Announcing, announcement: AnnounceRequest) -> Result<Progress, ApiError> {
    let hash = announcement.hash;
    let role = match announcement.have {
        Have::Seeder => Some(Role::Seeder),
        Have::Partial => Some(Role::Leecher),
        Have::Stopped => None,
    };
    Ok(match announcement.file {
        Some(file) => {
            let run = run(announcement.chunk_hashes)?;
            announcing.file(manifest(file, hash)?, run, role).await?
        }
        None => announcing.have(hash, role).await?,
    })
}

fn manifest(file: FileMetadata, hash: p2p_shared::id::FileHash) -> Result<Manifest, ApiError> {
    if file.hash != hash {
        let detail = format!(
            "the announcement is of file {hash}, its metadata of file {}",
            file.hash
        );
        return Err(ApiError::new(Kind::FileInvalid, detail));
    }
    Manifest::try_from(file).map_err(|error| ApiError::new(Kind::FileInvalid, error.to_string()))
}

fn run(chunk_hashes: Option<ChunkHashes>) -> Result<Run, ApiError> {
    let Some(chunk_hashes) = chunk_hashes else {
        return Ok(Run::default());
    };
    let hashes = chunk_hashes.hashes();
    Ok(Run {
        first: chunk_hashes.first,
        hashes: hashes.map_err(|error| ApiError::new(Kind::RequestInvalid, error.to_string()))?,
    })
}

fn response(progress: Progress) -> AnnounceResponse {
    match progress {
        Progress::Complete { chunks } => AnnounceResponse {
            complete: true,
            next_chunk: chunks,
            interval: REPEAT,
        },
        Progress::Wanted { next_chunk } => AnnounceResponse {
            complete: false,
            next_chunk,
            interval: 1,
        },
    }
}
