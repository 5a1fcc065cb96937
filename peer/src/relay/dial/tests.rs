//! Encrypted relays and encrypted proxies, whose certificates a made-up authority gave out: who is trusted, and who is not.

use super::*;
use crate::{proxy::ProxySetting, relay::handshake::accept};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer},
    },
    server::TlsStream,
};

/// An authority that no system knows.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap().der().clone();
        let issuer = Issuer::new(params, key);
        Self { issuer, root }
    }

    /// A server that goes by `name`.
    fn server(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    /// One who trusts it beside whom the system trusts.
    fn trusted(&self, proxy: &str) -> Arc<Dialler> {
        let proxy: ProxySetting = proxy.parse().unwrap();
        let dialler = Dialler::new(Proxies::new(Some(&proxy)));
        let root = self.root.clone();
        let connector = connector(|provider| Verifier::new_with_extra_roots([root], provider));
        assert!(dialler.tls.set(connector).is_ok());
        Arc::new(dialler)
    }
}

async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// Answers the handshake of a WebSocket, and says a byte more. What was asked comes back.
async fn welcome<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut TlsStream<S>) -> String {
    let asked = head(stream).await;
    let key = asked
        .split("Sec-WebSocket-Key: ")
        .nth(1)
        .unwrap()
        .lines()
        .next()
        .unwrap();
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Protocol: p2p-relay.1\r\nSec-WebSocket-Accept: {}\r\n\r\n!",
        accept(key)
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    asked
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn dial(dialler: Arc<Dialler>, url: String) -> Result<Dialled, DialError> {
    let credentials = Credentials {
        token: "token".into(),
        api_key: None,
    };
    dialler.dial(url.parse().unwrap(), credentials).await
}

#[tokio::test]
async fn an_encrypted_relay_is_shown_the_token_if_its_certificate_is_good() {
    let authority = Authority::new();
    let (listener, address) = listener().await;
    let acceptor = authority.server("127.0.0.1");
    let serving = async {
        let (stream, _) = listener.accept().await.unwrap();
        welcome(&mut acceptor.accept(stream).await.unwrap()).await
    };
    let dialling = dial(authority.trusted("none"), format!("wss://{address}/relay"));
    let (dialled, asked) = tokio::join!(dialling, serving);
    let dialled = dialled.unwrap_or_else(|error| panic!("{error}"));
    assert!(matches!(dialled.stream, Stream::Wrapped(_)));
    assert!(asked.contains("\r\nAuthorization: Bearer token\r\n"), "{asked}");
}

#[tokio::test]
async fn a_relay_of_another_name_or_of_an_authority_that_nobody_knows_is_shown_nothing() {
    let (authority, unknown) = (Authority::new(), Authority::new());
    let system = || Arc::new(Dialler::new(Proxies::new(Some(&ProxySetting::None))));
    for (acceptor, dialler, why) in [
        (
            authority.server("relay.invalid"),
            authority.trusted("none"),
            "not valid for name",
        ),
        (
            unknown.server("127.0.0.1"),
            authority.trusted("none"),
            "invalid peer certificate",
        ),
        (authority.server("127.0.0.1"), system(), "ertificate"),
    ] {
        let (listener, address) = listener().await;
        let serving = async {
            let (stream, _) = listener.accept().await.unwrap();
            acceptor.accept(stream).await.is_err()
        };
        let dialling = dial(dialler, format!("wss://{address}/relay"));
        let (dialled, was_left) = tokio::join!(dialling, serving);
        let error = dialled.err().unwrap();
        assert!(matches!(error, DialError::Unreachable(_)), "{error}");
        assert!(error.to_string().contains(why), "{error}, not {why}");
        assert_eq!(error.setback(), Setback::Away);
        assert!(was_left, "{why}");
    }
}

#[tokio::test]
async fn an_encrypted_proxy_passes_on_to_an_encrypted_relay_and_each_has_to_be_who_it_is() {
    let authority = Authority::new();
    for (proxy_is, relay_is, in_the_way) in [
        ("127.0.0.1", "relay.invalid", None),
        (
            "relay.invalid",
            "relay.invalid",
            Some("the proxy https://127.0.0.1"),
        ),
        ("127.0.0.1", "other.invalid", Some("not valid for name")),
    ] {
        let (listener, address) = listener().await;
        let (outer, inner) = (authority.server(proxy_is), authority.server(relay_is));
        let serving = async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = outer.accept(stream).await.ok()?;
            let connect = head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            stream.flush().await.unwrap();
            let mut stream = inner.accept(stream).await.ok()?;
            Some((connect, welcome(&mut stream).await))
        };
        let dialler = authority.trusted(&format!("https://user:hunter2@{address}"));
        let dialling = dial(dialler, "wss://relay.invalid/relay".to_owned());
        let (dialled, asked) = tokio::join!(dialling, serving);
        match (dialled, in_the_way) {
            (Ok(_), None) => {
                let (connect, upgrade) = asked.unwrap();
                assert!(connect.starts_with("CONNECT relay.invalid:443 HTTP/1.1\r\n"));
                assert!(connect.contains("Proxy-Authorization: Basic dXNlcjpodW50ZXIy\r\n"));
                assert!(!connect.contains("token"), "that is for the relay");
                assert!(upgrade.contains("Bearer token"));
            }
            (Err(error), Some(why)) => {
                let said = error.to_string();
                assert!(said.contains(why) && !said.contains("hunter2"), "{said}");
            }
            (dialled, _) => panic!("{in_the_way:?}: {:?}", dialled.err()),
        }
    }
}
