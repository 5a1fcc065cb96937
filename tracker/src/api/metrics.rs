//! `GET /metrics`, for Prometheus.

use super::Api;
use crate::metrics;
use actix_web::{HttpResponse, web};

/// The text format of Prometheus.
pub(super) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All numbers, for Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "tracker",
    responses((status = 200, description = "The numbers, in the text format 0.0.4.", content_type = "text/plain", body = String))
)]
pub(super) async fn metrics(api: web::Data<Api>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(MEDIA_TYPE)
        .body(metrics::text(&api).await)
}
