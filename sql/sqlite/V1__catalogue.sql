-- What the tracker remembers across restarts. Times are Unix milliseconds, hashes and keys 32 raw bytes.
-- Rows refer to each other by small integers: a membership is 20 bytes, not two hashes.

CREATE TABLE peers (
    id            INTEGER PRIMARY KEY,
    peer_id       BLOB    NOT NULL UNIQUE,   -- 16 bytes, derived from the key
    public_key    BLOB    NOT NULL UNIQUE,
    session       INTEGER NOT NULL,          -- the registration that is valid; an older token is not
    observed      TEXT    NOT NULL,          -- the address it was seen from
    port          INTEGER NOT NULL,          -- where it listens at that address; 0: nowhere
    listed        TEXT    NOT NULL,          -- further addresses, separated by spaces
    upload        INTEGER,                   -- bytes/s that its owner allows
    download      INTEGER,
    agent         TEXT    NOT NULL,
    registered_at INTEGER NOT NULL,
    last_seen     INTEGER NOT NULL,          -- written in groups, a few seconds late; no index, it changes all the time
    online        INTEGER NOT NULL           -- 0 once it left or its lease ran out
) STRICT;

CREATE TABLE files (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice: the cursor of a listing
    hash             BLOB    NOT NULL,
    complete         INTEGER NOT NULL,       -- 0 while chunk hashes are still coming in: visible to nobody
    algorithm        TEXT    NOT NULL,
    name             TEXT    NOT NULL,
    folded_name      TEXT    NOT NULL,       -- lower case, what a search looks at
    kind             TEXT    NOT NULL,
    size             INTEGER NOT NULL,
    chunk_size       INTEGER NOT NULL,
    merkle_root      BLOB    NOT NULL,
    mode             INTEGER NOT NULL,
    modified_seconds INTEGER NOT NULL,
    modified_nanos   INTEGER NOT NULL,
    announced_by     BLOB    NOT NULL,       -- the public key of the peer that did
    announced_at     INTEGER NOT NULL
) STRICT;

-- One record a file; beside it one unfinished record for each peer that is sending the hashes of a large one, so that
-- no peer can spoil what another is sending.
CREATE UNIQUE INDEX files_by_hash ON files (hash) WHERE complete = 1;
CREATE UNIQUE INDEX files_unfinished ON files (hash, announced_by) WHERE complete = 0;

-- Up to 1,024 digests a row: a file of 1 TiB is 4,096 rows and not 4 million.
CREATE TABLE chunks (
    file        INTEGER NOT NULL,
    first_index INTEGER NOT NULL,
    hashes      BLOB    NOT NULL,
    UNIQUE (file, first_index)
) STRICT;

CREATE TABLE file_peers (
    peer   INTEGER NOT NULL,
    file   INTEGER NOT NULL,
    seeder INTEGER NOT NULL,                 -- 1: holds all of it
    PRIMARY KEY (peer, file)
) STRICT, WITHOUT ROWID;

CREATE INDEX file_peers_by_file ON file_peers (file);

CREATE TABLE api_keys (
    id         TEXT    PRIMARY KEY,          -- the public part, in the key itself
    digest     BLOB    NOT NULL,             -- SHA-256 of the whole key
    name       TEXT    NOT NULL,
    scope      TEXT    NOT NULL,             -- peer, read or admin
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;
