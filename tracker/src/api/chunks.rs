//! `GET /api/files/{hash}/chunks`: the chunk hashes of a file, as pages of JSON or as bare bytes.
//!
//! The bytes are 32 a chunk in order and never change, so they carry a strong `ETag` (the Merkle root) and honour
//! `Range` and `If-Range`. They are read from the store as the caller takes them: a list of 128 MiB costs no more memory
//! than one page of it.

use super::{
    Api, compress,
    error::{ApiError, Kind},
    files, path,
    range::{self, Wanted},
};
use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    body::SizedStream,
    http::header::{self, HeaderMap, HeaderName},
    web,
};
use bytes::Bytes;
use futures_util::{Stream, stream};
use p2p_shared::{
    id::{ChunkIndex, FileHash},
    manifest::Manifest,
    tracker_api::{ChunkInfo, ChunksPage, DIGESTS_MEDIA_TYPE},
};
use serde::Deserialize;
use std::{ops::Range, sync::Arc};

/// Chunks on one page if nobody says otherwise, and at most (a chunk is 110 bytes of JSON).
const PAGE: (u32, u32) = (1000, 10_000);

/// Digests read from the store at a time: 256 KiB.
const READ: u64 = 8192;

/// Bytes of a digest.
const DIGEST: u64 = 32;

/// The query of a listing of chunks.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Listing {
    /// The chunk that the page begins with; of JSON only.
    #[serde(default)]
    first: u32,
    /// Chunks on the page, 1,000 if not said; of JSON only.
    #[param(minimum = 1, maximum = 10_000)]
    limit: Option<u32>,
    /// If not said, what `Accept` asks for.
    #[param(inline)]
    format: Option<Format>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    Json,
    Bytes,
}

/// The chunk hashes of a file: pages of JSON, or 32 bytes a chunk, of which ranges may be asked for.
#[utoipa::path(
    get,
    path = "/api/files/{hash}/chunks",
    tag = "files",
    params(("hash" = FileHash, Path, description = "The file."), Listing),
    responses(
        (status = 200, description = "The chunks.", content((ChunksPage = "application/json"), (String = "application/octet-stream"))),
        (status = 206, description = "The range of the bytes.", content_type = "application/octet-stream", body = String),
        (status = 304, description = "The caller has these bytes.")
    )
)]
pub(super) async fn chunks(api: web::Data<Api>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let hash: FileHash = path::segment(&request, "hash")?;
    let listing: Listing = path::query(&request)?;
    let file = files::find(&api, &hash).await?.file;
    let format = listing.format.unwrap_or_else(|| accepted(request.headers()));
    if format == Format::Bytes {
        return as_bytes(&api, &file, request.headers());
    }
    let limit = path::limit(listing.limit, PAGE.0, PAGE.1)?;
    Ok(HttpResponse::Ok().json(page(&api, &file, listing.first, limit).await?))
}

/// Bytes for whoever asks for them by name, JSON for everybody else.
fn accepted(headers: &HeaderMap) -> Format {
    let bytes = text(headers, &header::ACCEPT).is_some_and(|accept| accept.contains(DIGESTS_MEDIA_TYPE));
    if bytes { Format::Bytes } else { Format::Json }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

async fn page(api: &Api, file: &Manifest, first: u32, limit: u32) -> Result<ChunksPage, ApiError> {
    let layout = file.layout();
    let chunks = layout.chunks();
    if first > chunks {
        let detail = format!("the file has {chunks} chunks; there is none from {first} on");
        return Err(ApiError::new(Kind::RequestInvalid, detail));
    }
    let end = chunks.min(first.saturating_add(limit));
    let digests = api.store.digests(file.hash, first..end).await?;
    let digests = digests.ok_or_else(|| ApiError::file_unknown(&file.hash))?;
    let infos = (first..end)
        .map(ChunkIndex)
        .zip(digests)
        .map(|(index, hash)| ChunkInfo {
            index,
            hash,
            size: layout.length(index),
        });
    Ok(ChunksPage {
        hash: file.hash,
        chunks: infos.collect(),
        next: (end < chunks).then_some(end),
    })
}

fn as_bytes(api: &Api, file: &Manifest, headers: &HeaderMap) -> Result<HttpResponse, ApiError> {
    let length = u64::from(file.layout().chunks()) * DIGEST;
    let tag = format!("\"{}\"", file.merkle_root);
    if text(headers, &header::IF_NONE_MATCH).is_some_and(|tags| tags.contains(&tag)) {
        return Ok(HttpResponse::NotModified()
            .insert_header((header::ETAG, tag))
            .finish());
    }
    // With another version in hand the caller wants all of this one (RFC 9110 section 13.1.5).
    let same = text(headers, &header::IF_RANGE).is_none_or(|known| known == tag);
    let (mut response, part) = match range::wanted(text(headers, &header::RANGE).filter(|_| same), length) {
        Wanted::Whole => (HttpResponse::Ok(), 0..length),
        Wanted::Part(part) => {
            let content_range = format!("bytes {}-{}/{length}", part.start, part.end - 1);
            (partial(content_range), part)
        }
        Wanted::Nothing => {
            let detail = format!("the chunk hashes are {length} bytes");
            return Err(ApiError::new(Kind::RangeNotSatisfiable, detail)
                .with_header(header::CONTENT_RANGE, &format!("bytes */{length}")));
        }
    };
    response
        .content_type(DIGESTS_MEDIA_TYPE)
        .insert_header((header::ACCEPT_RANGES, "bytes"))
        .insert_header((header::CONTENT_ENCODING, compress::AS_IT_IS))
        .insert_header((header::ETAG, tag));
    let size = part.end - part.start;
    Ok(response.body(SizedStream::new(size, read(api, file.hash, part))))
}

fn partial(content_range: String) -> HttpResponseBuilder {
    let mut response = HttpResponse::PartialContent();
    response.insert_header((header::CONTENT_RANGE, content_range));
    response
}

/// The bytes of a range of the digests, read as they are taken.
fn read(api: &Api, hash: FileHash, part: Range<u64>) -> impl Stream<Item = Result<Bytes, ApiError>> + use<> {
    let store = Arc::clone(&api.store);
    stream::try_unfold(part, move |part| {
        let store = Arc::clone(&store);
        async move {
            if part.is_empty() {
                return Ok(None);
            }
            let first = part.start / DIGEST;
            let end = part.end.div_ceil(DIGEST).min(first + READ);
            let digests = store.digests(hash, first as u32..end as u32).await?;
            let digests = digests.filter(|digests| digests.len() as u64 == end - first);
            // Removed while it was read: the caller sees a body that is too short.
            let digests = digests.ok_or_else(|| ApiError::file_unknown(&hash))?;
            let bytes: Bytes = digests.iter().flat_map(|digest| digest.0).collect();
            let (from, to) = (
                part.start - first * DIGEST,
                part.end.min(end * DIGEST) - first * DIGEST,
            );
            let bytes = bytes.slice(from as usize..to as usize);
            let rest = part.start + bytes.len() as u64..part.end;
            Ok(Some((bytes, rest)))
        }
    })
}
