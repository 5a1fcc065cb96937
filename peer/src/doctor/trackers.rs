//! One tracker: whether it answers and how soon, what time it is there, whether it takes this peer and its key.

use super::{Check, Examination, Finding, clock, verdict::Standing};
use crate::{
    client::{CallError, TrackerStatus, TrackerUrl},
    error::{Failure, FailureKind},
};
use tokio::time::timeout_at;

/// What helps against a tracker that is not reached.
const NOT_REACHED: &str = "Check that the tracker runs, that its address and port are right, and that no firewall or proxy stands between.";

impl Examination<'_> {
    pub(super) async fn tracker(&self, tracker: &TrackerUrl) -> Standing {
        let (answers, standing) = tokio::join!(self.answers(tracker), self.registration(tracker));
        match standing {
            // Of old it may be registered; nobody finds it there now.
            Standing::Registered if !answers => {
                Standing::Unreachable(format!("tracker {tracker} does not answer"))
            }
            standing => standing,
        }
    }

    async fn answers(&self, tracker: &TrackerUrl) -> bool {
        let probe = timeout_at(self.end, self.with.client.probe(tracker)).await;
        let unanswered = || CallError::Unreachable {
            tracker: tracker.clone(),
            reason: "no answer in time".to_owned(),
        };
        match probe.unwrap_or_else(|_| Err(unanswered())) {
            Ok(probe) => {
                let latency = probe.latency.as_secs_f64() * 1000.0;
                let message = format!("answers in {latency:.1} ms (version {})", probe.version);
                let answered = Finding::ok(Check::Tracker, message).of(tracker);
                self.tell(answered.latency(Some(probe.latency)));
                self.tell(clock::compare(probe.date, probe.at).of(tracker));
                true
            }
            Err(error) => {
                let message = match &error {
                    CallError::Unreachable { reason, .. } => format!("cannot be reached: {reason}"),
                    CallError::NotATracker { reason, .. } => {
                        format!("does not answer like a tracker: {reason}")
                    }
                    CallError::Problem { problem, .. } => problem.detail.clone(),
                };
                let failed = Finding::failed(Check::Tracker, message).of(tracker);
                self.tell(failed.advice(NOT_REACHED));
                false
            }
        }
    }

    async fn registration(&self, tracker: &TrackerUrl) -> Standing {
        let status = self.settled(std::slice::from_ref(tracker)).await;
        let (standing, finding) = judge(
            status.trackers.get(tracker),
            self.with.client.api_key(tracker).is_some(),
        );
        self.tell(finding.of(tracker));
        standing
    }
}

/// What the peer's own registration says. Pure.
fn judge(status: Option<&TrackerStatus>, has_key: bool) -> (Standing, Finding) {
    let check = Check::Registration;
    let Some(status) = status else {
        let why = "this peer is not registered there: it registers with the trackers that it was started with, and with those of its shares";
        return (Standing::NotAsked, Finding::skipped(check, why));
    };
    match &status.error {
        Some(error) => {
            let failure = Failure::from(error);
            let finding = match error {
                // Why not is said of the tracker itself.
                CallError::Unreachable { .. } => {
                    Finding::failed(check, "not registered: the tracker is not reached")
                }
                _ => Finding::failed(check, failure.message.clone()),
            };
            match failure.kind {
                FailureKind::Refused => (
                    Standing::Refused(failure.message),
                    finding.advice("Ask whoever runs the tracker for a key, or correct the one that is set."),
                ),
                _ => (Standing::Unreachable(failure.message), finding),
            }
        }
        None if status.is_registered() => {
            let seen = status
                .observed
                .map(|seen| format!("; it sees this peer at {seen}"));
            let key = if has_key { ", the API key is accepted" } else { "" };
            let message = format!("registered{key}{}", seen.unwrap_or_default());
            (Standing::Registered, Finding::ok(check, message))
        }
        None => {
            let why = "not registered yet: no answer in time";
            (
                Standing::Unreachable(why.to_owned()),
                Finding::failed(check, why).advice(NOT_REACHED),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;
    use p2p_shared::tracker_api::{Problem, slug};

    fn with(error: Option<CallError>, token: bool) -> TrackerStatus {
        TrackerStatus {
            token: token.then(|| "t".into()),
            error,
            ..TrackerStatus::default()
        }
    }

    #[test]
    fn a_refused_key_is_told_from_a_tracker_that_is_away() {
        let tracker: TrackerUrl = "http://t:1".parse().unwrap();
        let refused = CallError::Problem {
            tracker: tracker.clone(),
            problem: Box::new(Problem::new(slug::API_KEY_INVALID, "title", 401, "unknown key")),
            retry_after: None,
        };
        let away = CallError::Unreachable {
            tracker,
            reason: "connection refused".into(),
        };
        let (standing, finding) = judge(Some(&with(Some(refused), false)), true);
        assert!(matches!(standing, Standing::Refused(_)), "{standing:?}");
        assert!(finding.message.contains("P2P_API_KEY"), "{finding:?}");
        let (standing, finding) = judge(Some(&with(Some(away), true)), false);
        assert!(
            matches!(standing, Standing::Unreachable(_)),
            "a lease that still runs does not help"
        );
        assert_eq!(finding.state, State::Failed);
    }

    #[test]
    fn a_registration_without_an_error_is_one_and_silence_is_none() {
        assert_eq!(judge(Some(&with(None, true)), false).0, Standing::Registered);
        assert!(matches!(
            judge(Some(&with(None, false)), false).0,
            Standing::Unreachable(_)
        ));
        assert_eq!(judge(None, false).0, Standing::NotAsked);
    }
}
