//! Which kinds of path may be used to a peer, and in which order they are tried.
//!
//! The words are those of `--policy`. What each of them means for one attempt is decided in [`super::path`].

use crate::event::PathKind;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// How peers are to be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Everything at once, the relay when half a second brought nothing better; better paths take over
    #[default]
    Auto,
    /// One after the other: 5 s direct, then hole punching, then the relay, and stay there
    Sequential,
    /// No byte of a file through a relay
    DirectOnly,
    /// Through relays only: peers and their trackers are told none of our addresses
    RelayOnly,
}

impl Policy {
    /// Whether bytes of files may take such a path.
    pub fn allows(self, path: PathKind) -> bool {
        match self {
            Self::Auto | Self::Sequential => true,
            Self::DirectOnly => path != PathKind::Relayed,
            Self::RelayOnly => path == PathKind::Relayed,
        }
    }

    /// What holds where both are asked for: whatever either of them forbids is forbidden. `DirectOnly` and `RelayOnly`, which leave
    /// nothing, are `RelayOnly`: an address that was shown cannot be taken back.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::RelayOnly, _) | (_, Self::RelayOnly) => Self::RelayOnly,
            (Self::DirectOnly, _) | (_, Self::DirectOnly) => Self::DirectOnly,
            (Self::Sequential, _) | (_, Self::Sequential) => Self::Sequential,
            (Self::Auto, Self::Auto) => Self::Auto,
        }
    }

    /// Whether there is a path that both allow.
    pub fn agrees_with(self, other: Self) -> bool {
        !matches!(
            (self, other),
            (Self::DirectOnly, Self::RelayOnly) | (Self::RelayOnly, Self::DirectOnly)
        )
    }

    /// As `--policy` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Sequential => "sequential",
            Self::DirectOnly => "direct-only",
            Self::RelayOnly => "relay-only",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Policy; 4] = [
        Policy::Auto,
        Policy::Sequential,
        Policy::DirectOnly,
        Policy::RelayOnly,
    ];
    const PATHS: [PathKind; 3] = [PathKind::Direct, PathKind::Punched, PathKind::Relayed];

    #[test]
    fn two_policies_together_allow_nothing_that_either_forbids_and_no_order_shows_an_address_that_one_hides()
    {
        for (one, other) in ALL.into_iter().flat_map(|one| ALL.map(|other| (one, other))) {
            assert_eq!(one.and(other), other.and(one));
            for path in PATHS.into_iter().filter(|path| one.and(other).allows(*path)) {
                let both = one.allows(path) && other.allows(path);
                assert!(both || (!one.agrees_with(other) && path == PathKind::Relayed));
            }
            let common = PATHS
                .into_iter()
                .any(|path| one.allows(path) && other.allows(path));
            assert_eq!(one.agrees_with(other), common);
        }
    }

    #[test]
    fn the_words_of_the_command_line_and_of_json_are_the_same() {
        for policy in ALL {
            let json = serde_json::to_value(policy).unwrap();
            assert_eq!(json, policy.as_str());
            let word = policy.to_possible_value().unwrap();
            assert_eq!(word.get_name(), policy.as_str());
        }
    }
}
