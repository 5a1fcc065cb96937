//! Every way a call can fail, and the problem document (RFC 9457) that says so.
//!
//! The only file that knows which failure is which HTTP status. A detail says what happened, to what, and what to do; it
//! never carries what the caller may not know (paths, SQL, other peers' addresses): those go to the log.

use crate::{
    access::order::BadOrder,
    catalogue::{announce::AnnounceError, record::RecordError},
    registry::{Refused, RegistryError, address::BadAddress},
    storage::{StoreError, writer::CommitError},
};
use actix_web::{
    HttpResponse, HttpResponseBuilder, ResponseError,
    http::{
        StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
};
use p2p_shared::{
    id::{FileHash, PeerId},
    tracker_api::{PROBLEM_MEDIA_TYPE, Problem, slug},
};
use std::{fmt, time::Duration};

/// Seconds after which a caller who met a busy or restarting tracker should ask again.
const RETRY_AFTER: &str = "1";

/// What kind of failure it is: this decides status, slug and title.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    RequestInvalid,
    BodyNotJson,
    BodyTooLarge,
    NoSuchRoute,
    MethodNotAllowed,
    PeerUnknown,
    FileUnknown,
    TokenMissing,
    TokenInvalid,
    ChallengeExpired,
    ProofWrong,
    ApiKeyInvalid,
    ScopeMissing,
    NotYours,
    MetadataDiffers,
    FileInvalid,
    MerkleRootWrong,
    AddressRefused,
    TooMany,
    RateLimited,
    KeyUnknown,
    KeyInUrl,
    HeadTooLarge,
    PeerBanned,
    RangeNotSatisfiable,
    WrongHost,
    OriginRefused,
    UpgradeRequired,
    TooSlow,
    Busy,
    Stopping,
    StoreFailing,
    Internal,
}

