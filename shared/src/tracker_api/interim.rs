//! Stands in for `hash` and `manifest` until they are there; the tracker API already re-exports the names.

use serde::{Deserialize, Serialize};

/// How content is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HashAlgorithm {
    /// SHA-256.
    #[default]
    Sha256,
    /// BLAKE3.
    Blake3,
}

/// One file or a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShareKind {
    /// One file.
    File,
    /// A folder.
    Folder,
}

/// When content changed last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Modified {
    /// Unix seconds.
    pub seconds: i64,
    /// Below 10^9.
    pub nanos: u32,
}

/// One path component.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FileName(String);
