#!/usr/bin/env bash
# What the lock may hold (deny.toml): licences, duplicates, sources, yanked versions; advisories where their database can be had.
set -eu
cargo deny --locked check licenses bans sources

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The advisory database is a git repository elsewhere. A machine that cannot reach it says so and is not failed for it;
# any answer from a database that was fetched counts.
if cargo deny --locked fetch db >"$scratch/log" 2>&1; then
  cargo deny --locked check advisories
  exit
fi
echo "advisories NOT checked, their database could not be fetched: $(grep -m1 -E 'fatal|error' "$scratch/log" | cut -c1-160 || true)"

# The same check says which versions were yanked, from the registry's index, but not without some database: one with a
# single advisory, about a crate that does not exist.
mkdir -p "$scratch/db/crates/no-such-crate"
cat >"$scratch/db/crates/no-such-crate/RUSTSEC-2000-0001.md" <<'ADVISORY'
```toml
[advisory]
id = "RUSTSEC-2000-0001"
package = "no-such-crate"
date = "2000-01-01"

[versions]
patched = []
```

# Stands in for a database that could not be fetched
ADVISORY
git -C "$scratch/db" init -q -b main
git -C "$scratch/db" add -A
git -C "$scratch/db" -c user.name=none -c user.email=none@localhost commit -q -m "stand in"
sed "s|^\[advisories\]|&\ndb-path = \"$scratch\"|" deny.toml >"$scratch/deny.toml"
GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0="url.file://$scratch/db.insteadOf" \
  GIT_CONFIG_VALUE_0=https://github.com/RustSec/advisory-db \
  cargo deny --locked --config "$scratch/deny.toml" check advisories -A advisory-not-detected -A unknown-advisory
