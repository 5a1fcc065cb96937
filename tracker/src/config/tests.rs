use super::*;
use clap::Parser as _;

fn cli(arguments: &[&str]) -> Cli {
    Cli::try_parse_from(std::iter::once(&"p2p-tracker").chain(arguments)).unwrap()
}

fn file(text: &str) -> Result<FileConfig, ConfigError> {
    FileConfig::parse(Path::new("tracker.toml"), text)
}

#[test]
fn without_any_word_it_serves_this_machine() {
    let cli = cli(&["--data", "/d"]);
    assert_eq!(cli.command, None);
    let (config, logging) = merge(&cli.flags, FileConfig::default()).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.database.path(), Some(Path::new("/d/tracker.db")));
    assert_eq!(config.lease, Duration::from_secs(60));
    assert!(!config.is_public());
    assert_eq!(
        (logging.format, logging.filter.as_str()),
        (LogFormat::Text, DEFAULT_LOG)
    );
}

#[test]
fn flags_stand_before_or_after_the_command() {
    for arguments in [["--data", "/d", "serve"], ["serve", "--data", "/d"]] {
        let cli = cli(&arguments);
        assert_eq!(cli.command, Some(Command::Serve));
        assert_eq!(cli.flags.data.as_deref(), Some(Path::new("/d")));
    }
}

#[test]
fn a_flag_wins_over_the_file() {
    let file = file("listen = \"127.0.0.1:1\"\nlease = 5\nlog-format = \"json\"\ndata = \"/file\"").unwrap();
    let (config, logging) = merge(&cli(&["--listen", "127.0.0.1:2"]).flags, file).unwrap();
    assert_eq!(config.listen.port(), 2);
    assert_eq!(config.lease, Duration::from_secs(5));
    assert_eq!(config.data, Path::new("/file"));
    assert_eq!(logging.format, LogFormat::Json);
}

#[test]
fn stun_is_answered_at_two_addresses_or_beside_the_tracker() {
    let udp = |arguments: &[&str], text: &str| {
        let flags = cli(&[&["--data", "/d"], arguments].concat()).flags;
        merge(&flags, file(text).unwrap()).map(|(config, _)| config)
    };
    let config = udp(&["--listen", "0.0.0.0:80"], "").unwrap();
    assert_eq!(config.udp, None);
    let beside = config
        .udp_beside(config.listen)
        .map(|address| address.to_string());
    assert_eq!(beside, ["0.0.0.0:3478", "0.0.0.0:3479"]);
    let any = udp(&["--listen", "127.0.0.1:0"], "").unwrap();
    let beside = any.udp_beside("127.0.0.1:4711".parse().unwrap());
    assert!(beside.iter().all(|address| address.port() == 0));
    let text = "udp-listen = [\"[::]:1\", \"[::]:2\"]";
    let config = udp(&["--udp-listen", "127.0.0.1:5,127.0.0.1:6"], text).unwrap();
    assert_eq!(config.udp.unwrap()[1].port(), 6);
    assert_eq!(udp(&[], text).unwrap().udp.unwrap()[0].port(), 1);
    for wrong in ["127.0.0.1:5", "127.0.0.1:5,127.0.0.1:5"] {
        let error = udp(&["--udp-listen", wrong], "").unwrap_err().to_string();
        assert!(error.contains("udp-listen"), "{error}");
    }
}

#[test]
fn limits_of_the_relay_come_from_flags_and_file() {
    let file = file("relay-rate = 5\nrelay-month = 6").unwrap();
    let flags = cli(&["--data", "/d", "--relay-tunnels", "4", "--relay-rate", "70000"]).flags;
    let (config, _) = merge(&flags, file).unwrap();
    let expected = RelayLimits {
        tunnels: 4,
        rate: 70_000,
        month: 6,
    };
    assert_eq!(config.relay, expected);
}

#[test]
fn a_rate_at_which_a_frame_would_take_longer_than_silence_may_is_refused_by_name() {
    let rated = |rate: &str| {
        merge(
            &cli(&["--data", "/d", "--relay-rate", rate]).flags,
            file("").unwrap(),
        )
    };
    for rate in ["1", "65535"] {
        let error = rated(rate).unwrap_err().to_string();
        assert!(error.contains("relay-rate") && error.contains(rate), "{error}");
    }
    for (rate, expected) in [("0", 0), ("65536", 65_536)] {
        assert_eq!(rated(rate).unwrap().0.relay.rate, expected);
    }
}

