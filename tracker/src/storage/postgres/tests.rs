use super::*;
use crate::{
    storage::{Announcer, contract::store_contract},
    testing::{cluster::Cluster, content, file_of},
};
use p2p_shared::hash::HashAlgorithm;

fn replica(name: &str) -> Replica {
    Replica {
        name: name.to_owned(),
        relay_url: format!("ws://{name}/relay"),
    }
}

async fn open(url: &str, name: &str) -> Result<Postgres, StoreError> {
    Postgres::open(&url.parse().unwrap(), &replica(name)).await
}

async fn empty() -> (Postgres, Cluster) {
    let cluster = Cluster::start();
    let store = open(&cluster.url(), "one").await.unwrap();
    (store, cluster)
}

store_contract!(empty);

fn one_file(seed: u64) -> (FileHash, Write) {
    let (file, digests) = file_of(HashAlgorithm::Sha256, &content(seed, 600_000));
    let by = Announcer {
        peer: PublicKey([1; 32]),
        at: 5,
    };
    let file = Box::new(file);
    (file.hash, Write::AddFile { file, digests, by })
}

#[actix_rt::test]
async fn trackers_that_start_at_once_migrate_once() {
    let cluster = Cluster::start();
    let url: PostgresUrl = cluster.url().parse().unwrap();
    let all = (0..8).map(|_| Postgres::migrate(&url));
    let done = futures_util::future::join_all(all).await;
    let mut done: Vec<usize> = done.into_iter().map(|done| done.unwrap()).collect();
    done.sort_unstable();
    assert_eq!(done[..7], [0; 7]);
    assert!(done[7] >= 1);
}

#[actix_rt::test]
async fn a_database_of_a_newer_version_is_refused() {
    let (_, cluster) = empty().await;
    cluster.sql(
        "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
         SELECT 999, 'later', applied_on, checksum FROM refinery_schema_history LIMIT 1",
    );
    let error = open(&cluster.url(), "two").await.err().unwrap().to_string();
    assert!(error.contains("999") || error.contains("later"), "{error}");
}

#[actix_rt::test]
async fn a_server_that_answers_before_it_has_written_is_refused() {
    let cluster = Cluster::start_with(None, &["synchronous_commit=off"]);
    let error = open(&cluster.url(), "one").await.err().unwrap().to_string();
    assert!(error.contains("synchronous_commit"), "{error}");
}

#[actix_rt::test]
async fn what_two_trackers_add_at_once_is_there_once() {
    let (one, cluster) = empty().await;
    let two = open(&cluster.url(), "two").await.unwrap();
    for round in 0..10 {
        let seeds: Vec<u64> = (0..20).map(|seed| round * 20 + seed).collect();
        let forwards = seeds.iter().map(|seed| one_file(*seed).1).collect();
        let backwards = seeds.iter().rev().map(|seed| one_file(*seed).1).collect();
        let (first, second) = tokio::join!(one.commit(forwards), two.commit(backwards));
        let (first, mut second) = (first.unwrap(), second.unwrap());
        second.reverse();
        for pair in first.into_iter().zip(second) {
            assert!(
                matches!(
                    pair,
                    (Written::Added, Written::Known) | (Written::Known, Written::Added)
                ),
                "{pair:?}"
            );
        }
    }
    assert_eq!(
        cluster.sql("SELECT count(*), count(DISTINCT hash) FROM files"),
        "200|200"
    );
    assert_eq!(cluster.sql("SELECT count(*) FROM chunks"), "200");
}

#[actix_rt::test]
async fn a_peer_is_at_home_where_it_registered_last() {
    let (one, cluster) = empty().await;
    let two = open(&cluster.url(), "two").await.unwrap();
    let peer = crate::testing::live::peer(PublicKey([1; 32]), 100);
    one.commit(vec![Write::PutPeer(peer.clone())]).await.unwrap();
    assert_eq!(one.snapshot(0).await.unwrap().peers.len(), 1);
    assert!(two.snapshot(0).await.unwrap().peers.is_empty());
    two.commit(vec![Write::PutPeer(peer.clone())]).await.unwrap();
    // The first one's lease of it runs out, which is nothing to the second.
    one.commit(vec![Write::EndPeers(vec![peer.peer_id()])])
        .await
        .unwrap();
    assert!(one.snapshot(0).await.unwrap().peers.is_empty());
    assert_eq!(two.snapshot(0).await.unwrap().peers.len(), 1);
    // Under its old name a tracker has its old peers.
    drop(two);
    let again = open(&cluster.url(), "two").await.unwrap();
    assert_eq!(again.snapshot(0).await.unwrap().peers.len(), 1);
}

