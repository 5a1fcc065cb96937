use super::*;
use clap::ArgAction;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split(' '))
}

#[test]
fn the_arguments_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn the_data_folder_is_accepted_before_and_after_the_command() {
    for line in ["p2p-peer --data /d list", "p2p-peer list --data /d"] {
        assert_eq!(
            parse(line).unwrap().common.data.as_deref(),
            Some(Path::new("/d")),
            "{line}"
        );
    }
}

#[test]
fn trackers_and_paths_may_be_several() {
    let cli = parse("p2p-peer share --tracker http://a:1 one --tracker http://b:1 two").unwrap();
    let Command::Share(args) = cli.command else {
        panic!("not a share")
    };
    assert_eq!(args.paths, [Path::new("one"), Path::new("two")]);
    let trackers = ["http://a:1", "http://b:1"].map(|url| url.parse().unwrap());
    assert_eq!(args.peer.tracker, trackers);
}

#[test]
fn a_proxys_address_that_cannot_be_used_is_not_repeated() {
    for line in [
        "p2p-peer share --proxy socks4://user:hunter2@h:1 one",
        "p2p-peer share --proxy=http://user:hunter2@h/path one",
        "p2p-peer daemon --proxy hunter2",
    ] {
        let mut error = parse(line).unwrap_err();
        hide_secret(&mut error);
        let said = error.to_string();
        assert!(!said.contains("hunter2") && said.contains("--proxy"), "{said}");
        assert!(said.contains("no proxy's address"), "{said}");
    }
    let mut error = parse("p2p-peer share --tracker ftp://shown one").unwrap_err();
    hide_secret(&mut error);
    assert!(error.to_string().contains("ftp://shown"), "{error}");
}

#[test]
fn what_cannot_be_is_a_usage_error() {
    for line in [
        "p2p-peer",
        "p2p-peer share",
        "p2p-peer get",
        "p2p-peer pause",
        "p2p-peer share --hash md5 file",
        "p2p-peer share --tracker ftp://h file",
        "p2p-peer daemon --listen nowhere",
        "p2p-peer get --timeout soon p2p:x",
    ] {
        let error = parse(line).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn a_tracker_with_a_password_is_refused() {
    let error = parse("p2p-peer daemon --tracker http://me:hunter2@h")
        .unwrap_err()
        .to_string();
    assert!(error.contains("holds no user name or password"), "{error}");
}

/// Every flag of every command, as (command, flag).
fn flags() -> Vec<(String, clap::Arg)> {
    let mut root = Cli::command();
    root.build();
    let mut flags = Vec::new();
    for command in root.get_subcommands() {
        let named = command.get_arguments().filter(|arg| arg.get_long().is_some());
        let real = named.filter(|arg| !matches!(arg.get_action(), ArgAction::Help | ArgAction::Version));
        flags.extend(real.map(|arg| (command.get_name().to_owned(), arg.clone())));
    }
    flags
}

#[test]
fn every_flag_has_the_variable_that_goes_with_its_name() {
    for (command, flag) in flags() {
        let name = flag.get_long().unwrap();
        let variable = format!("P2P_{}", name.to_uppercase().replace('-', "_"));
        assert_eq!(
            flag.get_env().and_then(|name| name.to_str()),
            Some(variable.as_str()),
            "{command} --{name}"
        );
    }
}

#[test]
fn every_flag_has_a_key_in_the_file() {
    let common = ["data", "json", "log", "log-format"];
    let peer = [
        "tracker",
        "api-key-file",
        "listen",
        "stun",
        "no-port-mapping",
        "proxy",
        "policy",
        "announce",
        "api",
    ];
    for (command, flag) in flags() {
        let name = flag.get_long().unwrap();
        // The file cannot say which file it is.
        if name == "config" {
            continue;
        }
        let value = match name {
            "json" | "seed" | "skip-unreadable" | "list" | "no-port-mapping" => "true",
            "include" | "exclude" => "[\"*\"]",
            "timeout" => "1",
            "tracker" => "[\"http://h:1\"]",
            "announce" => "[\"192.0.2.1:1\"]",
            "stun" => "[\"stun:h\"]",
            "proxy" => "\"http://h:1\"",
            "policy" => "\"auto\"",
            "listen" | "api" => "\"127.0.0.1:1\"",
            "hash" => "\"blake3\"",
            "log-format" => "\"json\"",
            _ => "\"text\"",
        };
        let section = match common.contains(&name) || peer.contains(&name) {
            true => String::new(),
            false => format!("[{command}]\n"),
        };
        let text = format!("{section}{name} = {value}\n");
        let read = toml::from_str::<crate::config::file::FileConfig>(&text);
        assert!(read.is_ok(), "{command} --{name}: {text}{}", read.unwrap_err());
    }
}

#[test]
fn no_flag_takes_a_secret() {
    for (command, flag) in flags() {
        let name = flag.get_long().unwrap();
        assert!(
            !matches!(name, "api-key" | "token" | "secret" | "password"),
            "{command} --{name}"
        );
    }
}

#[test]
fn every_command_says_what_it_does() {
    for command in Cli::command().get_subcommands() {
        assert!(command.get_about().is_some(), "{}", command.get_name());
        for arg in command.get_arguments() {
            assert!(
                arg.get_help().is_some(),
                "{} {}",
                command.get_name(),
                arg.get_id()
            );
        }
    }
}