#[test]
fn the_relay_is_where_the_tracker_is() {
    let at = |arguments: &[&str], address: &str| {
        let flags = cli(&[&["--data", "/d"], arguments].concat()).flags;
        let (config, _) = merge(&flags, FileConfig::default()).unwrap();
        config.relay_url(address.parse().unwrap())
    };
    assert_eq!(at(&[], "127.0.0.1:8080"), "ws://127.0.0.1:8080/relay");
    assert_eq!(at(&[], "[::]:8080"), "/relay");
    let public = ["--public-url", "https://tracker.example.org/"];
    assert_eq!(at(&public, "0.0.0.0:80"), "wss://tracker.example.org/relay");
}

#[test]
fn an_unknown_key_is_refused_with_its_name_and_line() {
    let error = file("lease = 5\nlisten-at = \"127.0.0.1:1\"\n")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("tracker.toml, line 2") && error.contains("listen-at"),
        "{error}"
    );
}

#[test]
fn a_value_that_is_none_is_refused_with_its_key_and_line() {
    let error = file("\nlease = \"long\"\n").unwrap_err().to_string();
    assert!(error.contains("line 2, key \"lease\""), "{error}");
}

#[test]
fn values_out_of_range_are_refused_by_name() {
    for (arguments, part) in [
        (["--lease", "0"], "lease"),
        (["--lease", "86401"], "86400"),
        (["--database", "tracker.db"], "sqlite:PATH"),
        (["--database", "sqlite:"], "sqlite:PATH"),
        (["--public-url", "tracker.example.org"], "public-url"),
    ] {
        let flags = cli(&[&["--data", "/d"], arguments.as_slice()].concat()).flags;
        let error = merge(&flags, FileConfig::default()).unwrap_err().to_string();
        assert!(error.contains(part), "{arguments:?}: {error}");
    }
}

#[test]
fn a_database_password_is_not_repeated() {
    let database = |url: &str| {
        let flags = cli(&["--data", "/d", "--database", url]).flags;
        merge(&flags, FileConfig::default()).map(|(config, _)| config)
    };
    let config = database("postgres://tracker:geheim@db/catalogue").unwrap();
    assert_eq!(config.database.to_string(), "\"catalogue\" at db");
    assert!(!format!("{config:?}").contains("geheim"));
    let error = database("postgres://tracker:geheim@db/p?sslmode=allow")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("verify-full") && !error.contains("geheim"),
        "{error}"
    );
}

#[test]
fn one_of_several_trackers_has_a_relay_and_a_name_of_its_own() {
    let config = |arguments: &[&str]| {
        let flags = cli(&[&["--data", "/d"], arguments].concat()).flags;
        merge(&flags, FileConfig::default()).map(|(config, _)| config)
    };
    let address = "127.0.0.1:8080".parse().unwrap();
    let public = ["--public-url", "https://tracker.example.org"];
    let named = ["--relay-url", "wss://r1.example.org/relay", "--replica", "r1"];
    let one = config(&[public.as_slice(), &named].concat()).unwrap();
    assert_eq!(one.relay_url(address), "wss://r1.example.org/relay");
    assert_eq!(one.replica_name(address), "r1");
    assert!(config(&[]).unwrap().replica_name(address).ends_with(":8080"));
    let error = config(&["--relay-url", "https://r1.example.org"])
        .unwrap_err()
        .to_string();
    assert!(error.contains("relay-url") && error.contains("wss://"), "{error}");
}

#[test]
fn a_tracker_that_others_are_meant_to_reach_is_public() {
    let public = |arguments: &[&str]| {
        let flags = cli(&[&["--data", "/d"], arguments].concat()).flags;
        merge(&flags, FileConfig::default()).unwrap().0.is_public()
    };
    assert!(public(&["--listen", "0.0.0.0:8080"]));
    assert!(public(&["--listen", "192.168.1.5:8080"]));
    assert!(public(&["--public-url", "https://tracker.example.org"]));
    assert!(!public(&["--listen", "[::1]:8080"]));
    assert!(!public(&["--public-url", "http://localhost:9000"]));
}
