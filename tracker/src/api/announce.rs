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

/// Tells what a peer holds of a file. The same again changes nothing.
#[utoipa::path(
    post,
    path = "/api/files/announce",
    tag = "files",
    request_body = AnnounceRequest,
    security(("api_key" = [], "peer_token" = [])),
    responses((status = 200, description = "What the tracker has now.", body = AnnounceResponse))
)]
pub(super) async fn announce(
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<web::Json<AnnounceResponse>, ApiError> {
    let progress = take(&api, &request, payload).await;
    api.metrics.announced(match &progress {
        Ok(Progress::Complete { .. }) => "complete",
        Ok(Progress::Wanted { .. }) => "wanted",
        Err(_) => "refused",
    });
    progress.map(|progress| web::Json(response(progress)))
}

async fn take(api: &Api, request: &HttpRequest, payload: web::Payload) -> Result<Progress, ApiError> {
    let session = path::session(api, request)?;
    // Before the body: nobody without a registration makes the tracker read 4 MiB.
    let key = api.registry.key_of(session).await?;
    let turn = turn_for_large(api, request).await?;
    let announcement = body::json(request, payload, body::ANNOUNCEMENT).await?;
    let announcing = Announcing {
        registry: api.registry.clone(),
        writer: api.writer.clone(),
        store: Arc::clone(&api.store),
        clock: api.clock,
        session,
        key,
    };
    to_the_end(async move {
        // Its hashes stay in the memory until this ends, also when the caller goes away.
        let _turn = turn;
        carry_out(announcing, announcement).await
    })
    .await
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::LARGE_BODIES,
        testing::{content, file_of, live::Live},
    };
    use actix_web::{App, test};
    use p2p_shared::{hash::HashAlgorithm, id::PublicKey};
    use std::{future::poll_fn, task::Poll};

    fn large_announcement() -> AnnounceRequest {
        let (file, hashes) = file_of(HashAlgorithm::Sha256, &content(1, 600_000));
        let mut announcement = AnnounceRequest {
            hash: file.hash,
            have: Have::Seeder,
            file: Some(FileMetadata::from(&file)),
            chunk_hashes: Some(ChunkHashes::new(0, &hashes)),
        };
        // No base64: it is read and refused, whatever its length.
        let digests = &mut announcement.chunk_hashes.as_mut().unwrap().digests;
        *digests = "!".repeat(body::SMALL);
        announcement
    }

    #[actix_rt::test]
    async fn the_turn_of_a_large_announcement_lasts_until_its_work_is_done() {
        let live = Live::start(Vec::new()).await;
        let session = live.register(PublicKey([7; 32])).await;
        let api = live.api();
        let token = api.tokens.issue(session);
        let turns = Arc::clone(&api.large_bodies);
        let app = App::new()
            .app_data(web::Data::new(api))
            .configure(crate::api::configure);
        let app = test::init_service(app).await;
        let request = test::TestRequest::post()
            .uri("/api/files/announce")
            .insert_header(("Authorization", format!("Bearer {token}")))
            .set_json(large_announcement())
            .insert_header(("Content-Length", (body::SMALL + 1).to_string()));

        let mut call = Box::pin(test::call_service(&app, request.to_request()));
        poll_fn(|cx| {
            let ended = call.as_mut().poll(cx).is_ready();
            assert!(!ended, "it ended before its turn was seen");
            let took_turn = turns.available_permits() < LARGE_BODIES;
            if took_turn { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        // The caller goes away while the work goes on.
        drop(call);
        assert_eq!(turns.available_permits(), LARGE_BODIES - 1);
        // And gives it back when that is done.
        drop(turns.acquire_many(LARGE_BODIES as u32).await.unwrap());
    }
}
