//! Is the process in order, and should it be given work?
//!
//! `/healthz` fails when a restart might help: the registry does not answer. `/readyz` fails also while the tracker shuts
//! down or its store does not answer, which a restart would not mend.

use super::{Api, error, stats::VERSION};
use actix_web::{HttpResponse, web};
use p2p_shared::tracker_api::{Health, HealthStatus};
use std::time::Duration;

/// How long a part may take to answer before it counts as failing: a probe itself is usually given one second.
const PATIENCE: Duration = Duration::from_millis(800);

/// Is the process in order?
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "tracker",
    responses(
        (status = 200, description = "It is.", body = Health),
        (status = 503, description = "It is not.", body = Health)
    )
)]
pub(super) async fn healthz(api: web::Data<Api>) -> HttpResponse {
    let failing = registry_fault(&api).await;
    respond(&api, HealthStatus::Failing, failing)
}

/// Should it be given work?
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "tracker",
    responses(
        (status = 200, description = "It should.", body = Health),
        (status = 503, description = "It should not.", body = Health)
    )
)]
pub(super) async fn readyz(api: web::Data<Api>) -> HttpResponse {
    if api.is_draining() {
        return respond(&api, HealthStatus::Draining, Some("shutting down".to_owned()));
    }
    let (registry, store) = tokio::join!(registry_fault(&api), store_fault(&api));
    respond(&api, HealthStatus::Failing, registry.or(store))
}

async fn registry_fault(api: &Api) -> Option<String> {
    match tokio::time::timeout(PATIENCE, api.registry.totals()).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("the registry does not answer".to_owned()),
    }
}

async fn store_fault(api: &Api) -> Option<String> {
    match tokio::time::timeout(PATIENCE, api.store.keys()).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => {
            tracing::error!(%error, "store is failing");
            Some("the store cannot be read".to_owned())
        }
        Err(_) => Some("the store does not answer".to_owned()),
    }
}

fn respond(api: &Api, otherwise: HealthStatus, fault: Option<String>) -> HttpResponse {
    error::health(fault.is_none()).json(Health {
        status: if fault.is_none() {
            HealthStatus::Ok
        } else {
            otherwise
        },
        version: VERSION.to_owned(),
        uptime_seconds: api.clock.uptime().as_secs(),
        detail: fault,
    })
}
