//! What operators did: written down before it is done, in the store and in the log, and listed.

use super::{Api, auth, error::ApiError, path};
use crate::storage::{AuditEntry, Write};
use actix_web::{HttpRequest, web};
use p2p_shared::tracker_api::{AuditPage, AuditRecord};
use serde::Deserialize;

/// Acts on one page if nobody says otherwise, and at most.
const PAGE: (u32, u32) = (100, 1000);

/// Something that an operator is about to do.
pub(super) struct Act(AuditEntry);

impl Act {
    /// Who asks for it is in the request.
    pub(super) fn of(api: &Api, request: &HttpRequest, action: &str, target: &str) -> Result<Self, ApiError> {
        Ok(Self(AuditEntry {
            at: api.clock.now(),
            key_id: auth::key_id(request),
            address: path::observed(request)?.to_string(),
            action: action.to_owned(),
            target: target.to_owned(),
            detail: String::new(),
        }))
    }

    /// The same, with what else there is to say.
    pub(super) fn with(mut self, detail: String) -> Self {
        self.0.detail = detail;
        self
    }

    /// Writes it down. Nothing is done that is not.
    pub(super) async fn record(self, api: &Api) -> Result<(), ApiError> {
        log(&self.0);
        api.writer.commit(Write::Audit(self.0)).await?;
        Ok(())
    }
}

/// The line of log.
pub(crate) fn log(entry: &AuditEntry) {
    let AuditEntry {
        key_id,
        address,
        action,
        target,
        detail,
        at: _,
    } = entry;
    tracing::info!(target: "p2p_tracker::audit", key = %key_id, from = %address, action, on = %target, detail, "audit");
}

/// The query of a listing.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Listing {
    /// The `next` of the page before.
    cursor: Option<i64>,
    /// Acts on the page; 100 if not said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// What operators did, the last first.
#[utoipa::path(
    get,
    path = "/api/audit",
    tag = "operators",
    params(Listing),
    responses((status = 200, description = "A page of it.", body = AuditPage))
)]
pub(super) async fn list(
    api: web::Data<Api>,
    request: HttpRequest,
) -> Result<web::Json<AuditPage>, ApiError> {
    auth::may_operate(&request)?;
    let Listing { cursor, limit } = path::query(&request)?;
    let limit = path::limit(limit, PAGE.0, PAGE.1)?;
    let page = api.store.audit(cursor, limit).await?;
    let record = |entry: AuditEntry| AuditRecord {
        at: entry.at / 1000,
        key_id: entry.key_id,
        address: entry.address,
        action: entry.action,
        target: entry.target,
        detail: entry.detail,
    };
    Ok(web::Json(AuditPage {
        acts: page.items.into_iter().map(record).collect(),
        next: page.next.map(|cursor| cursor.to_string()),
    }))
}