#[actix_rt::test]
async fn a_swarm_elsewhere_is_told_with_its_relay_while_lease_and_tracker_last() {
    let (one, cluster) = empty().await;
    let two = open(&cluster.url(), "two").await.unwrap();
    let now = one.beat().await.unwrap().unwrap();
    let (hash, add) = one_file(1);
    let mut peers: Vec<_> = (1..=3)
        .map(|seed| crate::testing::live::peer(PublicKey([seed; 32]), now))
        .collect();
    // One that was not heard of for longer than a lease.
    peers[2].last_seen = now - 61_000;
    let have = |key: u8| Write::SetHave {
        hash,
        peer: PublicKey([key; 32]),
        seeder: Some(key == 1),
    };
    let relayed = crate::storage::Touch {
        peer: peers[0].peer_id(),
        last_seen: now,
        contact: None,
        is_relayed: true,
    };
    let mut writes: Vec<_> = peers.iter().cloned().map(Write::PutPeer).collect();
    writes.extend([add, have(1), have(2), have(3), Write::TouchPeers(vec![relayed])]);
    one.commit(writes).await.unwrap();

    let lease = Duration::from_secs(60);
    let swarm = two.elsewhere(hash, lease).await.unwrap();
    assert_eq!((swarm.seeders, swarm.leechers, swarm.peers.len()), (1, 1, 2));
    let relays = |swarm: Elsewhere| {
        let mut relays: Vec<_> = swarm
            .peers
            .into_iter()
            .map(|peer| (peer.is_seeder, peer.relay_url))
            .collect();
        relays.sort();
        relays
    };
    let there = Some("ws://one/relay".to_owned());
    assert_eq!(relays(swarm), [(false, None), (true, there)]);
    // At home they are nobody's elsewhere.
    assert!(one.elsewhere(hash, lease).await.unwrap().peers.is_empty());
    assert!(one.counts_elsewhere(vec![hash], lease).await.unwrap().is_empty());
    // A tracker that went takes its relay with it, not its peers.
    one.farewell().await.unwrap();
    let swarm = two.elsewhere(hash, lease).await.unwrap();
    assert_eq!(relays(swarm), [(false, None), (true, None)]);
}

#[actix_rt::test]
async fn signs_of_life_write_no_index() {
    let (store, cluster) = empty().await;
    let peers: Vec<_> = (0..100)
        .map(|seed| crate::testing::live::peer(PublicKey([seed; 32]), 100))
        .collect();
    store
        .commit(peers.iter().cloned().map(Write::PutPeer).collect())
        .await
        .unwrap();
    for round in 0..5 {
        let touch = |peer: &StoredPeer| crate::storage::Touch {
            peer: peer.peer_id(),
            last_seen: 200 + round,
            contact: None,
            is_relayed: false,
        };
        let touches = peers.iter().map(touch).collect();
        store.commit(vec![Write::TouchPeers(touches)]).await.unwrap();
    }
    drop(store);
    // Heap-only updates need room on the page, which a fill factor of 70 leaves for two in five peers; the more comes from pruning, the
    // fewer are touched at once. With an index on what changes there would be none.
    let updates = || {
        let text = cluster.sql(
            "SELECT pg_stat_force_next_flush();
             SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'peers'",
        );
        let line = text.lines().last().unwrap().to_owned();
        let (all, hot) = line.split_once('|').unwrap();
        (all.parse::<u32>().unwrap(), hot.parse::<u32>().unwrap())
    };
    let begin = std::time::Instant::now();
    while updates().0 < 500 {
        // Statistics come from the session that ends, in its own time.
        assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", updates());
    }
    let (all, hot) = updates();
    assert!(hot * 10 >= all * 7, "{hot} of {all} updates were heap-only");
}

fn pem(label: &str, der: &[u8]) -> String {
    let base64 = data_encoding::BASE64.encode(der);
    format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n")
}

/// A server with TLS, and the certificate that it shows.
fn with_tls(name: &str) -> (Cluster, std::path::PathBuf) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let mut cluster = Cluster::start_on_port();
    cluster.stop();
    let (certificate, key) = (
        cluster.data().join("server.crt"),
        cluster.data().join("server.key"),
    );
    std::fs::write(&certificate, pem("CERTIFICATE", made.cert.der())).unwrap();
    std::fs::write(&key, pem("PRIVATE KEY", &made.signing_key.serialize_der())).unwrap();
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let owner = std::fs::metadata(cluster.data()).unwrap();
    for path in [&certificate, &key] {
        std::os::unix::fs::chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    let conf = cluster.data().join("postgresql.auto.conf");
    std::fs::write(conf, "ssl = on\n").unwrap();
    // Whoever comes without TLS is turned away.
    std::fs::write(
        cluster.data().join("pg_hba.conf"),
        "local all all trust\nhostssl all all all trust\n",
    )
    .unwrap();
    cluster.launch();
    (cluster, certificate)
}

#[actix_rt::test]
async fn a_connection_is_encrypted_and_the_server_verified() {
    let (cluster, certificate) = with_tls("localhost");
    let url = |host: &str, parameters: &str| {
        format!("postgres://p2p@{host}:{}/postgres{parameters}", cluster.port())
    };
    let root = format!("sslrootcert={}", certificate.display());
    let store = open(&url("localhost", &format!("?{root}")), "one").await.unwrap();
    assert_eq!(store.known_peers().await.unwrap(), 0);
    let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                     WHERE application_name = 'p2p-tracker'";
    assert_eq!(cluster.sql(encrypted), "t");

    // Another name, nobody that the system knows, no encryption.
    for wrong in [
        url("127.0.0.1", &format!("?sslmode=verify-full&{root}")),
        url("localhost", "?sslmode=verify-full"),
        url("localhost", "?sslmode=disable"),
    ] {
        let error = open(&wrong, "two").await.err().unwrap().to_string();
        assert!(
            error.contains("certificate") || error.contains("pg_hba.conf"),
            "{wrong}: {error}"
        );
    }
}
