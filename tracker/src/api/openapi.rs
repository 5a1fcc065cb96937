//! What the API is, as an OpenAPI document made from the code, and a page to read it.
//!
//! Each handler says beside itself what it takes and answers; here is what holds for all of them: every call may end in a problem document,
//! and needs an API key of the scope that `x-required-scope` names. Both routes are open to everybody, because they say nothing that the
//! project's public code does not. The page is Swagger UI, whose files are in the program: nothing is fetched from elsewhere.

use super::{
    announce, audit,
    auth::{OPEN, OPEN_BELOW},
    bans, chunks,
    error::{ApiError, Kind},
    files, health, keys, metrics, peers, relay, stats, websocket,
};
use actix_web::{HttpRequest, HttpResponse, http::header, web};
use p2p_shared::tracker_api::{API_KEY_HEADER, PROBLEM_MEDIA_TYPE, Problem};
use std::{
    fmt::Display,
    sync::{Arc, LazyLock},
};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        self, Ref, RefOr, Schema, SecurityRequirement,
        content::Content,
        extensions::Extensions,
        path::{HttpMethod, Operation},
        response::{Response, ResponseBuilder},
        security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme},
    },
};
use utoipa_swagger_ui::Config;

const KEY: &str = "api_key";
const TOKEN: &str = "peer_token";

/// Only what the page itself needs; its style sheets are partly in its elements.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "p2p-tracker",
        description = "Introduces peers that share files to each other and keeps the catalogue. It never sees the files. Errors are problem \
                       documents (RFC 9457); every answer names its request in X-Request-Id. Routes with x-required-scope none need no API key."
    ),
    paths(
        stats::about,
        stats::stats,
        health::healthz,
        health::readyz,
        metrics::metrics,
        relay::relay,
        websocket::events,
        peers::challenge,
        peers::register,
        peers::heartbeat,
        peers::list,
        peers::one,
        peers::leave,
        announce::announce,
        files::list,
        files::one,
        files::remove,
        files::peers,
        chunks::chunks,
        keys::list,
        keys::add,
        keys::revoke,
        bans::list,
        bans::put,
        bans::lift,
        audit::list,
        document,
        front,
        page
    ),
    components(schemas(Problem)),
    modifiers(&Everywhere)
)]
struct Documented;

/// The document, made once.
static DOCUMENT: LazyLock<openapi::OpenApi> = LazyLock::new(Documented::openapi);

struct Everywhere;

impl Modify for Everywhere {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let key = ApiKeyValue::with_description(API_KEY_HEADER, "An API key of this tracker, if it has any.");
        components.add_security_scheme(KEY, SecurityScheme::ApiKey(ApiKey::Header(key)));
        let token = Http::builder()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The token of a peer's registration."))
            .build();
        components.add_security_scheme(TOKEN, SecurityScheme::Http(token));
        // It is part of larger bodies too, where it may not refuse what stands beside it.
        if let Some(RefOr::T(Schema::Object(file))) = components.schemas.get_mut("FileMetadata") {
            file.additional_properties = None;
        }
        for (path, item) in &mut document.paths.paths {
            for (method, operation) in operations(item) {
                finish(path, &method, operation);
            }
        }
    }
}

fn operations(item: &mut openapi::PathItem) -> Vec<(HttpMethod, &mut Operation)> {
    let all = [
        (HttpMethod::Get, &mut item.get),
        (HttpMethod::Post, &mut item.post),
        (HttpMethod::Delete, &mut item.delete),
        (HttpMethod::Put, &mut item.put),
    ];
    all.into_iter()
        .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
        .collect()
}

fn finish(path: &str, method: &HttpMethod, operation: &mut Operation) {
    let scope = scope_of(path, method);
    let scopes = Extensions::builder().add("x-required-scope", scope).build();
    operation.extensions.get_or_insert_default().merge(scopes);
    operation.security = Some(match operation.security.take() {
        _ if scope == "none" => Vec::new(),
        Some(own) => own,
        None => vec![SecurityRequirement::new::<_, _, String>(KEY, [])],
    });
    operation
        .responses
        .responses
        .insert("default".to_owned(), RefOr::T(problem()));
}

/// Below these, every call is for operators.
const OF_OPERATORS: [&str; 3] = ["/api/keys", "/api/bans", "/api/audit"];

