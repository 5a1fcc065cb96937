//! What a request may do to the tracker: take a while, crash, come too late; and nothing worse.

use super::{
    Api,
    error::{ApiError, Kind},
};
use actix_web::{
    ResponseError as _,
    body::{BoxBody, EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header,
    middleware::Next,
    web,
};
use futures_util::FutureExt as _;
use std::{panic::AssertUnwindSafe, time::Duration};

/// A request, its body with it, has to be done in this time: long enough for 4 MiB over a slow line, and the end for who
/// sends a byte a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// Middleware: a crash becomes a 500, an endless request a 408.
pub(crate) async fn contain<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    // What a crashed handler leaves half done is its own; registry and store are behind their handles.
    let response = AssertUnwindSafe(next.call(request)).catch_unwind();
    match tokio::time::timeout(PATIENCE, response).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => Err(ApiError::internal().into()),
        Err(_) => {
            let detail = format!("the request was not complete after {} s", PATIENCE.as_secs());
            Err(ApiError::new(Kind::TooSlow, detail).into())
        }
    }
}

/// Middleware: while the tracker shuts down, nothing new is begun, and connections end with their answer.
pub(crate) async fn drain<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, actix_web::Error> {
    let api = request.app_data::<web::Data<Api>>().cloned();
    let draining = api.is_some_and(|api| api.is_draining());
    if !draining || ["/healthz", "/readyz"].contains(&request.path()) {
        return Ok(next.call(request).await?.map_into_left_body());
    }
    let error = ApiError::new(
        Kind::Stopping,
        "the tracker is shutting down; ask again when it is back",
    );
    let mut response = error.error_response();
    response
        .headers_mut()
        .insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    Ok(request.into_response(response).map_into_right_body())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::live::Live;
    use actix_web::{
        App, HttpServer,
        middleware::from_fn,
        test::{TestRequest, init_service, try_call_service},
    };
    use p2p_shared::tracker_api::Problem;
    use std::{future::pending, sync::atomic::Ordering};

    #[actix_rt::test]
    async fn a_crash_in_a_handler_is_a_500_and_the_next_request_is_served() {
        let server = HttpServer::new(|| {
            App::new()
                .wrap(from_fn(contain))
                .wrap(from_fn(crate::api::logging::log))
                .route(
                    "/crash",
                    web::get().to(async || -> &'static str { panic!("a handler crashed") }),
                )
                .route("/works", web::get().to(async || "works"))
        });
        let server = server.workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        let served = actix_rt::spawn(server);

        let response = reqwest::get(format!("{url}/crash")).await.unwrap();
        assert!(response.headers().contains_key("x-request-id"));
        let problem: Problem = response.json().await.unwrap();
        assert_eq!((problem.status, problem.slug()), (500, Some("internal")));
        assert!(
            !problem.detail.contains("crashed"),
            "the panic is for the log: {}",
            problem.detail
        );
        let response = reqwest::get(format!("{url}/works")).await.unwrap();
        assert_eq!(response.text().await.unwrap(), "works");
        handle.stop(false).await;
        served.await.unwrap().unwrap();
    }

    #[actix_rt::test]
    async fn while_it_shuts_down_it_begins_nothing_and_says_so() {
        let live = Live::start(Vec::new()).await;
        let api = live.api();
        let app = App::new()
            .app_data(web::Data::new(api.clone()))
            .wrap(from_fn(drain))
            .configure(crate::api::configure);
        let app = init_service(app).await;
        let ask = async |path: &str| {
            let response = try_call_service(&app, TestRequest::get().uri(path).to_request())
                .await
                .unwrap();
            let closes = response
                .headers()
                .get("connection")
                .is_some_and(|value| value == "close");
            (response.status().as_u16(), closes)
        };
        assert_eq!(ask("/readyz").await, (200, false));
        assert_eq!(ask("/api/stats").await, (200, false));
        api.draining.store(true, Ordering::Relaxed);
        assert_eq!(ask("/readyz").await.0, 503);
        assert_eq!(ask("/healthz").await.0, 200);
        assert_eq!(ask("/api/stats").await, (503, true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_never_gets_complete_ends_with_408() {
        let stuck = web::get().to(pending::<&'static str>);
        let app = init_service(App::new().wrap(from_fn(contain)).route("/", stuck)).await;
        let answer = try_call_service(&app, TestRequest::get().uri("/").to_request()).await;
        let error = answer.expect_err("it cannot be answered");
        assert_eq!(error.as_response_error().status_code(), 408);
    }
}
