//! What was found, one thing at a time: a line for a person, the same with figures for a script.

use serde::{Deserialize, Serialize};
use std::{fmt, net::SocketAddr};

/// One thing that was looked at, and what was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at.
    pub check: Check,
    /// Which one, where there are several: the address of a tracker or of a relay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// Whether it is in order.
    pub state: State,
    /// What was found.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// There and back, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// How many seconds the tracker's clock is ahead of this machine's, to a second and a half.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ahead: Option<i64>,
    /// The kind of NAT: `none`, `endpoint-independent`, `address-dependent`, `blocked`, `unknown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nat: Option<String>,
    /// Addresses that this is about: this machine's own, or those that others see.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<SocketAddr>,
}

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// The addresses of this machine.
    Addresses,
    /// The port that other peers connect to.
    Listener,
    /// What stands between this peer and its trackers.
    Proxy,
    /// Whether a tracker answers.
    Tracker,
    /// This machine's clock beside a tracker's.
    Clock,
    /// Whether a tracker takes this peer in, and its key.
    Registration,
    /// Whether a relay is connected.
    Relay,
    /// Whether UDP comes back.
    Udp,
    /// How the way out changes addresses.
    Nat,
    /// Whether the router lets others in.
    PortMapping,
}

/// Whether something is in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is.
    Ok,
    /// It could be better.
    Warning,
    /// It is not.
    Failed,
    /// It was not looked at.
    Skipped,
}

impl Finding {
    pub(super) fn new(check: Check, state: State, message: impl Into<String>) -> Self {
        Self {
            check,
            of: None,
            state,
            message: message.into(),
            advice: None,
            latency_ms: None,
            clock_ahead: None,
            nat: None,
            addresses: Vec::new(),
        }
    }

    pub(super) fn ok(check: Check, message: impl Into<String>) -> Self {
        Self::new(check, State::Ok, message)
    }

    pub(super) fn warning(check: Check, message: impl Into<String>) -> Self {
        Self::new(check, State::Warning, message)
    }

    pub(super) fn failed(check: Check, message: impl Into<String>) -> Self {
        Self::new(check, State::Failed, message)
    }

    pub(super) fn skipped(check: Check, message: impl Into<String>) -> Self {
        Self::new(check, State::Skipped, message)
    }

    pub(super) fn of(mut self, which: impl fmt::Display) -> Self {
        self.of = Some(which.to_string());
        self
    }

    pub(super) fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    pub(super) fn latency(mut self, latency: Option<std::time::Duration>) -> Self {
        self.latency_ms = latency.map(|latency| latency.as_secs_f64() * 1000.0);
        self
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Addresses => "addresses",
            Self::Listener => "listener",
            Self::Proxy => "proxy",
            Self::Tracker => "tracker",
            Self::Clock => "clock",
            Self::Registration => "registration",
            Self::Relay => "relay",
            Self::Udp => "udp",
            Self::Nat => "nat",
            Self::PortMapping => "port mapping",
        })
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warning => "warn",
            Self::Failed => "FAIL",
            Self::Skipped => "-",
        })
    }
}
