//! Files: look, search, who has them, remove.

use super::{
    Api, audit, auth,
    error::{ApiError, Kind},
    path, to_the_end,
};
use crate::{
    registry::{
        Asker, Refused, RegistryError,
        elsewhere::{self, Viewpoint},
    },
    storage::{Search, StoredFile, Write, Written},
};
use actix_web::{HttpRequest, HttpResponse, web};
use p2p_shared::{
    id::FileHash,
    tracker_api::{FileMetadata, FilePeers, FileRecord, FilesPage},
};
use serde::Deserialize;

/// Files on one page if nobody says otherwise, and at most.
const PAGE: (u32, u32) = (50, 500);

/// Peers in one hand-out if nobody says otherwise, and at most (10 KiB and 40 KiB of JSON).
const HANDOUT: (u32, u32) = (50, 200);

/// Longest search text in bytes: the longest name.
const LONGEST_QUERY: usize = 255;

/// The query of a listing of files.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Listing {
    /// Part of the name in any case, or the beginning of a hash.
    #[serde(default)]
    #[param(max_length = 255)]
    query: String,
    /// The `next` of the page before.
    cursor: Option<i64>,
    /// Files on the page; 50 if not said.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// The catalogue, the newest first.
#[utoipa::path(
    get,
    path = "/api/files",
    tag = "files",
    params(Listing),
    responses((status = 200, description = "A page of it.", body = FilesPage))
)]
pub(super) async fn list(
    api: web::Data<Api>,
    request: HttpRequest,
) -> Result<web::Json<FilesPage>, ApiError> {
    let Listing { query, cursor, limit } = path::query(&request)?;
    if query.len() > LONGEST_QUERY {
        let detail = format!("the query has {} bytes, more than {LONGEST_QUERY}", query.len());
        return Err(ApiError::new(Kind::RequestInvalid, detail));
    }
    let search = Search {
        text: query,
        before: cursor,
        limit: path::limit(limit, PAGE.0, PAGE.1)?,
    };
    let page = api.store.files(search).await?;
    let hashes = page.items.iter().map(|stored| stored.file.hash).collect();
    let counts = counts(&api, hashes).await?;
    let records = page.items.iter().zip(counts);
    Ok(web::Json(FilesPage {
        files: records.map(|(stored, counts)| record(stored, counts)).collect(),
        next: page.next.map(|cursor| cursor.to_string()),
    }))
}

/// One file.
#[utoipa::path(
    get,
    path = "/api/files/{hash}",
    tag = "files",
    params(("hash" = FileHash, Path, description = "The file.")),
    responses((status = 200, description = "What is known of it.", body = FileRecord))
)]
pub(super) async fn one(
    api: web::Data<Api>,
    request: HttpRequest,
) -> Result<web::Json<FileRecord>, ApiError> {
    let hash: FileHash = path::segment(&request, "hash")?;
    let stored = find(&api, &hash).await?;
    let counts = counts(&api, vec![hash]).await?;
    Ok(web::Json(record(
        &stored,
        counts.first().copied().unwrap_or_default(),
    )))
}

/// Seeders and leechers of files, wherever they are at home.
async fn counts(api: &Api, hashes: Vec<FileHash>) -> Result<Vec<(u32, u32)>, ApiError> {
    let mut counts = api.registry.counts(hashes.clone()).await?;
    api.others.add_counts(hashes, &mut counts).await;
    Ok(counts)
}

/// The record of a file that has to be there.
pub(super) async fn find(api: &Api, hash: &FileHash) -> Result<StoredFile, ApiError> {
    let stored = api.store.file(*hash).await?;
    stored.ok_or_else(|| ApiError::file_unknown(hash))
}

fn record(stored: &StoredFile, (seeders, leechers): (u32, u32)) -> FileRecord {
    FileRecord {
        file: FileMetadata::from(&stored.file),
        chunks: stored.file.layout().chunks(),
        seeders,
        leechers,
        announced_at: stored.announced_at / 1000,
    }
}

/// The query of a hand-out.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct HowMany {
    /// Peers at most; 50 if not said.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// Some peers that have a file, wholly or in part. Who shows the token of its registration is not among them.
#[utoipa::path(
    get,
    path = "/api/files/{hash}/peers",
    tag = "files",
    params(("hash" = FileHash, Path, description = "The file."), HowMany),
    security(("api_key" = []), ("api_key" = [], "peer_token" = [])),
    responses((status = 200, description = "The peers.", body = FilePeers))
)]
pub(super) async fn peers(
    api: web::Data<Api>,
    request: HttpRequest,
) -> Result<web::Json<FilePeers>, ApiError> {
    let hash: FileHash = path::segment(&request, "hash")?;
    let HowMany { limit } = path::query(&request)?;
    let limit = path::limit(limit, HANDOUT.0, HANDOUT.1)?;
    let asker = Asker {
        session: path::session_if_any(&api, &request)?,
        address: path::observed(&request)?,
    };
    let random = random()?;
    let limit = limit as usize;
    let chosen = match api.registry.choose_peers(hash, asker, limit, random).await {
        Err(RegistryError::Refused(Refused::FileUnknown)) if api.store.is_shared() => {
            // Announced at another tracker, perhaps.
            let stored = find(&api, &hash).await?;
            api.registry.add_file(hash, stored.file.size).await?;
            api.registry.choose_peers(hash, asker, limit, random).await
        }
        chosen => chosen,
    };
    let viewpoint = Viewpoint {
        peer: asker.session.map(|session| session.peer),
        address: asker.address,
    };
    let handout = elsewhere::join(chosen?, &*api.others.swarm(hash).await, viewpoint, limit);
    Ok(web::Json(FilePeers {
        hash,
        peers: handout.peers,
        seeders: handout.seeders,
        leechers: handout.leechers,
        interval: api.ask_again(),
    }))
}

fn random() -> Result<u64, ApiError> {
    getrandom::u64().map_err(|error| {
        tracing::error!(%error, "no randomness");
        ApiError::internal()
    })
}

/// Takes a file out of the catalogue.
///
/// Only an operator, or the peer that announced the file first, takes it out of the catalogue.
#[utoipa::path(
    delete,
    path = "/api/files/{hash}",
    tag = "files",
    params(("hash" = FileHash, Path, description = "The file.")),
    security(("api_key" = []), ("api_key" = [], "peer_token" = [])),
    responses((status = 204, description = "It is out of the catalogue."))
)]
pub(super) async fn remove(api: web::Data<Api>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let hash: FileHash = path::segment(&request, "hash")?;
    let session = path::session_if_any(&api, &request)?;
    let stored = find(&api, &hash).await?;
    let allowed = match session {
        // Who shows a token acts as that peer, whatever key comes with it.
        Some(session) => api.registry.key_of(session).await? == stored.announced_by,
        None => auth::is_admin(&request),
    };
    if !allowed {
        let detail = format!(
            "file {hash} was announced by another peer; only that peer, or an API key of scope admin, removes it"
        );
        return Err(ApiError::new(Kind::NotYours, detail));
    }
    let act = match session {
        Some(_) => None,
        None => Some(audit::Act::of(&api, &request, "file.remove", &hash.to_string())?),
    };
    let api = api.get_ref().clone();
    to_the_end(async move {
        if let Some(act) = act {
            act.record(&api).await?;
        }
        if api.writer.commit(Write::RemoveFile(hash)).await? == Written::Missing {
            return Err(ApiError::file_unknown(&hash));
        }
        Ok(api.registry.remove_file(hash).await?)
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}
