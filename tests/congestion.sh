#!/usr/bin/env bash
# CUBIC beside BBR on a punched path, over lines of 20 ms without and with losses: docs/adr/0008-congestion-control.md.
# usage: tests/congestion.sh [RUNS]   (root, a quiet machine; some ten minutes besides the building)
set -eu
cd "$(dirname "$0")/.."
runs=${1:-5} release=${CARGO_TARGET_DIR:-target}/release
for name in bbr cubic; do
  case $name in bbr) features=(--features p2p-peer/quic-bbr) ;; *) features=() ;; esac
  cargo build --release --locked -p p2p-tracker -p p2p-peer "${features[@]}"
  mkdir -p "$release/$name"
  cp "$release/p2p-tracker" "$release/p2p-peer" "$release/$name/"
done
cargo build --release --locked -p p2p-tests --bin nat_matrix
# Losses are those of one line: a packet passes two of them, its sender's and its reader's.
for loss in 0 0.5; do
  for name in cubic bbr cubic bbr; do
    echo "== $name, 20 ms, $loss % lost on each of two lines"
    P2P_TEST_BIN_DIR=$release/$name "$release/nat_matrix" --pairs port:port --one-way --rtt 20ms --loss "$loss" --runs "$runs" --patience 300 || true
  done
done
