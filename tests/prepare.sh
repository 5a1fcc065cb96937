#!/usr/bin/env bash
# Installs what a target of the Makefile needs, and only what is missing.
# usage: tests/prepare.sh build|nextest|lint|bench
set -eu

root_with_apt() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

packages() {
  apt-get update -q
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
}

# Debian starts a service when it installs one, unless this file says no.
packages_without_services() {
  policy=/usr/sbin/policy-rc.d made=
  [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy; made=1; }
  packages "$@" || echo "not installed: $*"
  [ -z "$made" ] || rm $policy
}

# The packages of those programs that are not there, of pairs program:package.
missing_of() {
  for pair in "$@"; do
    [ -n "$(PATH=$PATH:/usr/sbin command -v "${pair%%:*}")" ] || echo "${pair##*:}"
  done | sort -u
}

# A C compiler and linker, for every target; a fresh Debian has none.
if ! command -v cc >/dev/null; then
  root_with_apt || { echo "no C compiler: install gcc and libc6-dev (Debian), then call this again" >&2; exit 1; }
  packages gcc libc6-dev
fi

# Installed without optimisation: these tools wait for others, and building them is the longer part.
install() {
  echo "installing $1 ..."
  CARGO_PROFILE_DEV_DEBUG=0 cargo install --locked --quiet --debug "$1"
}

# Other programs for the bench. None is required: what cannot be installed is left out of the tables, by name.
bench() {
  tools=${CARGO_TARGET_DIR:-target}/bench-tools
  mkdir -p "$tools"
  missing=$(missing_of nginx:nginx-light curl:curl openssl:openssl)
  # shellcheck disable=SC2086
  [ -z "$missing" ] || ! root_with_apt || packages_without_services $missing
  "$tools/venv/bin/python" -c 'import libtorrent' 2>/dev/null || {
    python3 -m venv "$tools/venv" && "$tools/venv/bin/pip" install -q libtorrent==2.1.1 || echo "not installed: libtorrent"
  }
  [ -x "$tools/wormhole/bin/wormhole" ] || {
    python3 -m venv "$tools/wormhole" && "$tools/wormhole/bin/pip" install -q \
      magic-wormhole==0.24.0 magic-wormhole-mailbox-server==0.8.0 magic-wormhole-transit-relay==0.5.0 || echo "not installed: magic-wormhole"
  }
  [ -x "$tools/bin/b3sum" ] || cargo install --locked --quiet b3sum --version 1.8.7 --root "$tools" || echo "not installed: b3sum"
}

# What some tests use: networks with NATs, a router's port mapping, somebody else's STUN, a Prometheus, a database. Without it they say that they are skipped or fail, and
# in CI they fail.
systems() {
  missing=$(missing_of ip:iproute2 nft:nftables ethtool:ethtool turnserver:coturn turnutils_stunclient:coturn \
    miniupnpd:miniupnpd-nftables \
    prometheus:prometheus promtool:prometheus)
  # Its programs are in a folder of their version, in nobody's PATH.
  ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
  [ -n "$missing" ] || return 0
  if root_with_apt; then
    # shellcheck disable=SC2086
    packages_without_services $missing
  else
    echo "some tests will be skipped: not installed:" $missing >&2
  fi
}

case "${1:-}" in
  build)
    ;;
  nextest)
    cargo nextest --version >/dev/null 2>&1 || install cargo-nextest
    systems
    ;;
  lint)
    cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
    cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
    cargo deny --version >/dev/null 2>&1 || install cargo-deny
    ;;
  bench)
    bench
    ;;
  *)
    echo "usage: tests/prepare.sh build|nextest|lint|bench" >&2
    exit 2
    ;;
esac