impl Kind {
    /// Status, slug, title.
    fn describe(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::RequestInvalid => (
                S::BAD_REQUEST,
                slug::REQUEST_INVALID,
                "The request cannot be read",
            ),
            Self::BodyNotJson => (
                S::UNSUPPORTED_MEDIA_TYPE,
                "body-not-json",
                "The body has to be JSON",
            ),
            Self::BodyTooLarge => (S::PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large"),
            Self::NoSuchRoute => (S::NOT_FOUND, "no-such-route", "There is nothing at this path"),
            Self::MethodNotAllowed => (
                S::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "The path has no such method",
            ),
            Self::PeerUnknown => (
                S::NOT_FOUND,
                slug::PEER_UNKNOWN,
                "This tracker does not know the peer",
            ),
            Self::FileUnknown => (
                S::NOT_FOUND,
                slug::FILE_UNKNOWN,
                "This tracker does not know the file",
            ),
            Self::TokenMissing => (S::UNAUTHORIZED, "token-missing", "A peer's token is needed"),
            Self::TokenInvalid => (
                S::UNAUTHORIZED,
                slug::TOKEN_INVALID,
                "The peer's token is not valid",
            ),
            Self::ChallengeExpired => (
                S::UNAUTHORIZED,
                slug::CHALLENGE_EXPIRED,
                "The challenge is not open",
            ),
            Self::ProofWrong => (
                S::FORBIDDEN,
                slug::PROOF_WRONG,
                "The proof does not match the key",
            ),
            Self::ApiKeyInvalid => (S::UNAUTHORIZED, slug::API_KEY_INVALID, "An API key is needed"),
            Self::ScopeMissing => (S::FORBIDDEN, slug::SCOPE_MISSING, "The API key may not do this"),
            Self::NotYours => (S::FORBIDDEN, "not-yours", "Nobody acts in another's name"),
            Self::MetadataDiffers => (
                S::CONFLICT,
                slug::METADATA_DIFFERS,
                "The file is known under other metadata",
            ),
            Self::FileInvalid => (
                S::UNPROCESSABLE_ENTITY,
                "file-invalid",
                "The file record contradicts itself",
            ),
            Self::MerkleRootWrong => (
                S::UNPROCESSABLE_ENTITY,
                slug::MERKLE_ROOT_WRONG,
                "The chunk hashes do not belong to the file",
            ),
            Self::AddressRefused => (
                S::UNPROCESSABLE_ENTITY,
                "address-refused",
                "An address cannot be handed to other peers",
            ),
            Self::TooMany => (
                S::TOO_MANY_REQUESTS,
                "too-many",
                "There are too many of these already",
            ),
            Self::RateLimited => (
                S::TOO_MANY_REQUESTS,
                slug::RATE_LIMITED,
                "There are too many requests",
            ),
            Self::KeyUnknown => (S::NOT_FOUND, "key-unknown", "There is no such API key"),
            Self::KeyInUrl => (S::BAD_REQUEST, "key-in-url", "Secrets do not belong in a URL"),
            Self::HeadTooLarge => (
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "head-too-large",
                "The head of the request is too large",
            ),
            Self::PeerBanned => (S::FORBIDDEN, slug::PEER_BANNED, "The peer is banned"),
            Self::RangeNotSatisfiable => (
                S::RANGE_NOT_SATISFIABLE,
                "range-not-satisfiable",
                "The range lies outside of the content",
            ),
            Self::WrongHost => (
                S::MISDIRECTED_REQUEST,
                "wrong-host",
                "This is not the host that was asked",
            ),
            Self::OriginRefused => (
                S::FORBIDDEN,
                "origin-refused",
                "Pages of other sites are not served",
            ),
            Self::UpgradeRequired => (
                S::UPGRADE_REQUIRED,
                "upgrade-required",
                "A WebSocket is spoken here",
            ),
            Self::TooSlow => (S::REQUEST_TIMEOUT, "too-slow", "The request took too long"),
            Self::Busy => (S::SERVICE_UNAVAILABLE, slug::BUSY, "The tracker is busy"),
            Self::Stopping => (S::SERVICE_UNAVAILABLE, slug::BUSY, "The tracker is shutting down"),
            Self::StoreFailing => (
                S::SERVICE_UNAVAILABLE,
                "store-failing",
                "The tracker cannot reach its catalogue",
            ),
            Self::Internal => (
                S::INTERNAL_SERVER_ERROR,
                "internal",
                "Something went wrong in the tracker",
            ),
        }
    }

    /// What HTTP wants said in a header (RFC 9110).
    fn header(self) -> Option<(HeaderName, &'static str)> {
        match self {
            Self::TokenMissing | Self::TokenInvalid | Self::ChallengeExpired => {
                Some((header::WWW_AUTHENTICATE, "Bearer realm=\"p2p-tracker\""))
            }
            Self::ApiKeyInvalid => Some((header::WWW_AUTHENTICATE, "X-API-Key realm=\"p2p-tracker\"")),
            Self::Busy | Self::Stopping | Self::StoreFailing | Self::TooMany => {
                Some((header::RETRY_AFTER, RETRY_AFTER))
            }
            Self::UpgradeRequired => Some((header::UPGRADE, "websocket")),
            _ => None,
        }
    }
}

/// The beginning of the answer to a health check.
pub(crate) fn health(in_order: bool) -> HttpResponseBuilder {
    HttpResponse::build(if in_order {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    })
}

/// The problem document of an answer, beside its body: for whoever can say of which request it is.
pub(super) struct Reported {
    pub(super) slug: &'static str,
    pub(super) problem: Problem,
}

/// A call failed.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    kind: Kind,
    detail: String,
    header: Option<(HeaderName, HeaderValue)>,
}

