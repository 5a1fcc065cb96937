//! From an address to a WebSocket: a connection, through a proxy if there is one, TLS if the address wants it, and the handshake of
//! RFC 6455.
//!
//! Promises an answer within [`LIMIT`], and that token and API key are shown to nobody but the host that was named, encrypted if the address
//! says so. TLS trusts whom the calls to trackers trust: the system's certificates, checked by the same crates.

use super::{
    address::RelayUrl,
    handshake::{self, Credentials},
    reach::tcp,
    state::Setback,
    through,
};
use crate::proxy::Proxies;
use rustls_platform_verifier::Verifier;
use std::{
    io,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        self, ClientConfig,
        crypto::{CryptoProvider, aws_lc_rs},
        pki_types::ServerName,
    },
};

/// How long it may take in all.
const LIMIT: Duration = Duration::from_secs(10);

/// A duplex of bytes.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<D: AsyncRead + AsyncWrite + Send + Unpin> Duplex for D {}

/// A connection to a host.
pub(super) enum Stream {
    /// As it is.
    Plain(TcpStream),
    /// With something around it.
    Wrapped(Box<dyn Duplex>),
}

/// A relay that is ready to talk.
pub(super) struct Dialled {
    pub(super) stream: Stream,
    /// What came behind its answer.
    pub(super) already: Vec<u8>,
}

/// Why a relay is not connected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum DialError {
    /// It is not reached.
    #[error("{0}")]
    Unreachable(String),
    /// The proxy is in the way.
    #[error("the proxy {0}: {1}")]
    Proxy(String, String),
    /// It answered, and it was no.
    #[error("{detail} (HTTP status {status})")]
    Refused {
        status: u16,
        /// The kind of problem, if it said one.
        slug: Option<String>,
        detail: String,
        retry_after: Option<Duration>,
    },
    /// Something else is there.
    #[error("no relay is there: {0}")]
    NoRelay(String),
}

impl DialError {
    /// What it means for the next try.
    pub(super) fn setback(&self) -> Setback {
        use p2p_shared::tracker_api::slug::{PEER_UNKNOWN, TOKEN_INVALID};
        match self {
            Self::Unreachable(_) | Self::Proxy(..) => Setback::Away,
            Self::NoRelay(_) => Setback::Refused,
            Self::Refused { slug: Some(slug), .. } if slug == TOKEN_INVALID || slug == PEER_UNKNOWN => {
                Setback::TokenUnknown
            }
            Self::Refused {
                status, retry_after, ..
            } => match retry_after {
                Some(wait) => Setback::Busy(*wait),
                None if *status >= 500 || *status == 429 || *status == 408 => Setback::Away,
                None => Setback::Refused,
            },
        }
    }
}

/// What every dial works with.
pub(super) struct Dialler {
    proxies: Proxies,
    /// Made when the first relay needs it: loading the system's certificates takes tens of milliseconds.
    tls: OnceLock<Result<TlsConnector, String>>,
}

impl Dialler {
    pub(super) fn new(proxies: Proxies) -> Self {
        Self {
            proxies,
            tls: OnceLock::new(),
        }
    }

    /// Connects to the relay at `url`.
    pub(super) async fn dial(
        self: Arc<Self>,
        url: RelayUrl,
        credentials: Credentials,
    ) -> Result<Dialled, DialError> {
        let connecting = async {
            let stream = self.connect(&url).await?;
            let stream = match url.is_encrypted() {
                true => self.encrypt(stream, url.host()).await?,
                false => stream,
            };
            handshake::upgrade(stream, &url, &credentials).await
        };
        let unanswered = || DialError::Unreachable(format!("no answer within {} s", LIMIT.as_secs()));
        timeout(LIMIT, connecting).await.map_err(|_| unanswered())?
    }

    async fn connect(&self, url: &RelayUrl) -> Result<Stream, DialError> {
        let (host, port) = (url.host(), url.port());
        let Some(proxy) = self.proxies.towards(url.is_encrypted(), host, port) else {
            let reached = tcp(host, port).await;
            return reached
                .map(Stream::Plain)
                .map_err(|error| DialError::Unreachable(error.to_string()));
        };
        let in_the_way = |why: String| DialError::Proxy(through::name(&proxy), why);
        let (proxy_host, proxy_port) = through::place(&proxy);
        let stream = tcp(proxy_host, proxy_port).await;
        let mut stream = Stream::Plain(stream.map_err(|error| in_the_way(error.to_string()))?);
        if through::is_encrypted(&proxy) {
            let encrypted = self.encrypt(stream, proxy_host).await;
            stream = encrypted.map_err(|error| in_the_way(error.to_string()))?;
        }
        let passed = match &mut stream {
            Stream::Plain(stream) => through::pass(stream, &proxy, host, port).await,
            Stream::Wrapped(stream) => through::pass(stream, &proxy, host, port).await,
        };
        passed.map_err(|error| in_the_way(error.to_string()))?;
        Ok(stream)
    }

    async fn encrypt(&self, stream: Stream, host: &str) -> Result<Stream, DialError> {
        let unreachable = |error: &dyn std::fmt::Display| DialError::Unreachable(error.to_string());
        let connector = self.tls.get_or_init(|| connector(Verifier::new)).as_ref();
        let connector = connector.map_err(|error| unreachable(error))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(|error| unreachable(&error))?;
        let encrypted: io::Result<Box<dyn Duplex>> = match stream {
            Stream::Plain(stream) => connector.connect(name, stream).await.map(boxed),
            Stream::Wrapped(stream) => connector.connect(name, stream).await.map(boxed),
        };
        encrypted
            .map(Stream::Wrapped)
            .map_err(|error| unreachable(&error))
    }
}

fn boxed(stream: impl Duplex + 'static) -> Box<dyn Duplex> {
    Box::new(stream)
}

fn connector(
    verifier: impl FnOnce(Arc<CryptoProvider>) -> Result<Verifier, rustls::Error>,
) -> Result<TlsConnector, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = verifier(Arc::clone(&provider));
    let config = verifier.and_then(|verifier| {
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        // Dangerous is any verifier but the usual one: this one asks the system.
        let builder = builder.dangerous();
        Ok(builder.with_custom_certificate_verifier(Arc::new(verifier)))
    });
    let config = config.map_err(|error| format!("no encrypted connections can be made: {error}"))?;
    Ok(TlsConnector::from(Arc::new(config.with_no_client_auth())))
}

#[cfg(test)]
mod tests;
