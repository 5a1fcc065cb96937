//! The tracker's own TLS.

use crate::support::{TestTracker, ok};
use p2p_shared::tracker_api::Stats;
use p2p_tracker::TlsFiles;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use reqwest::{Certificate, Client};
use std::path::Path;

/// Writes a new certificate for localhost and its key; gives the certificate.
fn write(folder: &Path) -> Vec<u8> {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let pem = |what: &str, der: &[u8]| {
        let text = data_encoding::BASE64.encode(der);
        format!("-----BEGIN {what}-----\n{text}\n-----END {what}-----\n")
    };
    std::fs::write(folder.join("chain.pem"), pem("CERTIFICATE", cert.der())).unwrap();
    std::fs::write(
        folder.join("key.pem"),
        pem("PRIVATE KEY", &signing_key.serialize_der()),
    )
    .unwrap();
    cert.der().to_vec()
}

/// Trusts this certificate alone, and opens a connection of its own for each call.
fn trusting(certificate: &[u8]) -> Client {
    Client::builder()
        .tls_certs_only([Certificate::from_der(certificate).unwrap()])
        .pool_max_idle_per_host(0)
        .build()
        .unwrap()
}

#[tokio::test]
async fn it_is_spoken_to_encrypted_and_new_certificates_are_used_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let first = write(folder.path());
    let tracker = TestTracker::start_with(|config| {
        config.tls = Some(TlsFiles {
            certificate: folder.path().join("chain.pem"),
            key: folder.path().join("key.pem"),
        });
    });
    assert!(tracker.handle.url().starts_with("https://127.0.0.1:"));
    let url = format!("https://localhost:{}/api/stats", tracker.handle.address().port());
    let _: Stats = ok(trusting(&first).get(&url)).await;
    let port = tracker.handle.address().port();
    reqwest::get(format!("http://127.0.0.1:{port}/healthz"))
        .await
        .unwrap_err();

    let second = write(folder.path());
    let _: Stats = ok(trusting(&first).get(&url)).await;
    assert!(tracker.handle.reload_certificates().unwrap());
    let _: Stats = ok(trusting(&second).get(&url)).await;
    trusting(&first).get(&url).send().await.unwrap_err();

    // What cannot be used changes nothing.
    std::fs::write(folder.path().join("key.pem"), "nonsense").unwrap();
    let error = tracker.handle.reload_certificates().unwrap_err().to_string();
    assert!(error.contains("key.pem"), "{error}");
    let _: Stats = ok(trusting(&second).get(&url)).await;
}

#[tokio::test]
async fn new_certificates_are_noticed_without_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let tracker = TestTracker::start_with(|config| {
        config.tls = Some(TlsFiles {
            certificate: folder.path().join("chain.pem"),
            key: folder.path().join("key.pem"),
        });
    });
    let url = format!("https://localhost:{}/healthz", tracker.handle.address().port());
    let second = trusting(&write(folder.path()));
    let answer = crate::support::eventually(|| second.get(&url).send(), Result::is_ok).await;
    assert_eq!(answer.unwrap().status(), 200);
}
