//! What a client wants to hear. Pure.

use super::event::{Event, Topic};
use p2p_shared::id::FileHash;
use serde::Deserialize;
use std::collections::HashSet;

/// Files that one client may choose: a screen of them, several times over.
const MOST_FILES: usize = 500;

/// What a client says in a message; it takes the place of what it said before.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Subscription {
    /// Only these kinds; absent: all.
    #[serde(default)]
    topics: Option<HashSet<Topic>>,
    /// Of what is about a file, only these files; absent: all.
    #[serde(default)]
    files: Option<HashSet<FileHash>>,
}

/// The query of `/ws`: the same as a [`Subscription`], as far as it is short.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Kinds of events, with commas: peers, files, swarms, relay, rates, replicas; all if not said.
    topics: Option<String>,
    /// Of what is about a file, only this file.
    file: Option<FileHash>,
}

/// A subscription that is none; the text says why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadSubscription(String);

impl Subscription {
    /// Reads the message of a client.
    pub(crate) fn read(text: &[u8]) -> Result<Self, BadSubscription> {
        let subscription: Self =
            serde_json::from_slice(text).map_err(|error| BadSubscription(error.to_string()))?;
        match subscription.files.as_ref().map_or(0, HashSet::len) {
            0..=MOST_FILES => Ok(subscription),
            files => Err(BadSubscription(format!("{files} files, more than {MOST_FILES}"))),
        }
    }

    /// Reads the query of a client.
    pub(crate) fn of(wanted: Wanted) -> Result<Self, BadSubscription> {
        let topic = |name: &str| {
            serde_json::from_value(name.trim().into()).map_err(|_| {
                BadSubscription(format!(
                    "there is no topic {:?}",
                    name.escape_default().to_string()
                ))
            })
        };
        let topics = wanted.topics.map(|names| names.split(',').map(topic).collect());
        Ok(Self {
            topics: topics.transpose()?,
            files: wanted.file.map(|file| HashSet::from([file])),
        })
    }

    /// Whether the client wants to hear this.
    pub(crate) fn wants(&self, event: &Event) -> bool {
        let topic = self
            .topics
            .as_ref()
            .is_none_or(|topics| topics.contains(&event.topic()));
        let file = match (&self.files, event.file()) {
            (Some(files), Some(file)) => files.contains(file),
            _ => true,
        };
        topic && file
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use p2p_shared::id::{PeerId, PublicKey};

    const ONE: FileHash = FileHash([1; 32]);
    const OTHER: FileHash = FileHash([2; 32]);

    fn removed(hash: FileHash) -> Event {
        Event::FileRemoved { hash }
    }

    fn online() -> Event {
        let peer_id = PeerId::of(&PublicKey([3; 32]));
        Event::PeerOnline { peer_id }
    }

    #[test]
    fn who_says_nothing_hears_everything() {
        let all = Subscription::read(b"{}").unwrap();
        assert!(all.wants(&online()) && all.wants(&removed(ONE)));
        assert_eq!(Subscription::of(Wanted::default()).unwrap(), all);
    }

    #[test]
    fn topics_and_files_narrow_what_is_heard() {
        let text = format!("{{\"topics\":[\"files\"],\"files\":[\"{ONE}\"]}}");
        let said = Subscription::read(text.as_bytes()).unwrap();
        let asked = Subscription::of(Wanted {
            topics: Some("files".to_owned()),
            file: Some(ONE),
        });
        assert_eq!(asked.unwrap(), said);
        assert!(said.wants(&removed(ONE)) && !said.wants(&removed(OTHER)) && !said.wants(&online()));
    }

    #[test]
    fn what_is_no_subscription_is_refused_with_the_reason() {
        for (text, reason) in [
            (&b"{\"topics\":[\"gossip\"]}"[..], "gossip"),
            (b"{\"colour\":1}", "colour"),
            (b"{", "EOF"),
        ] {
            let error = Subscription::read(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        let files: Vec<String> = (0..=MOST_FILES).map(|at| format!("\"{at:064x}\"")).collect();
        let text = format!("{{\"files\":[{}]}}", files.join(","));
        assert!(
            Subscription::read(text.as_bytes())
                .unwrap_err()
                .to_string()
                .contains("501")
        );
        let unknown = Wanted {
            topics: Some("peers,nothing".to_owned()),
            file: None,
        };
        assert!(
            Subscription::of(unknown)
                .unwrap_err()
                .to_string()
                .contains("nothing")
        );
    }
}
