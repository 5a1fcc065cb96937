//! `GET /metrics`, for Prometheus.

use super::Api;
use crate::metrics;
use actix_web::{HttpResponse, web};

/// The text format of Prometheus.
pub(super) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) async fn metrics(api: web::Data<Api>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(MEDIA_TYPE)
        .body(metrics::text(&api).await)
}