impl ApiError {
    /// A failure of a kind; `detail` says what happened this time, to what, and what to do.
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            header: None,
        }
    }

    /// The same with a header that only this failure has.
    pub(crate) fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        self.header = HeaderValue::from_str(value).ok().map(|value| (name, value));
        self
    }

    /// The kind's name, as in `type`.
    pub(crate) fn slug(&self) -> &'static str {
        self.kind.describe().1
    }

    pub(crate) fn file_unknown(hash: &FileHash) -> Self {
        let detail =
            format!("file {hash} was never announced here or was removed; announce it with its metadata");
        Self::new(Kind::FileUnknown, detail)
    }

    pub(crate) fn peer_unknown(id: &PeerId) -> Self {
        Self::new(Kind::PeerUnknown, format!("peer {id} never registered here"))
    }

    pub(crate) fn token_invalid() -> Self {
        let detail = "the token is of an earlier run of this tracker, or its lease ran out; register again";
        Self::new(Kind::TokenInvalid, detail)
    }

    pub(crate) fn key_unknown(id: &str) -> Self {
        let id: String = id.chars().take(20).collect();
        Self::new(
            Kind::KeyUnknown,
            format!("there is no API key {id:?}, or it was revoked; GET /api/keys lists them"),
        )
    }

    /// Too many requests; the next one is welcome after `wait`.
    pub(crate) fn rate_limited(detail: &str, wait: Duration) -> Self {
        let seconds = wait.as_millis().div_ceil(1000).max(1).to_string();
        let detail = format!("{detail}; come again in {seconds} s");
        Self::new(Kind::RateLimited, detail).with_header(header::RETRY_AFTER, &seconds)
    }

    pub(crate) fn internal() -> Self {
        let detail = "the request was not carried out; the tracker's log says more under the request's id";
        Self::new(Kind::Internal, detail)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for ApiError {}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.kind.describe().0
    }

    fn error_response(&self) -> HttpResponse {
        let (status, slug, title) = self.kind.describe();
        let mut response = HttpResponse::build(status);
        response.content_type(PROBLEM_MEDIA_TYPE);
        if let Some((name, value)) = self.kind.header() {
            response.insert_header((name, value));
        }
        if let Some((name, value)) = &self.header {
            response.insert_header((name.clone(), value.clone()));
        }
        let problem = Problem::new(slug, title, status.as_u16(), &self.detail);
        let mut response = response.json(&problem);
        response.extensions_mut().insert(Reported { slug, problem });
        response
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::SessionOver => Self::token_invalid(),
            Refused::FileUnknown => Self::new(
                Kind::FileUnknown,
                format!("{refused}; announce it with its metadata"),
            ),
            Refused::TooManyFiles => Self::new(Kind::TooMany, refused.to_string()),
            Refused::Full => Self::new(Kind::Busy, refused.to_string()),
        }
    }
}

impl From<RegistryError> for ApiError {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Refused(refused) => refused.into(),
            RegistryError::Call(error) => Self::new(Kind::Busy, format!("{error}; ask again in a second")),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "store failed");
        Self::new(
            Kind::StoreFailing,
            "the tracker's database did not answer; ask again in a second",
        )
    }
}

impl From<CommitError> for ApiError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Store(error) => error.into(),
            CommitError::Call(error) => Self::new(
                Kind::Busy,
                format!("the store is not answering: {error}; ask again in a second"),
            ),
        }
    }
}

impl From<AnnounceError> for ApiError {
    fn from(error: AnnounceError) -> Self {
        let detail = error.to_string();
        match error {
            AnnounceError::Record(RecordError::TooMany { .. }) => Self::new(Kind::FileInvalid, detail),
            AnnounceError::Record(_) => Self::new(Kind::MerkleRootWrong, detail),
            AnnounceError::Differs(_) => {
                Self::new(Kind::MetadataDiffers, format!("{detail}; hash the file again"))
            }
            AnnounceError::Registry(error) => error.into(),
            AnnounceError::Store(error) => error.into(),
            AnnounceError::Crashed => Self::internal(),
        }
    }
}

impl From<BadOrder> for ApiError {
    fn from(error: BadOrder) -> Self {
        Self::new(Kind::RequestInvalid, error.to_string())
    }
}

impl From<BadAddress> for ApiError {
    fn from(error: BadAddress) -> Self {
        Self::new(Kind::AddressRefused, format!("{error}; leave it out"))
    }
}
