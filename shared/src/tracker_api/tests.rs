use super::*;
use serde_json::{Value, from_value, json, to_value};

fn registration() -> Value {
    json!({
        "public_key": "11".repeat(32),
        "nonce": "22".repeat(32),
        "proof": "33".repeat(32),
        "addresses": ["192.0.2.1:6881", "[2001:db8::1]:6881"],
        "port": 6881,
        "agent": "p2p-peer/0.1.0",
    })
}

fn file() -> Value {
    json!({
        "hash": "44".repeat(32),
        "algorithm": "sha256",
        "name": "a file.iso",
        "kind": "file",
        "size": 262_145,
        "chunk_size": 262_144,
        "merkle_root": "55".repeat(32),
        "mode": 0o644,
        "modified": {"seconds": -1, "nanos": 999_999_999},
    })
}

fn with(mut body: Value, field: &str, value: Value) -> Value {
    body[field] = value;
    body
}

fn refusal<T: serde::de::DeserializeOwned + std::fmt::Debug>(body: Value) -> String {
    from_value::<T>(body).unwrap_err().to_string()
}

#[test]
fn a_registration_is_written_as_documented() {
    let request: RegisterRequest = from_value(registration()).unwrap();
    assert_eq!(request.nonce, [0x22; 32]);
    assert_eq!(request.addresses.len(), 2);
    assert_eq!(
        to_value(&request).unwrap(),
        with(registration(), "bandwidth", Value::Null)
    );
}

#[test]
fn an_unknown_field_in_a_request_is_refused_by_name() {
    let extra = |body| with(body, "colour", json!("red"));
    assert!(refusal::<RegisterRequest>(extra(registration())).contains("colour"));
    assert!(refusal::<ChallengeRequest>(extra(json!({"public_key": "11".repeat(32)}))).contains("colour"));
    assert!(refusal::<HeartbeatRequest>(extra(json!({}))).contains("colour"));
    assert!(refusal::<FileMetadata>(extra(file())).contains("colour"));
    let announce = json!({"hash": "44".repeat(32), "have": "seeder", "file": extra(file())});
    assert!(refusal::<AnnounceRequest>(announce).contains("colour"));
    let announce = extra(json!({"hash": "44".repeat(32), "have": "seeder"}));
    assert!(refusal::<AnnounceRequest>(announce).contains("colour"));
}

#[test]
fn more_addresses_than_allowed_are_refused() {
    let addresses = |count| json!(vec!["192.0.2.1:1"; count]);
    assert!(from_value::<RegisterRequest>(with(registration(), "addresses", addresses(16))).is_ok());
    assert!(
        refusal::<RegisterRequest>(with(registration(), "addresses", addresses(17))).contains("at most 16")
    );
    assert!(refusal::<HeartbeatRequest>(json!({"addresses": addresses(17)})).contains("at most 16"));
}

#[test]
fn an_agent_that_could_play_tricks_with_a_log_is_refused() {
    let agent = |text: &str| from_value::<RegisterRequest>(with(registration(), "agent", json!(text)));
    assert!(agent(&"a".repeat(64)).is_ok());
    assert!(agent(&"a".repeat(65)).is_err());
    assert!(agent("a\nb").is_err());
    assert!(agent("\u{1b}[2J").is_err());
    assert!(agent(&"é".repeat(65)).is_err());
}

#[test]
fn a_heartbeat_without_news_is_empty() {
    assert_eq!(to_value(HeartbeatRequest::default()).unwrap(), json!({}));
    let beat: HeartbeatRequest = from_value(json!({"port": 1, "addresses": null})).unwrap();
    assert_eq!((beat.port, beat.addresses), (Some(1), None));
}

#[test]
fn a_repeated_announcement_carries_no_more_than_hash_and_have() {
    let request = AnnounceRequest {
        hash: crate::id::FileHash([0x44; 32]),
        have: Have::Stopped,
        file: None,
        chunk_hashes: None,
    };
    let body = json!({"hash": "44".repeat(32), "have": "stopped"});
    assert_eq!(to_value(&request).unwrap(), body);
    assert_eq!(from_value::<AnnounceRequest>(body).unwrap(), request);
}

#[test]
fn a_file_record_is_its_metadata_with_counts_beside_it() {
    let mut body = file();
    for field in ["chunks", "seeders", "leechers", "announced_at"] {
        body[field] = json!(2);
    }
    let record: FileRecord = from_value(body.clone()).unwrap();
    assert_eq!(to_value(&record).unwrap(), body);
}

#[test]
fn an_old_peer_understands_what_a_newer_tracker_adds_to_its_answers() {
    let mut body = file();
    for field in ["chunks", "seeders", "leechers", "announced_at", "new_in_2030"] {
        body[field] = json!(2);
    }
    assert!(from_value::<FileRecord>(body).is_ok());
    assert!(from_value::<HeartbeatResponse>(json!({"lease": 60, "new_in_2030": 1})).is_ok());
}

#[test]
fn metadata_is_the_manifest_written_down() {
    let file: FileMetadata = from_value(file()).unwrap();
    let manifest = crate::manifest::Manifest::try_from(file.clone()).unwrap();
    assert_eq!(FileMetadata::from(&manifest), file);
    assert_eq!(to_value(&manifest).unwrap(), to_value(&file).unwrap());
}

#[test]
fn an_announcement_of_what_can_be_no_file_is_refused_with_the_reason() {
    let announce = |file| json!({"hash": "44".repeat(32), "have": "seeder", "file": file});
    assert!(from_value::<AnnounceRequest>(announce(file())).is_ok());
    assert!(from_value::<AnnounceRequest>(announce(Value::Null)).is_ok());
    for (field, value, reason) in [
        ("chunk_size", json!(1024), "chunks of 1024 bytes"),
        ("size", json!(u64::MAX), "1844"),
        ("mode", json!(0o4755), "mode 4755"),
        ("name", json!("../x"), "/"),
        (
            "modified",
            json!({"seconds": 0, "nanos": 1_000_000_000}),
            "out of range",
        ),
    ] {
        let refused = refusal::<AnnounceRequest>(announce(with(file(), field, value)));
        assert!(refused.contains(reason), "{field}: {refused}");
    }
}

#[test]
fn a_problem_names_its_kind() {
    let problem = Problem::new(slug::FILE_UNKNOWN, "file unknown", 404, "nobody announced 44…");
    let body = to_value(&problem).unwrap();
    assert_eq!(body["type"], "urn:p2p:problem:file-unknown");
    assert_eq!(body.get("instance"), None);
    let read: Problem = from_value(body).unwrap();
    assert_eq!(read.slug(), Some(slug::FILE_UNKNOWN));
    let foreign = json!({"type": "about:blank", "title": "x", "status": 500, "detail": "y"});
    assert_eq!(from_value::<Problem>(foreign).unwrap().slug(), None);
}
