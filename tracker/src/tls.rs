//! The tracker's own TLS: certificates from two PEM files, read again when they change.
//!
//! Connections that are open keep the certificate they began with. Files that cannot be used change nothing: the certificates that were
//! good stay in use, and the log says what is wrong with which file.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    },
};

/// How often the files are looked at.
pub(crate) const LOOK: Duration = Duration::from_secs(5);

/// Where certificate and key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain in PEM, the tracker's own certificate first.
    pub certificate: PathBuf,
    /// Its private key in PEM.
    pub key: PathBuf,
}

/// Why there is no TLS. Each names the file.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {error}", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It is no PEM, or damaged.
    #[error("{} is no PEM file, or damaged: {reason}", .path.display())]
    NoPem {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// It holds no certificate.
    #[error("there is no certificate in {}; expected BEGIN CERTIFICATE", .0.display())]
    NoCertificate(PathBuf),
    /// It holds no private key.
    #[error("there is no private key in {}; expected BEGIN PRIVATE KEY, without a passphrase", .0.display())]
    NoKey(PathBuf),
    /// They do not belong together.
    #[error("the key in {} is not that of the first certificate in {}", .0.key.display(), .0.certificate.display())]
    Mismatch(TlsFiles),
    /// They cannot be used.
    #[error("cannot use {} with {}: {reason}", .files.certificate.display(), .files.key.display())]
    Unusable {
        /// Which.
        files: TlsFiles,
        /// What is wrong.
        reason: String,
    },
}

/// What is in the files.
#[derive(PartialEq, Eq)]
struct Content {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Content {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        Ok(Self {
            certificate: read(&files.certificate)?,
            key: read(&files.key)?,
        })
    }

    fn config(&self, files: &TlsFiles) -> Result<ServerConfig, TlsError> {
        let no_pem = |path: &Path, error: pem::Error| TlsError::NoPem {
            path: path.to_owned(),
            reason: error.to_string(),
        };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<_, _>>()
            .map_err(|error| no_pem(&files.certificate, error))?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate(files.certificate.clone()));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| match error {
            pem::Error::NoItemsFound => TlsError::NoKey(files.key.clone()),
            error => no_pem(&files.key, error),
        })?;
        let unusable = |error: rustls::Error| match error {
            rustls::Error::InconsistentKeys(_) => TlsError::Mismatch(files.clone()),
            error => TlsError::Unusable {
                files: files.clone(),
                reason: error.to_string(),
            },
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(unusable)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|error| TlsError::Unreadable {
        path: path.to_owned(),
        error,
    })
}

/// The certificate that is valid now.
pub(crate) struct Certificates {
    files: TlsFiles,
    config: RwLock<Arc<ServerConfig>>,
    /// What was read last, good or not.
    content: Mutex<Content>,
}

impl Certificates {
    /// Reads the files. Blocks.
    ///
    /// # Errors
    /// When they are not a chain and its key.
    pub(crate) fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let content = Content::read(&files)?;
        Ok(Self {
            config: RwLock::new(Arc::new(content.config(&files)?)),
            content: Mutex::new(content),
            files,
        })
    }

    /// What takes the next connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&config))
    }

    /// Uses what is in the files now, if that is something else. Whether it was. Blocks.
    ///
    /// # Errors
    /// When it cannot be used, once for each content; what was good stays in use.
    pub(crate) fn look(&self) -> Result<bool, TlsError> {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Content::read(&self.files)?;
        if *content == now {
            return Ok(false);
        }
        let config = now.config(&self.files);
        *content = now;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config?);
        Ok(true)
    }
}

/// Looks at the files again and again, for as long as the task is left alone.
pub(crate) async fn keep_up(certificates: Arc<Certificates>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let certificates = Arc::clone(&certificates);
        match tokio::task::spawn_blocking(move || certificates.look()).await {
            Ok(Ok(false)) => {}
            Ok(Ok(true)) => tracing::info!("certificates loaded anew"),
            Ok(Err(error)) => tracing::error!(%error, "the certificates stay as they were"),
            Err(error) => tracing::error!(%error, "looking at the certificates crashed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use tempfile::TempDir;

    fn pem(what: &str, der: &[u8]) -> String {
        let text = data_encoding::BASE64.encode(der);
        format!("-----BEGIN {what}-----\n{text}\n-----END {what}-----\n")
    }

    fn pair() -> (String, String) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        (
            pem("CERTIFICATE", cert.der()),
            pem("PRIVATE KEY", &signing_key.serialize_der()),
        )
    }

    fn files((certificate, key): (&str, &str)) -> (TempDir, TlsFiles) {
        let folder = tempfile::tempdir().unwrap();
        let files = TlsFiles {
            certificate: folder.path().join("chain.pem"),
            key: folder.path().join("key.pem"),
        };
        std::fs::write(&files.certificate, certificate).unwrap();
        std::fs::write(&files.key, key).unwrap();
        (folder, files)
    }

    fn error(certificate: &str, key: &str) -> String {
        let (_folder, files) = files((certificate, key));
        Certificates::load(files).err().unwrap().to_string()
    }

    #[test]
    fn an_error_names_the_file_and_what_is_wrong_with_it() {
        let ((certificate, key), (_, other)) = (pair(), pair());
        for (error, file, reason) in [
            (error("", &key), "chain.pem", "no certificate"),
            (error(&key, &key), "chain.pem", "no certificate"),
            (error(&certificate, ""), "key.pem", "no private key"),
            (error(&certificate, &certificate), "key.pem", "no private key"),
            (
                error(&certificate, &other),
                "key.pem",
                "not that of the first certificate",
            ),
            (
                error(&certificate[..certificate.len() / 2], &key),
                "chain.pem",
                "damaged",
            ),
            (
                error(
                    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                    &key,
                ),
                "chain.pem",
                "cannot use",
            ),
        ] {
            assert!(error.contains(file) && error.contains(reason), "{error}");
        }
        let (folder, files) = files((&certificate, &key));
        std::fs::remove_file(&files.key).unwrap();
        let error = Certificates::load(files).err().unwrap().to_string();
        assert!(
            error.contains("cannot read") && error.contains("key.pem"),
            "{error}"
        );
        drop(folder);
    }

    #[test]
    fn files_that_changed_are_used_and_bad_ones_are_not() {
        let ((certificate, key), (next, next_key)) = (pair(), pair());
        let (_folder, files) = files((&certificate, &key));
        let certificates = Certificates::load(files.clone()).unwrap();
        let config = || Arc::clone(&certificates.config.read().unwrap());
        let first = config();
        assert!(!certificates.look().unwrap());
        // Between the two writes of who renews them, they do not belong together.
        std::fs::write(&files.certificate, &next).unwrap();
        assert!(matches!(certificates.look(), Err(TlsError::Mismatch(_))));
        assert!(!certificates.look().unwrap(), "said once");
        assert!(Arc::ptr_eq(&first, &config()));
        std::fs::write(&files.key, &next_key).unwrap();
        assert!(certificates.look().unwrap());
        assert!(!Arc::ptr_eq(&first, &config()));
        std::fs::remove_file(&files.key).unwrap();
        certificates.look().unwrap_err();
    }
}
