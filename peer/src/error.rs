//! The one error that reaches a person: what happened, to what, and what to do about it.
//!
//! Every operation inside has its own error type; at the edge (command line, local API) it becomes a [`Failure`],
//! whose kind alone decides the exit code. Nothing here prints or exits.

use serde::{Deserialize, Serialize};

/// How an operation failed, as far as a script has to tell failures apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The command line, the configuration or the ticket is wrong; trying again changes nothing.
    Usage,
    /// Nobody knows the file (or share) that was asked for.
    NotFound,
    /// No tracker or no peer could be reached.
    Unreachable,
    /// The bytes are not what their hash says.
    Integrity,
    /// Somebody said no: wrong key, missing scope, banned.
    Refused,
    /// The disk is full, a path cannot be written or read, the source changed under us.
    Disk,
    /// A person or the system asked to stop.
    Interrupted,
    /// A fault of this program.
    Internal,
}

impl FailureKind {
    /// The exit code of a process that ends with this (protocol.md, "Command lines"; 70 is `EX_SOFTWARE`).
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Unreachable => 4,
            Self::Integrity => 5,
            Self::Refused => 6,
            Self::Disk => 7,
            Self::Internal => 70,
            Self::Interrupted => 130,
        }
    }
}

/// An operation that failed, worded for the person who asked for it. In JSON: `{"code": kind, "message"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Decides the exit code.
    #[serde(rename = "code")]
    pub kind: FailureKind,
    /// What happened, to what, and what to do. One sentence or two, no trailing newline.
    pub message: String,
}

/// One constructor a kind, so that a call reads `Failure::disk(format!(…))`.
macro_rules! constructors {
    ($($name:ident => $kind:ident),* $(,)?) => {
        impl Failure {
            $(
                #[doc = concat!("A failure of kind [`FailureKind::", stringify!($kind), "`].")]
                pub fn $name(message: impl Into<String>) -> Self {
                    Self { kind: FailureKind::$kind, message: message.into() }
                }
            )*
        }
    };
}

constructors! {
    usage => Usage,
    not_found => NotFound,
    unreachable => Unreachable,
    integrity => Integrity,
    refused => Refused,
    disk => Disk,
    interrupted => Interrupted,
    internal => Internal,
}

impl Failure {
    /// What a failed file operation means to the person: a [`FailureKind::Disk`] naming `path`, with the advice
    /// that fits the error. `doing` completes "cannot …": `"write"`, `"open"`.
    pub fn io(doing: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        let advice = match error.kind() {
            ErrorKind::PermissionDenied => "; check who owns it and its permissions",
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                "; make room and run the same command again, it goes on where it was"
            }
            ErrorKind::ReadOnlyFilesystem => "; the file system is mounted read-only, choose another folder",
            ErrorKind::NotFound => "; check the path",
            _ => "",
        };
        Self::disk(format!("cannot {doing} {}: {error}{advice}", path.display()))
    }

    /// The exit code of a process that ends with this failure.
    pub fn exit_code(&self) -> u8 {
        self.kind.exit_code()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_kind_has_the_exit_code_of_the_protocol() {
        let codes = [
            (FailureKind::Usage, 2),
            (FailureKind::NotFound, 3),
            (FailureKind::Unreachable, 4),
            (FailureKind::Integrity, 5),
            (FailureKind::Refused, 6),
            (FailureKind::Disk, 7),
            (FailureKind::Internal, 70),
            (FailureKind::Interrupted, 130),
        ];
        for (kind, code) in codes {
            assert_eq!(kind.exit_code(), code, "{kind:?}");
        }
    }

    #[test]
    fn a_failure_is_written_with_its_kind_as_code() {
        let json = serde_json::to_string(&Failure::not_found("no such file")).unwrap();
        assert_eq!(json, r#"{"code":"not-found","message":"no such file"}"#);
    }

    #[test]
    fn a_full_disk_names_the_path_and_says_that_the_command_resumes() {
        let failure = Failure::io(
            "write",
            Path::new("/out/film.mkv"),
            &std::io::ErrorKind::StorageFull.into(),
        );
        assert_eq!(failure.exit_code(), 7);
        assert!(failure.message.starts_with("cannot write /out/film.mkv: "));
        assert!(failure.message.contains("goes on where it was"));
    }
}