/// What kind of key a call needs, as [`super::auth`] decides it.
fn scope_of(path: &str, method: &HttpMethod) -> &'static str {
    match (path, method) {
        _ if OPEN.contains(&path) || path.starts_with(OPEN_BELOW) => "none",
        _ if OF_OPERATORS.iter().any(|route| path.starts_with(route)) => "admin",
        ("/relay", _) => "peer",
        (_, HttpMethod::Get) => "read",
        _ => "peer",
    }
}

fn problem() -> Response {
    let body = Content::new(Some(Ref::from_schema_name("Problem")));
    ResponseBuilder::new()
        .description("It was not done; the document says why, and what to do.")
        .content(PROBLEM_MEDIA_TYPE, body)
        .build()
}

/// This document.
#[utoipa::path(
    get,
    path = "/api/openapi.json",
    tag = "tracker",
    responses((status = 200, description = "The OpenAPI document.", body = Object))
)]
pub(super) async fn document() -> web::Json<&'static openapi::OpenApi> {
    web::Json(&DOCUMENT)
}

/// To the page.
#[utoipa::path(
    get,
    path = "/api/docs",
    tag = "tracker",
    responses((status = 308, description = "The page is at `docs/`, below this."))
)]
pub(super) async fn front() -> HttpResponse {
    // Relative, so that it holds behind a proxy that adds a path.
    HttpResponse::PermanentRedirect()
        .insert_header((header::LOCATION, "docs/"))
        .finish()
}

/// A page to read this document, and its parts.
#[utoipa::path(
    get,
    path = "/api/docs/{file}",
    tag = "tracker",
    params(("file" = String, Path, description = "Empty for the page itself.")),
    responses((status = 200, description = "The page, or a part of it.", content((String = "text/html"), (String = "text/css"),
        (String = "text/javascript"), (String = "image/png"))))
)]
pub(super) async fn page(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let name = request.match_info().get("file").unwrap_or_default();
    let config = Arc::new(Config::from("../openapi.json"));
    let file = utoipa_swagger_ui::serve(name, config).map_err(|error| unreadable(&error))?;
    let file = file.ok_or_else(|| {
        ApiError::new(
            Kind::NoSuchRoute,
            "the page has no such part; it is at /api/docs/",
        )
    })?;
    Ok(HttpResponse::Ok()
        .content_type(file.content_type)
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(file.bytes.into_owned()))
}

fn unreadable(error: &dyn Display) -> ApiError {
    tracing::error!(%error, "a part of the page could not be made");
    ApiError::internal()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The routes in the code that puts them in place: `resource("PATH", &["METHOD", …])`.
    fn routes() -> Vec<(String, Vec<String>)> {
        let code = include_str!("mod.rs");
        let quoted =
            |text: &str| -> Vec<String> { text.split('"').skip(1).step_by(2).map(str::to_owned).collect() };
        let found: Vec<_> = code
            .split("resource(")
            .filter(|call| call.starts_with('"') || call.trim_start().starts_with('"'))
            .map(|call| {
                let (path, rest) = call.split_once("&[").expect("its methods");
                let (methods, _) = rest.split_once(']').expect("the end of its methods");
                (quoted(path).remove(0), quoted(methods))
            })
            .collect();
        let services = code.matches(".service(").count();
        assert_eq!(
            found.len(),
            services,
            "a route that is put in place in another way"
        );
        found
    }

    #[test]
    fn every_route_is_in_the_document_and_nothing_else() {
        let mut expected: Vec<(String, String)> = routes()
            .into_iter()
            .flat_map(|(path, methods)| {
                let path = path.replace(":.*}", "}");
                methods.into_iter().map(move |method| (path.clone(), method))
            })
            .collect();
        expected.sort();
        let document = serde_json::to_value(&*DOCUMENT).unwrap();
        let mut documented: Vec<(String, String)> = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            let methods = item.as_object().unwrap().keys();
            documented.extend(methods.map(|method| (path.clone(), method.to_uppercase())));
        }
        documented.sort();
        assert_eq!(documented, expected);
    }

    #[test]
    fn every_call_says_what_it_needs_and_how_it_fails() {
        let document = serde_json::to_value(&*DOCUMENT).unwrap();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let scope = operation["x-required-scope"].as_str().unwrap();
                let security = operation["security"].as_array().unwrap();
                assert_eq!(security.is_empty(), scope == "none", "{method} {path}");
                let problem = &operation["responses"]["default"]["content"][PROBLEM_MEDIA_TYPE];
                assert_eq!(
                    problem["schema"]["$ref"], "#/components/schemas/Problem",
                    "{method} {path}"
                );
            }
        }
    }
}
