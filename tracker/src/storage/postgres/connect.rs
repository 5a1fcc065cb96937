//! How a connection is made: to the first of the hosts that takes writes, encrypted as the URL says.
//!
//! A host that refuses or is a standby is passed over at once. One that accepts and says nothing holds up one attempt,
//! which the pool ends; the next attempt begins behind it. Connections live on the runtime that the store was opened on,
//! whoever needed them first: a worker of the HTTP server ends before the last writes.

use super::url::{PostgresUrl, Tls};
use crate::storage::StoreError;
use deadpool_postgres::Connect;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use rustls_platform_verifier::Verifier;
use std::{
    future::Future,
    path::Path,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{runtime::Handle, task::JoinHandle};
use tokio_postgres::{Client, Config, Connection, Error, NoTls, Socket, tls::TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::task::AbortOnDropHandle;

/// What the server is told at the start of a session, so that it ends what we cannot end any more: statements that nobody
/// waits for, transactions of a tracker that vanished (their locks with them), connections that nobody answers on.
const SESSION: &str = "-c statement_timeout=10s -c lock_timeout=1500ms -c idle_in_transaction_session_timeout=5s \
     -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3 -c tcp_user_timeout=5000";

/// Makes connections. Clones share which host is tried first.
#[derive(Clone)]
pub(super) struct Connector {
    hosts: Arc<[Config]>,
    tls: Option<MakeRustlsConnect>,
    first: Arc<AtomicUsize>,
    runtime: Handle,
}

impl Connector {
    /// On this runtime.
    ///
    /// # Errors
    /// When there are no certificates to verify the server with.
    pub(super) fn new(url: &PostgresUrl) -> Result<Self, StoreError> {
        let tls = match &url.tls {
            Tls::Off => None,
            Tls::System => Some(system_roots()?),
            Tls::File(path) => Some(roots_of(path)?),
        };
        let with_session = |config: &Config| {
            let mut config = config.clone();
            let own = config.get_options().unwrap_or_default().to_owned();
            // Later ones win: an operator may say otherwise in the URL.
            config.options(format!("{SESSION} {own}"));
            config
        };
        Ok(Self {
            hosts: url.hosts.iter().map(with_session).collect(),
            tls: tls.map(MakeRustlsConnect::new),
            first: Arc::default(),
            runtime: Handle::current(),
        })
    }

    /// A connection to the first host that will do. May take for ever.
    pub(super) async fn connect_any(self) -> Result<(Client, JoinHandle<()>), Error> {
        let count = self.hosts.len();
        let first = self.first.load(Ordering::Relaxed);
        let mut failed = None;
        for at in (first..first + count).map(|at| at % count) {
            // Should this one take so long that we are dropped here, the next attempt begins with the next one.
            self.first.store((at + 1) % count, Ordering::Relaxed);
            match self.connect_to(&self.hosts[at]).await {
                Ok(connected) => {
                    self.first.store(at, Ordering::Relaxed);
                    return Ok(connected);
                }
                Err(error) => {
                    if count > 1 {
                        let host = &self.hosts[at].get_hosts();
                        tracing::debug!(?host, error = %super::described(&error), "host passed over");
                    }
                    failed = Some(error);
                }
            }
        }
        match failed {
            Some(error) => Err(error),
            // There is a host at least, or the URL would have been refused.
            None => std::future::pending().await,
        }
    }

    async fn connect_to(&self, host: &Config) -> Result<(Client, JoinHandle<()>), Error> {
        match &self.tls {
            None => Ok(driven(host.connect(NoTls).await?)),
            Some(tls) => Ok(driven(host.connect(tls.clone()).await?)),
        }
    }
}

/// The connection at work on this runtime.
fn driven<T: TlsStream + Unpin + Send + 'static>(
    (client, connection): (Client, Connection<Socket, T>),
) -> (Client, JoinHandle<()>) {
    let life = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = %super::described(&error), "connection to the database ended");
        }
    });
    (client, life)
}

impl Connect for Connector {
    fn connect(
        &self,
        _: &Config,
    ) -> Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + '_>> {
        let attempt = self.runtime.spawn(self.clone().connect_any());
        Box::pin(async move {
            match AbortOnDropHandle::new(attempt).await {
                Ok(connected) => connected,
                // The runtime is ending; whoever waits has a deadline.
                Err(_) => std::future::pending().await,
            }
        })
    }
}

fn no_tls(error: impl std::fmt::Display) -> StoreError {
    StoreError::Database(format!("no encrypted connections can be made: {error}"))
}

fn system_roots() -> Result<ClientConfig, StoreError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Verifier::new(Arc::clone(&provider)).map_err(no_tls)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(no_tls)?;
    // Dangerous is any verifier but the usual one: this one asks the system.
    let builder = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    Ok(builder.with_no_client_auth())
}

fn roots_of(path: &Path) -> Result<ClientConfig, StoreError> {
    let failed = |error: &dyn std::fmt::Display| no_tls(format!("sslrootcert {}: {error}", path.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| failed(&error))? {
        let certificate = certificate.map_err(|error| failed(&error))?;
        roots.add(certificate).map_err(|error| failed(&error))?;
    }
    if roots.is_empty() {
        return Err(failed(&"there is no certificate in it"));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(no_tls)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
