use super::*;
use std::fs;

fn settings(file: &str, flags: CommonFlags) -> Result<Settings, Failure> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.toml"), file).unwrap();
    Settings::load(&CommonFlags {
        data: Some(folder.path().to_owned()),
        ..flags
    })
}

#[test]
fn flags_win_over_the_file_and_the_file_over_defaults() {
    let file = "listen = \"127.0.0.1:7000\"\ntracker = [\"http://a:1\", \"http://b:1\"]\nlog = \"debug\"\n\
                proxy = \"socks5h://p:1080\"\n";
    let settings = settings(
        file,
        CommonFlags {
            log: Some("warn".into()),
            ..CommonFlags::default()
        },
    )
    .unwrap();
    assert_eq!(settings.log.as_deref(), Some("warn"));
    let from_file = settings.peer(&PeerFlags::default(), Role::Daemon).unwrap();
    assert_eq!(from_file.listen, "127.0.0.1:7000".parse().unwrap());
    assert_eq!(from_file.api, DEFAULT_API);
    assert_eq!(from_file.tracker.urls.len(), 2);
    assert_eq!(from_file.tracker.proxy, Some("socks5h://p:1080".parse().unwrap()));
    let flags = PeerFlags {
        tracker: vec!["http://c:1".parse().unwrap()],
        listen: Some("127.0.0.1:7001".parse().unwrap()),
        proxy: Some("none".parse().unwrap()),
        ..PeerFlags::default()
    };
    let from_flags = settings.peer(&flags, Role::Daemon).unwrap();
    assert_eq!(from_flags.listen, "127.0.0.1:7001".parse().unwrap());
    assert_eq!(from_flags.tracker.urls, flags.tracker);
    assert_eq!(from_flags.tracker.proxy, flags.proxy);
}

#[test]
fn a_foreground_peer_takes_any_port_whatever_the_file_says_of_the_daemon() {
    let settings = settings(
        "listen = \"0.0.0.0:7000\"\napi = \"127.0.0.1:7002\"",
        CommonFlags::default(),
    )
    .unwrap();
    let config = settings.peer(&PeerFlags::default(), Role::Foreground).unwrap();
    assert_eq!((config.listen.port(), config.api.port()), (0, 0));
    assert!(config.api.ip().is_loopback());
}

#[test]
fn an_unknown_key_is_refused_by_name_and_line() {
    for (file, key, line) in [
        ("log = \"info\"\nlisten-on = \"x\"\n", "listen-on", 2),
        ("\n[get]\n\nouput = \"x\"\n", "ouput", 4),
        ("[share]\nhash = \"md5\"\n", "hash", 2),
        ("listen = \"nowhere\"\n", "listen", 1),
        ("tracker = [\"ftp://h\"]\n", "tracker", 1),
        ("proxy = \"ftp://h\"\n", "proxy", 1),
        ("api-key = \"secret\"\n", "api-key", 1),
    ] {
        let failure = settings(file, CommonFlags::default()).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        assert!(
            failure
                .message
                .contains(&format!("config.toml, line {line}, key \"{key}\"")),
            "{failure}"
        );
    }
}

#[test]
fn a_file_that_was_named_has_to_be_there() {
    let flags = CommonFlags {
        config: Some("/nowhere/p2p.toml".into()),
        ..CommonFlags::default()
    };
    let failure = Settings::load(&flags).unwrap_err();
    assert_eq!(failure.exit_code(), 2);
    assert!(failure.message.contains("/nowhere/p2p.toml"), "{failure}");
}

#[test]
fn a_data_folder_comes_from_the_flag_before_the_named_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p2p.toml");
    fs::write(&file, "data = \"/from/file\"").unwrap();
    let load = |data: Option<&str>| {
        let flags = CommonFlags {
            config: Some(file.clone()),
            data: data.map(PathBuf::from),
            ..CommonFlags::default()
        };
        Settings::load(&flags).unwrap().data
    };
    assert_eq!(load(None), Path::new("/from/file"));
    assert_eq!(load(Some("/from/flag")), Path::new("/from/flag"));
}

#[test]
fn a_file_in_the_data_folder_that_names_another_one_is_refused() {
    let failure = settings("data = \"/elsewhere\"", CommonFlags::default()).unwrap_err();
    assert!(failure.message.contains("remove the key"), "{failure}");
}
