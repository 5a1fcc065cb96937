//! What every store has to do: one suite, run on each back end.
//!
//! A back end calls [`store_contract!`] with a function that makes an empty store and whatever keeps it alive. The cases
//! know nothing but [`Store`].

pub(crate) mod access;
pub(crate) mod files;
pub(crate) mod peers;
pub(crate) mod runs;

use super::{Announcer, Contact, Store, StoredPeer, Write, Written};
use crate::testing::{content, file_of};
use p2p_shared::{
    hash::HashAlgorithm,
    id::{ChunkHash, FileHash, PublicKey},
    manifest::Manifest,
    tracker_api::Bandwidth,
};

/// Makes a test of every case for one back end.
macro_rules! store_contract {
    ($make:path: $($group:ident { $($case:ident)+ })+) => {
        $($(
            #[actix_rt::test]
            async fn $case() {
                let (store, _kept) = $make().await;
                $crate::storage::contract::$group::$case(&store).await;
            }
        )+)+
    };
    ($make:path) => {
        $crate::storage::contract::store_contract! { $make:
            files {
                a_file_reads_back_with_its_digests
                a_second_record_of_the_same_content_changes_nothing
                a_record_that_contradicts_the_first_is_shown_it
                a_removed_file_leaves_nothing_behind
                files_are_listed_newest_first_page_by_page
                files_are_found_by_part_of_their_name_or_hash
            }
            runs {
                a_large_record_comes_in_runs_and_is_seen_when_finished
                runs_out_of_order_are_answered_with_the_one_wanted
                one_peer_cannot_spoil_what_another_is_sending
                a_peer_that_begins_too_many_records_loses_the_oldest
                a_run_under_other_metadata_begins_anew
                an_unfinished_record_can_be_dropped_or_grows_too_old
                digests_are_read_by_range_whatever_rows_they_lie_in
                a_record_begun_anew_is_not_the_one_that_was_checked
            }
            peers {
                a_peer_reads_back_and_a_new_registration_replaces_it
                peers_are_listed_in_the_order_of_their_ids
                a_snapshot_holds_who_is_online_and_what_they_have
                an_old_touch_does_not_turn_time_back
                who_was_not_heard_of_for_long_is_forgotten
                membership_of_unknown_files_and_peers_is_missing
                writes_of_one_commit_see_each_other
            }
            access {
                keys_read_back_and_are_not_added_twice
                a_key_expires_at_the_earlier_of_two_times
                a_revoked_key_is_not_listed_and_cannot_be_revoked_again
                uses_of_a_key_add_up_within_a_month
                bans_read_back_and_replace_each_other
                acts_are_listed_last_first_and_the_oldest_are_forgotten
            }
        }
    };
}
pub(crate) use store_contract;

const ANNA: PublicKey = PublicKey([1; 32]);
const BERT: PublicKey = PublicKey([2; 32]);

fn by(peer: PublicKey, at: u64) -> Announcer {
    Announcer { peer, at }
}

fn peer(key: PublicKey, at: u64) -> StoredPeer {
    StoredPeer {
        public_key: key,
        session: at,
        contact: Contact {
            observed: "203.0.113.7".parse().unwrap(),
            port: 6881,
            listed: ["192.168.1.5:6881", "[2001:db8::5]:6881"]
                .map(|address| address.parse().unwrap())
                .into(),
        },
        bandwidth: Some(Bandwidth {
            upload: Some(1_000_000),
            download: None,
        }),
        agent: "p2p-peer/0.1.0".to_owned(),
        registered_at: at,
        last_seen: at,
        online: true,
    }
}

fn small(seed: u64) -> (Manifest, Vec<ChunkHash>) {
    file_of(HashAlgorithm::Sha256, &content(seed, 1000))
}

/// A record of `chunks` chunks; its digests are made up, which is none of the store's business.
fn large(chunks: u32) -> (Manifest, Vec<ChunkHash>) {
    let (mut file, _) = small(99);
    file.size = u64::from(chunks) * 262_144;
    let digests = (0..chunks).map(|chunk| {
        let mut digest = [7; 32];
        digest[..4].copy_from_slice(&chunk.to_be_bytes());
        ChunkHash(digest)
    });
    (file, digests.collect())
}

async fn write(store: &dyn Store, write: Write) -> Written {
    let mut written = store.commit(vec![write]).await.unwrap();
    assert_eq!(written.len(), 1);
    written.remove(0)
}

async fn add(store: &dyn Store, (file, digests): &(Manifest, Vec<ChunkHash>), by: Announcer) -> Written {
    let file = Box::new(file.clone());
    let digests = digests.clone();
    write(store, Write::AddFile { file, digests, by }).await
}

async fn append(
    store: &dyn Store,
    (file, digests): &(Manifest, Vec<ChunkHash>),
    run: std::ops::Range<usize>,
    by: Announcer,
) -> Written {
    let append = Write::AppendDigests {
        file: Box::new(file.clone()),
        first: run.start as u32,
        digests: digests[run].to_vec(),
        by,
    };
    write(store, append).await
}

async fn have(store: &dyn Store, hash: FileHash, peer: PublicKey, seeder: Option<bool>) -> Written {
    write(store, Write::SetHave { hash, peer, seeder }).await
}
