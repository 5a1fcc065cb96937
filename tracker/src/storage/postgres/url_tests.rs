use super::*;

fn url(text: &str) -> PostgresUrl {
    text.parse().unwrap()
}

fn error(text: &str) -> String {
    text.parse::<PostgresUrl>().unwrap_err().to_string()
}

#[test]
fn every_timeout_is_set_for_every_host_and_it_has_to_take_writes() {
    let url = url("postgres://tracker@db1:5433,db2/p2p");
    assert_eq!(url.hosts.len(), 2);
    for config in &url.hosts {
        assert_eq!(config.get_connect_timeout(), Some(&CONNECT));
        assert_eq!(config.get_tcp_user_timeout(), Some(&TCP_USER_TIMEOUT));
        assert!(config.get_keepalives() && config.get_keepalives_retries().is_some());
        assert_eq!(config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
        assert_eq!(
            (config.get_user(), config.get_dbname()),
            (Some("tracker"), Some("p2p"))
        );
    }
    assert_eq!(url.hosts[0].get_ports(), [5433]);
    assert_eq!(url.hosts[1].get_ports(), [5432]);
}

#[test]
fn what_leaves_the_machine_is_encrypted_and_verified_unless_told_otherwise() {
    assert_eq!(url("postgres://u@db/p").tls, Tls::System);
    assert_eq!(url("postgres://u@localhost,127.0.0.1/p").tls, Tls::Off);
    assert_eq!(url("postgres://u@%2Frun%2Fpostgresql/p").tls, Tls::Off);
    assert_eq!(url("postgres://u@localhost,db/p").tls, Tls::System);
    assert_eq!(url("postgres://u@db/p?sslmode=disable").tls, Tls::Off);
    assert_eq!(url("postgres://u@localhost/p?sslmode=require").tls, Tls::System);
    let file = Tls::File("/etc/a b.pem".into());
    let with_file = "postgres://u@db/p?sslmode=verify-full&sslrootcert=/etc/a%20b.pem&connect_timeout=9";
    assert_eq!(url(with_file).tls, file);
    assert_eq!(
        url(with_file).hosts[0].get_connect_timeout(),
        Some(&Duration::from_secs(9))
    );
    assert!(error("postgres://u@db/p?sslmode=prefer").contains("verify-full"));
}

#[test]
fn what_makes_no_sense_is_refused_without_showing_the_password() {
    for text in [
        "postgres://u:geheim@/p",
        "postgres://u:geheim@db:notaport/p",
        "postgres://u:geheim@db/p?unheard_of=1",
        "postgres://u:geheim@db/p?target_session_attrs=read-only",
        "postgres://u:geheim@db/p?sslrootcert=%4",
    ] {
        assert!(!error(text).contains("geheim"), "{}", error(text));
    }
    let with = url("postgres://u:geheim@db/p");
    assert!(with.has_password());
    assert!(!format!("{with:?} {with}").contains("geheim"));
    assert_eq!(with.to_string(), "\"p\" at db");
}

#[test]
fn a_password_comes_from_the_environment_or_a_private_file() {
    let given = url("postgres://u@db/p")
        .with_password(Some("geheim"), None)
        .unwrap();
    assert_eq!(given.hosts[0].get_password(), Some("geheim".as_bytes()));
    let own = url("postgres://u:own@db/p")
        .with_password(Some("geheim"), None)
        .unwrap();
    assert_eq!(own.hosts[0].get_password(), Some("own".as_bytes()));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pgpass");
    std::fs::write(&path, "# a comment\ndb:5432:p:other:no\n*:5432:p:u:a\\:b\\\\c\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let open = url("postgres://u@db/p")
        .with_password(None, Some(&path))
        .unwrap_err();
    assert!(open.to_string().contains("chmod 600"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let from_file = url("postgres://u@db/p").with_password(None, Some(&path)).unwrap();
    assert_eq!(from_file.hosts[0].get_password(), Some("a:b\\c".as_bytes()));
    let nobody = url("postgres://w@db/p").with_password(None, Some(&path)).unwrap();
    assert_eq!(nobody.hosts[0].get_password(), None);
}
