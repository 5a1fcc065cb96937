//! A peer's half of the tracker's HTTP interface, spoken by hand.
//!
//! Promises to send what it is told, with real proofs of a real key, and to hand back status and body as they came. It neither tries
//! again nor keeps anything up: what a test does not call does not happen.

use p2p_shared::crypto::identity::{Challenge, Identity};
use p2p_shared::tracker_api::{
    AnnounceRequest, ChallengeResponse, ChunkHashes, FileMetadata, Have, RegisterRequest, RegisterResponse,
};
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::content::Content;

/// Where the API key stands.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Calls one tracker.
#[derive(Debug)]
pub struct Caller {
    url: String,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

/// Status and body of an answer; a connection that broke before one is an error.
pub type Answer = Result<(u16, Value), reqwest::Error>;

impl Caller {
    /// Calls the tracker at this URL.
    pub fn new(url: &str) -> Self {
        Self::with(url, HeaderMap::new())
    }

    /// The same, with this API key.
    pub fn with_key(url: &str, key: &str) -> Self {
        let key = HeaderValue::from_str(key).expect("a key of letters and digits");
        Self::with(url, HeaderMap::from_iter([(API_KEY, key)]))
    }

    fn with(url: &str, headers: HeaderMap) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        Self {
            url: url.to_owned(),
            client: reqwest::Client::builder()
                .default_headers(headers)
                .no_proxy()
                .build()
                .expect("a client"),
            runtime,
        }
    }

    /// One call.
    pub fn call(&self, method: Method, path: &str, token: Option<&str>, body: Option<&Value>) -> Answer {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        self.runtime.block_on(async {
            let answer = request.send().await?;
            let status = answer.status().as_u16();
            let text = answer.text().await?;
            Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
        })
    }

    /// One call that reads.
    pub fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None, None)
    }

    /// Proves its key and registers; the last answer when the tracker refuses or breaks.
    pub fn register(&self, identity: &Identity, port: u16) -> Result<RegisterResponse, Answer> {
        let asked = json!({ "public_key": identity.public_key() });
        let challenge: ChallengeResponse = self.post("/api/peers/challenge", None, &asked)?;
        let answered = Challenge {
            nonce: challenge.nonce,
            ephemeral_key: challenge.ephemeral_key,
        };
        let proof = identity.prove(&answered).expect("a proof of our own key");
        let request = RegisterRequest {
            public_key: identity.public_key(),
            nonce: challenge.nonce,
            proof: proof.0,
            addresses: Vec::new(),
            port,
            bandwidth: None,
            agent: "by hand".to_owned(),
        };
        self.post("/api/peers/register", None, &json!(request))
    }

    /// Announces a file in full, or, without content, one that is known.
    pub fn announce(&self, token: &str, content: &Content, have: Have, in_full: bool) -> Answer {
        let (first, digests, _) = content.hashes(0, u32::MAX);
        let request = AnnounceRequest {
            hash: content.manifest.hash,
            have,
            file: in_full.then(|| FileMetadata::from(&content.manifest)),
            chunk_hashes: in_full.then(|| ChunkHashes::new(first, &digests)),
        };
        self.call(
            Method::POST,
            "/api/files/announce",
            Some(token),
            Some(&json!(request)),
        )
    }

    fn post<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        token: Option<&str>,
        body: &Value,
    ) -> Result<T, Answer> {
        match self.call(Method::POST, path, token, Some(body)) {
            Ok((200 | 201, answer)) => Ok(serde_json::from_value(answer).expect("the answer of this route")),
            other => Err(other),
        }
    }
}
