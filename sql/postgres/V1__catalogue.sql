-- What the trackers of one database remember. Times are Unix milliseconds by the database's clock, hashes and keys 32 raw
-- bytes. Rows refer to each other by integers, without foreign keys: every announcement would lock and rewrite the row
-- of its file, which thousands of peers announce. A membership without its peer or file is seen by nobody (ids are never
-- used twice).

CREATE FUNCTION now_millis() RETURNS bigint LANGUAGE sql VOLATILE AS
    'SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint';

-- The trackers of this database, running or not. A name is taken over by whoever starts under it.
CREATE TABLE replicas (
    id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text    NOT NULL UNIQUE,
    relay_url  text    NOT NULL,          -- where the peers that are at home there can be reached
    started_at bigint  NOT NULL,
    heard_at   bigint  NOT NULL           -- its last heartbeat; 0 once it said goodbye
) WITH (fillfactor = 50);

CREATE TABLE peers (
    id            bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    peer_id       uuid    NOT NULL UNIQUE, -- derived from the key
    public_key    bytea   NOT NULL,
    session       bigint  NOT NULL,        -- the registration that is valid; an older token is not
    observed      text    NOT NULL,        -- the address it was seen from
    port          integer NOT NULL,        -- where it listens at that address; 0: nowhere
    listed        text    NOT NULL,        -- further addresses, separated by spaces
    upload        bigint,                  -- bytes/s that its owner allows
    download      bigint,
    agent         text    NOT NULL,
    registered_at bigint  NOT NULL,
    last_seen     bigint  NOT NULL,        -- no index: with one, every sign of life would write a new row into every index
    online        boolean NOT NULL,        -- false once it left or its lease ran out
    home          integer NOT NULL,        -- the replica that it registered at
    relayed       boolean NOT NULL         -- whether it is connected to that replica's relay
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

CREATE TABLE files (
    id               bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- the cursor of a listing
    hash             bytea   NOT NULL,
    complete         boolean NOT NULL,     -- false while chunk hashes are still coming in: visible to nobody
    algorithm        text    NOT NULL,
    name             text    NOT NULL,
    folded_name      text    NOT NULL,     -- lower case, what a search looks at
    kind             text    NOT NULL,
    size             bigint  NOT NULL,
    chunk_size       integer NOT NULL,
    merkle_root      bytea   NOT NULL,
    mode             bigint  NOT NULL,
    modified_seconds bigint  NOT NULL,
    modified_nanos   bigint  NOT NULL,
    announced_by     bytea   NOT NULL,     -- the public key of the peer that did
    announced_at     bigint  NOT NULL
);

-- One record a file; beside it one unfinished record for each peer that is sending the hashes of a large one, so that
-- no peer can spoil what another is sending.
CREATE UNIQUE INDEX files_by_hash ON files (hash) WHERE complete;
CREATE UNIQUE INDEX files_unfinished ON files (announced_by, hash) WHERE NOT complete;

-- Up to 1,024 digests a row: a file of 1 TiB is 4,096 rows and not 4 million. Hashes do not compress.
CREATE TABLE chunks (
    file        bigint  NOT NULL,
    first_index integer NOT NULL,
    hashes      bytea   NOT NULL,
    PRIMARY KEY (file, first_index)
);
ALTER TABLE chunks ALTER COLUMN hashes SET STORAGE EXTERNAL;

CREATE TABLE file_peers (
    peer   bigint  NOT NULL,
    file   bigint  NOT NULL,
    seeder boolean NOT NULL,               -- whether it holds all of it
    PRIMARY KEY (peer, file)
) WITH (fillfactor = 90);

CREATE INDEX file_peers_by_file ON file_peers (file);

CREATE TABLE api_keys (
    id         text   PRIMARY KEY,         -- the public part, in the key itself
    digest     bytea  NOT NULL,            -- SHA-256 of the whole key
    name       text   NOT NULL,
    scope      text   NOT NULL,            -- peer, read or admin
    created_at bigint NOT NULL,
    expires_at bigint,
    revoked_at bigint
);
