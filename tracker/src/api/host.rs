//! Whether a host means this machine. Pure.

use std::net::IpAddr;

/// Whether `HOST` or `HOST:PORT` is `localhost` or a loopback address.
pub(crate) fn is_this_machine(host: &str) -> bool {
    let name = without_port(host).trim_end_matches('.');
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || bare
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.to_canonical().is_loopback())
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    }
}

/// The host of an `http` or `https` URL, with its port if it has one.
pub(crate) fn of_url(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_goes_by_several_names() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "localhost.:80",
            "127.0.0.1",
            "127.0.0.1:8080",
            "127.9.9.9",
            "[::1]",
            "[::1]:8080",
            "[::ffff:127.0.0.1]:8080",
        ] {
            assert!(is_this_machine(host), "{host}");
        }
    }

    #[test]
    fn other_names_are_other_machines() {
        for host in [
            "",
            "example.org",
            "localhost.example.org",
            "192.168.1.5:8080",
            "[::2]:80",
            "127.0.0.1.nip.io",
        ] {
            assert!(!is_this_machine(host), "{host}");
        }
    }

    #[test]
    fn a_url_has_a_host() {
        assert_eq!(of_url("https://tracker.example.org/base"), "tracker.example.org");
        assert_eq!(of_url("http://[::1]:8080"), "[::1]:8080");
    }
}
