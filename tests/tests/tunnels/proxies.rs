//! Trackers and relays that are reached through a proxy alone.

use crate::node::{Node, tunnel};
use crate::run;
use p2p_peer::config::{ApiKey, TrackerConfig};
use p2p_peer::relay::RelayState;
use p2p_tests::intermediary::{Intermediary, Speaks};
use p2p_tests::lab::Lab;
use p2p_tests::programs::Tracker;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A name that no resolver knows: only the proxy can connect to it.
const URL: &str = "http://tracker.invalid:8080";

const LOGIN: (&str, &str) = ("user:pass", "dXNlcjpwYXNz");

/// A tracker that goes by that name, and the key that it wants.
fn tracker(lab: &Lab) -> (Tracker, ApiKey) {
    let tracker = Tracker::start_with(lab, |launch| launch.args(["--public-url", URL]));
    let said = tracker.program.wait_err(0, "the operator's key", |line| {
        let word = line.trim();
        let is_key = word.len() > 20 && word.bytes().all(|byte| byte.is_ascii_graphic());
        is_key.then(|| word.to_owned())
    });
    let key = ApiKey::find(Some(said.0.into()), None).unwrap().unwrap();
    (tracker, key)
}

fn config(proxy: &str, key: &ApiKey) -> TrackerConfig {
    TrackerConfig {
        api_key: Some(key.clone()),
        proxy: Some(proxy.parse().unwrap()),
        ..TrackerConfig::default()
    }
}

#[test]
fn peers_behind_proxies_of_all_kinds_talk_through_a_relay_that_only_those_reach() {
    let lab = Lab::new();
    let (tracker, key) = tracker(&lab);
    let target = tracker.address();
    run(async {
        for (speaks, login, scheme) in [
            (Speaks::Http, None, "http://"),
            (Speaks::Http, Some(LOGIN), "http://user:pass@"),
            (Speaks::Socks5, None, "socks5h://"),
            (Speaks::Socks5, Some(LOGIN), "socks5h://user:pass@"),
        ] {
            let proxy = Intermediary::start(speaks, target, login).await;
            let address = format!("{scheme}{}", proxy.address());
            let anna = Node::start_with(1, URL, config(&address, &key));
            let mut bob = Node::start_with(2, URL, config(&address, &key));
            bob.connected().await;
            let (mut near, mut far) = tunnel(&anna, &mut bob, URL).await;
            near.write_all(b"hello").await.unwrap();
            let mut read = [0; 5];
            far.read_exact(&mut read).await.unwrap();
            assert_eq!(&read, b"hello");
            let asked = proxy.asked();
            let relayed = asked
                .iter()
                .filter(|asked| *asked == "CONNECT tracker.invalid:8080");
            assert!(relayed.count() >= 2, "{address}: {asked:?}");
            anna.relays.stop(std::time::Duration::from_secs(1)).await;
            bob.relays.stop(std::time::Duration::from_secs(1)).await;
        }
    });
}

#[test]
fn a_proxy_that_wants_another_password_is_named_as_what_is_in_the_way() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let url = tracker.url();
    run(async {
        for (speaks, scheme) in [(Speaks::Http, "http"), (Speaks::Socks5, "socks5h")] {
            let proxy = Intermediary::start(speaks, tracker.address(), Some(LOGIN)).await;
            let address = format!("{scheme}://user:hunter2@{}", proxy.address());
            let config = TrackerConfig {
                proxy: Some(address.parse().unwrap()),
                ..TrackerConfig::default()
            };
            // The tracker is on this machine and called straight; this relay is not.
            let anna = Node::start_with(1, &url, config);
            anna.connected().await;
            let elsewhere = p2p_peer::relay::RelayAddress {
                url: "ws://relay.invalid:1/relay".parse().unwrap(),
                tracker: url.parse().unwrap(),
            };
            let refused = anna.relays.open(&elsewhere, anna.key).await.unwrap_err();
            let said = refused.to_string();
            assert!(said.contains("proxy") && said.contains("password"), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
            let status = anna.relays.status();
            let foreign = status.iter().find(|status| !status.is_home).unwrap();
            assert!(matches!(
                foreign.state,
                RelayState::BackingOff { .. } | RelayState::Connecting
            ));
        }
    });
}
