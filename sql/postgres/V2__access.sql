-- What the holders of keys may use and have used, who is kept out, and what operators did.

ALTER TABLE api_keys
    ADD COLUMN most_requests    bigint,                    -- a second; NULL, here and below: as the tracker is configured
    ADD COLUMN most_connections bigint,                    -- to the relay at a time
    ADD COLUMN most_tunnels     bigint,                    -- through the relay at a time
    ADD COLUMN most_rate        bigint,                    -- relayed bytes a second
    ADD COLUMN most_month       bigint,                    -- relayed bytes a calendar month (UTC)
    ADD COLUMN last_used        bigint,                    -- written in groups, some seconds late
    ADD COLUMN used_month       bigint NOT NULL DEFAULT 0, -- which month used_bytes are of: months since January 1970
    ADD COLUMN used_bytes       bigint NOT NULL DEFAULT 0; -- relayed in that month, through all trackers

CREATE TABLE bans (
    peer_id   uuid   PRIMARY KEY,          -- the peer need not be known
    reason    text   NOT NULL,
    banned_by text   NOT NULL,             -- the id of a key
    banned_at bigint NOT NULL
);

-- The last 10,000 acts of operators.
CREATE TABLE audit (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- the cursor of a listing
    at      bigint NOT NULL,
    key_id  text   NOT NULL,               -- whose key; empty where no keys are needed
    address text   NOT NULL,               -- from where; empty for the command line
    action  text   NOT NULL,
    target  text   NOT NULL,
    detail  text   NOT NULL
);
