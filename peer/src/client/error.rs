//! How a call to a tracker fails, and what that means to a person.

use super::TrackerUrl;
use crate::error::Failure;
use p2p_shared::tracker_api::{Problem, slug};
use std::time::Duration;

/// A call to one tracker that brought no answer, or a refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No answer: no connection, or it broke, or the time was up.
    #[error("tracker {tracker} cannot be reached: {reason}")]
    Unreachable {
        /// Which tracker.
        tracker: TrackerUrl,
        /// Why not.
        reason: String,
    },
    /// It answered with a problem document.
    #[error("tracker {tracker}: {}", .problem.detail)]
    Problem {
        /// Which tracker.
        tracker: TrackerUrl,
        /// What it said.
        problem: Box<Problem>,
        /// How long it wants to be left alone, if it said so.
        retry_after: Option<Duration>,
    },
    /// It answered with something that no tracker of ours says.
    #[error("{tracker} does not answer like a tracker: {reason}; check the address and its path")]
    NotATracker {
        /// Which tracker.
        tracker: TrackerUrl,
        /// What was wrong.
        reason: String,
    },
}

impl CallError {
    /// The tracker that was asked.
    pub fn tracker(&self) -> &TrackerUrl {
        match self {
            Self::Unreachable { tracker, .. }
            | Self::Problem { tracker, .. }
            | Self::NotATracker { tracker, .. } => tracker,
        }
    }

    /// The kind of problem, if the tracker named one.
    pub fn slug(&self) -> Option<&str> {
        match self {
            Self::Problem { problem, .. } => problem.slug(),
            _ => None,
        }
    }

    /// Whether the tracker does not know the file.
    pub fn is_file_unknown(&self) -> bool {
        self.slug() == Some(slug::FILE_UNKNOWN)
    }

    /// Whether the peer's registration is gone: it expired, or the tracker started anew.
    pub fn is_registration_lost(&self) -> bool {
        matches!(self.slug(), Some(slug::TOKEN_INVALID | slug::PEER_UNKNOWN))
    }

    /// Whether asking again is useless until somebody changes a key.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self.slug(),
            Some(slug::API_KEY_INVALID | slug::SCOPE_MISSING | slug::PROOF_WRONG)
        )
    }

    /// How long the tracker wants to be left alone, if it said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Problem { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl From<&CallError> for Failure {
    fn from(error: &CallError) -> Self {
        match error {
            CallError::Unreachable { .. } => Self::unreachable(format!(
                "{error}; check that it runs and that the address is right"
            )),
            CallError::NotATracker { .. } => Self::unreachable(error.to_string()),
            CallError::Problem { .. } if error.is_file_unknown() => Self::not_found(error.to_string()),
            CallError::Problem { tracker, problem, .. } => match problem.slug() {
                Some(slug::API_KEY_INVALID) => Self::refused(format!(
                    "tracker {tracker} wants an API key that it knows ({}); set P2P_API_KEY or P2P_API_KEY_FILE, and \
                     name the tracker with --tracker if you have it from a ticket: no other one is told the key",
                    problem.detail
                )),
                Some(slug::SCOPE_MISSING) => Self::refused(format!(
                    "tracker {tracker} does not let this API key do that ({}); it needs the scope \"peer\"",
                    problem.detail
                )),
                _ if problem.status >= 500 => Self::unreachable(error.to_string()),
                _ => Self::refused(error.to_string()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(slug: &str, status: u16) -> CallError {
        CallError::Problem {
            tracker: "http://t:1".parse().unwrap(),
            problem: Box::new(Problem::new(slug, "title", status, "the detail")),
            retry_after: None,
        }
    }

    #[test]
    fn each_error_has_its_exit_code_and_names_the_tracker() {
        let unreachable = CallError::Unreachable {
            tracker: "http://t:1".parse().unwrap(),
            reason: "connection refused".into(),
        };
        for (error, code) in [
            (unreachable, 4),
            (problem(slug::FILE_UNKNOWN, 404), 3),
            (problem(slug::API_KEY_INVALID, 401), 6),
            (problem(slug::SCOPE_MISSING, 403), 6),
            (problem(slug::METADATA_DIFFERS, 409), 6),
            (problem(slug::BUSY, 503), 4),
        ] {
            let failure = Failure::from(&error);
            assert_eq!(failure.exit_code(), code, "{error}");
            assert!(failure.message.contains("http://t:1"), "{failure}");
        }
    }
}
