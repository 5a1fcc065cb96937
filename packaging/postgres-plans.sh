#!/usr/bin/env bash
# Fills an empty database with 1,000,000 peers, 100,000 files and 3,000,000 memberships as the trackers' tables hold them, and prints how PostgreSQL
# carries out the statements that matter. The tables are made before by `p2p-tracker migrate`.
# usage: packaging/postgres-plans.sh CONNECTION   (as psql takes it; PEERS and FILES in the environment make it smaller)
set -eu
[ $# = 1 ] || { sed -n 2,5p "$0" >&2; exit 2; }
peers=${PEERS:-1000000} files=${FILES:-100000}
sql() { psql -X -q -A -t -v ON_ERROR_STOP=1 "$1" -v peers="$peers" -v files="$files"; }

[ "$(echo 'SELECT count(*) FROM peers' | sql "$1")" = 0 ] || { echo "there are peers in this database: an empty one is needed" >&2; exit 1; }

sql "$1" <<'SQL'
INSERT INTO replicas (name, relay_url, started_at, heard_at)
  SELECT 'plans ' || n, 'ws://replica' || n || '/relay', 0, now_millis() + 3600000 FROM generate_series(1, 3) AS n;
INSERT INTO peers (peer_id, public_key, session, observed, port, listed, agent, registered_at, last_seen, online, home, relayed)
  SELECT md5(n::text)::uuid, sha256(n::text::bytea), 1, '203.0.113.7', 6881, '192.168.1.5:6881', 'plans', now_millis(),
         now_millis() + 3600000, true, 1 + n % 3, n % 2 = 0
  FROM generate_series(1, :peers) AS n;
INSERT INTO files (hash, complete, algorithm, name, folded_name, kind, size, chunk_size, merkle_root, mode, modified_seconds,
                   modified_nanos, announced_by, announced_at)
  SELECT sha256(('f' || n)::bytea), true, 'sha256', 'File ' || n, 'file ' || n, 'file', 1000000, 262144, sha256('r'), 420, 0, 0,
         sha256((1 + n % 1000)::text::bytea), n
  FROM generate_series(1, :files) AS n;
INSERT INTO chunks SELECT id, 0, decode(repeat('00', 128), 'hex') FROM files;
INSERT INTO file_peers
  SELECT DISTINCT ON (peer, file) peer, file, peer % 4 = 0
  FROM (SELECT peers.id AS peer, 1 + (peers.id * 7919 + n * 104729) % :files AS file FROM peers, generate_series(1, 3) AS n) AS pairs;
VACUUM ANALYZE;
SQL

plan() { printf '\n## %s\n\n' "$1"; { printf 'SET jit = off; EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, BUFFERS) '; cat; } | sql "$connection"; }
connection=$1
plan "a swarm at other trackers" <<'SQL'
SELECT peers.id, relay_url FROM files JOIN file_peers ON file_peers.file = files.id JOIN peers ON peers.id = file_peers.peer
  JOIN replicas ON replicas.id = peers.home
  WHERE files.hash = sha256('f77'::bytea) AND files.complete AND online AND home <> 1 AND last_seen >= now_millis() - 60000
  ORDER BY random() LIMIT 400;
SQL
plan "seeders and leechers of a page of 50 files" <<'SQL'
SELECT hash, count(*) FILTER (WHERE seeder) FROM files JOIN file_peers ON file_peers.file = files.id JOIN peers ON peers.id = file_peers.peer
  WHERE hash = ANY(ARRAY(SELECT sha256(('f' || n)::bytea) FROM generate_series(1, 50) AS n)) AND complete AND online AND home <> 1
        AND last_seen >= now_millis() - 60000 GROUP BY hash;
SQL
plan "one file" <<'SQL'
SELECT * FROM files WHERE hash = ANY(ARRAY[sha256('f77'::bytea)]) AND complete;
SQL
plan "the digests of a file" <<'SQL'
SELECT first_index, hashes FROM files LEFT JOIN chunks ON chunks.file = files.id AND first_index > -1024 AND first_index < 4
  WHERE hash = sha256('f77'::bytea) AND complete ORDER BY first_index;
SQL
plan "the newest files" <<'SQL'
SELECT * FROM files WHERE complete AND id < 9223372036854775807 ORDER BY id DESC LIMIT 51;
SQL
plan "files by a part of their name that none has" <<'SQL'
SELECT * FROM files WHERE complete AND id < 9223372036854775807 AND strpos(folded_name, 'nothing') > 0 ORDER BY id DESC LIMIT 51;
SQL
plan "a page of peers with their numbers of files" <<'SQL'
SELECT peer_id, (SELECT count(*) FROM file_peers WHERE peer = peers.id) FROM peers
  WHERE peer_id > '80000000-0000-0000-0000-000000000000' ORDER BY peer_id LIMIT 101;
SQL
plan "signs of life of 1,000 peers" <<'SQL'
UPDATE peers SET last_seen = last_seen + 1 FROM (SELECT md5(n::text)::uuid AS peer_id FROM generate_series(1, 1000) AS n) AS new
  WHERE peers.peer_id = new.peer_id AND home = 1;
SQL
plan "memberships of 1,000 peers" <<'SQL'
INSERT INTO file_peers SELECT peers.id, files.id, true FROM generate_series(1, 1000) AS n
  JOIN peers ON peers.peer_id = md5(n::text)::uuid JOIN files ON files.hash = sha256(('f' || n)::bytea) AND files.complete
  ON CONFLICT (peer, file) DO UPDATE SET seeder = excluded.seeder;
SQL
plan "how many peers" <<'SQL'
SELECT count(*) FROM peers;
SQL
plan "what a tracker begins with: its peers" <<'SQL'
SELECT * FROM peers WHERE online AND last_seen >= 0 AND home = 1;
SQL
plan "forgetting peers, of whom there are none" <<'SQL'
DELETE FROM peers WHERE id IN (SELECT id FROM peers WHERE last_seen < 0 LIMIT 10000);
SQL
