//! What failures of the parts mean to a person.

use crate::{
    error::Failure,
    selection::NothingChosen,
    storage::{CommitError, DiskError, FinishError, ImportError, StoreError},
};

impl From<DiskError> for Failure {
    fn from(error: DiskError) -> Self {
        Self::from(&error)
    }
}

impl From<NothingChosen> for Failure {
    fn from(nothing: NothingChosen) -> Self {
        Self::not_found(nothing.to_string())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unknown(_) => Self::not_found(format!("{error}; `p2p-peer list` shows what is")),
            StoreError::TargetTaken(_) | StoreError::FolderTaken(_) | StoreError::InUse(_) => {
                Self::disk(error.to_string())
            }
            StoreError::Selection(nothing) => nothing.into(),
            StoreError::WrongHashes(_) => Self::integrity(error.to_string()),
            StoreError::Disk(error) => error.into(),
            StoreError::Damaged { .. } => Self::disk(format!("{error}; remove it and run the command again")),
            StoreError::Import(error) => error.into(),
            StoreError::Down(_) => Self::internal(format!("{error}; run the command again")),
        }
    }
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Disk(error) => error.into(),
            ImportError::Unreadable(_) => Self::disk(format!("{error}; --skip-unreadable shares the rest")),
            ImportError::Cancelled => Self::interrupted("interrupted; the same command goes on where it was"),
            ImportError::Name { .. } | ImportError::Special(_) | ImportError::OwnData(_) => {
                Self::usage(error.to_string())
            }
            ImportError::Index { .. } | ImportError::TooLarge { .. } => Self::usage(error.to_string()),
            ImportError::Changed(_) => Self::disk(error.to_string()),
        }
    }
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::NoSpace(error) | CommitError::Permission(error) | CommitError::Io(error) => {
                error.into()
            }
            CommitError::BadIndex(_) => Self::integrity(error.to_string()),
            CommitError::Selection(nothing) => nothing.into(),
            CommitError::OtherFile(_) | CommitError::Closed => Self::internal(error.to_string()),
        }
    }
}

impl From<FinishError> for Failure {
    fn from(error: FinishError) -> Self {
        match error {
            FinishError::NoSpace(error) | FinishError::Permission(error) | FinishError::Io(error) => {
                error.into()
            }
            FinishError::Integrity(_) | FinishError::Damaged(_) | FinishError::BadIndex(_) => {
                Self::integrity(error.to_string())
            }
            FinishError::Selection(nothing) => nothing.into(),
            FinishError::TargetTaken(_) => Self::disk(error.to_string()),
            FinishError::Missing(_) | FinishError::Closed => Self::internal(error.to_string()),
            FinishError::Store(error) => error.into(),
        }
    }
}
