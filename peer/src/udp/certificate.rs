//! Who is at the other end of a QUIC connection: the certificate that its sealed offer named, and nobody else.
//!
//! Each start makes a key and a self-signed certificate; nothing in it tells who we are. Its SHA-256 travels in the sealed offers, so each
//! side knows which one to expect of the other, both show theirs, and no name, date or authority plays a part. Who we talk to is
//! then proved once more, by the Noise session inside.

use super::{
    Fingerprint,
    randomness::{System, X25519},
};
use quinn::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
    server::{
        NoServerSessionStorage,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    version::TLS13,
};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// What is spoken on the connection (ALPN): one stream with a Noise session.
const PROTOCOL: &[u8] = b"p2p/1";
/// What the certificate says. Nobody reads it, and it is the same for all.
const NAME: &str = "p2p.invalid";

/// Why there is no QUIC.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    /// No key or certificate.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The system has no randomness.
    #[error("cannot make a key: {0}")]
    Random(#[from] getrandom::Error),
    /// rustls does not take it.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] Error),
    /// The provider lacks the cipher of QUIC's first packets. Ours has it.
    #[error("cannot set up TLS: {0}")]
    Suite(#[from] NoInitialCipherSuite),
}

/// Our key and certificate, new with each start.
#[derive(Debug)]
pub(super) struct Credentials {
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
    provider: Arc<CryptoProvider>,
    /// What the offers say of the certificate.
    pub fingerprint: Fingerprint,
}

impl Credentials {
    /// A new key and its certificate.
    pub(super) fn new() -> Result<Self, TlsError> {
        let key = new_key()?;
        let signing = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ED25519)?;
        let made = CertificateParams::new([NAME.to_owned()])?.self_signed(&signing)?;
        let certificate = made.der().clone();
        Ok(Self {
            fingerprint: fingerprint(&certificate),
            certificate,
            key,
            provider: Arc::new(provider()),
        })
    }

    /// To connect to who has the certificate `pin`.
    pub(super) fn client(&self, pin: Fingerprint) -> Result<QuicClientConfig, TlsError> {
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(self.pinned(pin))
            .with_client_auth_cert(vec![self.certificate.clone()], self.key())?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        // No name in the first packet, no session to take up again: the pin is of this connection.
        config.enable_sni = false;
        config.resumption = Resumption::disabled();
        Ok(QuicClientConfig::try_from(config)?)
    }

    /// To be connected to by who has the certificate `pin`.
    pub(super) fn server(&self, pin: Fingerprint) -> Result<QuicServerConfig, TlsError> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(self.pinned(pin))
            .with_single_cert(vec![self.certificate.clone()], self.key())?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(QuicServerConfig::try_from(config)?)
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.clone_key())
    }

    fn pinned(&self, pin: Fingerprint) -> Arc<Pinned> {
        Arc::new(Pinned {
            pin,
            provider: Arc::clone(&self.provider),
        })
    }
}

/// A new Ed25519 key (RFC 8410: 32 random bytes behind a fixed head). The system's randomness, as in all of
/// [`super::randomness`]: every start of a program would wait for aws-lc's.
fn new_key() -> Result<PrivatePkcs8KeyDer<'static>, TlsError> {
    const HEAD: [u8; 16] = [
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
    ];
    let mut key = HEAD.to_vec();
    key.resize(HEAD.len() + 32, 0);
    getrandom::fill(&mut key[HEAD.len()..])?;
    Ok(PrivatePkcs8KeyDer::from(key))
}

/// The one of the whole program, with X25519 alone: so the first packet of a connection is one datagram.
fn provider() -> CryptoProvider {
    CryptoProvider {
        kx_groups: vec![&X25519],
        secure_random: &System,
        ..aws_lc_rs::default_provider()
    }
}

fn fingerprint(certificate: &CertificateDer<'_>) -> Fingerprint {
    Sha256::digest(certificate).into()
}

/// Takes one certificate and no other.
#[derive(Debug)]
struct Pinned {
    pin: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl Pinned {
    fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        if fingerprint(certificate) == self.pin {
            Ok(())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    /// That the other side has the key of its certificate.
    fn check_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// There is no older TLS in QUIC.
fn no_older_tls() -> Error {
    Error::General("TLS 1.2 is not spoken here".to_owned())
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_older_tls())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_older_tls())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}
