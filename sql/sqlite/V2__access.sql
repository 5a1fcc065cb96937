-- What the holders of keys may use and have used, who is kept out, and what operators did.

-- Quotas: NULL means as the tracker is configured.
ALTER TABLE api_keys ADD COLUMN most_requests INTEGER;     -- a second
ALTER TABLE api_keys ADD COLUMN most_connections INTEGER;  -- to the relay at a time
ALTER TABLE api_keys ADD COLUMN most_tunnels INTEGER;      -- through the relay at a time
ALTER TABLE api_keys ADD COLUMN most_rate INTEGER;         -- relayed bytes a second
ALTER TABLE api_keys ADD COLUMN most_month INTEGER;        -- relayed bytes a calendar month (UTC)

-- Written in groups, some seconds late.
ALTER TABLE api_keys ADD COLUMN last_used INTEGER;
ALTER TABLE api_keys ADD COLUMN used_month INTEGER NOT NULL DEFAULT 0;  -- which month used_bytes are of: months since January 1970
ALTER TABLE api_keys ADD COLUMN used_bytes INTEGER NOT NULL DEFAULT 0;  -- relayed in that month

CREATE TABLE bans (
    peer_id   BLOB    PRIMARY KEY,           -- 16 bytes; the peer need not be known
    reason    TEXT    NOT NULL,
    banned_by TEXT    NOT NULL,              -- the id of a key
    banned_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The last 10,000 acts of operators.
CREATE TABLE audit (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice: the cursor of a listing
    at       INTEGER NOT NULL,
    key_id   TEXT    NOT NULL,               -- whose key; empty where no keys are needed
    address  TEXT    NOT NULL,               -- from where; empty for the command line
    action   TEXT    NOT NULL,
    target   TEXT    NOT NULL,
    detail   TEXT    NOT NULL
) STRICT;
