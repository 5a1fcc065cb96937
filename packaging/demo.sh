#!/bin/bash
# The main job in one command: a tracker, a share, a fetch of it by a second peer, checked with sha256sum.
#
#   packaging/demo.sh BINARIES [FILE]
#
# BINARIES is the folder with p2p-tracker and p2p-peer. FILE is what is shared; without it, 256 MiB of random bytes.
# Everything else is kept in a temporary folder. Stays up until Ctrl-C, which ends all of it and removes the folder.
set -euo pipefail

binaries=${1:?usage: demo.sh BINARIES [FILE]}
file=${2:-}
folder=$(mktemp -d "${TMPDIR:-/tmp}/p2p-demo.XXXXXX")
children=()

# Ends what was started, last first, each by its process id.
clean_up() {
    trap '' INT TERM
    for ((i = ${#children[@]} - 1; i >= 0; i--)); do
        kill -TERM "${children[i]}" 2>/dev/null || true
        wait "${children[i]}" 2>/dev/null || true
    done
    rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
    echo "$1" >&2
    [ -f "$2" ] && cat "$2" >&2
    exit 1
}

# until_true PID LOG CONDITION…: waits until the condition holds; fails when the process ends before.
until_true() {
    local pid=$1 log=$2
    shift 2
    until "$@"; do
        kill -0 "$pid" 2>/dev/null || fail "ended before it was ready:" "$log"
        sleep 0.05
    done
}

if [ -z "$file" ]; then
    file=$folder/random.bin
    echo "making 256 MiB of random bytes (FILE=path shares a file of yours)"
    head -c 268435456 /dev/urandom >"$file"
fi
[ -f "$file" ] || fail "$file is not a file" /dev/null
size=$(stat -c %s "$file")

# The settings of whoever runs this do not reach the demo.
for name in $(compgen -e P2P_ || true); do unset "$name"; done

tracker_log=$folder/tracker.log
"$binaries/p2p-tracker" serve --listen 127.0.0.1:0 --data "$folder/tracker" >"$folder/tracker.out" 2>"$tracker_log" &
children+=($!)
address() { sed -n 's/.*listening.*\(127\.0\.0\.1:[0-9][0-9]*\).*/\1/p' "$tracker_log" | head -n 1; }
is_listening() { [ -n "$(address)" ]; }
until_true $! "$tracker_log" is_listening
tracker=http://$(address)

share_log=$folder/share.log
"$binaries/p2p-peer" share "$file" --data "$folder/sharer" --tracker "$tracker" >"$folder/ticket" 2>"$share_log" &
children+=($!)
sharer=$!
has_ticket() { [ -s "$folder/ticket" ]; }
until_true "$sharer" "$share_log" has_ticket
ticket=$(cat "$folder/ticket")

started=$(date +%s.%N)
"$binaries/p2p-peer" get "$ticket" --data "$folder/fetcher" --output "$folder/fetched" >"$folder/path"
ended=$(date +%s.%N)

fetched=$(cat "$folder/path")
sum() { sha256sum <"$1" | cut -d ' ' -f 1; }
expected=$(sum "$file")
[ "$(sum "$fetched")" = "$expected" ] || fail "sha256sum says that $fetched is not $file" "$share_log"

# From here on Ctrl-C is how it ends.
trap 'exit 0' INT TERM
speed=$(awk -v size="$size" -v from="$started" -v to="$ended" \
    'BEGIN { printf "%.1f MB in %.2f s, %.0f MB/s", size / 1e6, to - from, size / 1e6 / (to - from) }')
cat <<TEXT

fetched   $fetched
checked   sha256sum $expected
speed     $speed (from start to exit of \`p2p-peer get\`: encrypted, verified, durable)
tracker   $tracker
ticket    $ticket

Fetch it yourself:  $binaries/p2p-peer get $ticket --data /tmp/p2p-try --output /tmp
Ctrl-C ends everything and removes $folder
TEXT

wait "$sharer" || fail "the sharing peer ended:" "$share_log"
