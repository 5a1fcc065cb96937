#!/usr/bin/env bash
# Installs what a target of the Makefile needs, and only what is missing.
# usage: tests/prepare.sh nextest|lint
set -eu

# A linker and make; a fresh Debian has neither.
if ! command -v cc >/dev/null; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "no C compiler: install gcc and libc6-dev (Debian), then call this again" >&2
    exit 1
  fi
  apt-get update -q
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends gcc libc6-dev
fi

# Installed without optimisation: these tools wait for others, and building them is the longer part.
install() {
  echo "installing $1 ..."
  CARGO_PROFILE_DEV_DEBUG=0 cargo install --locked --quiet --debug "$1"
}

case "${1:-}" in
  nextest)
    cargo nextest --version >/dev/null 2>&1 || install cargo-nextest
    ;;
  lint)
    cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
    cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
    cargo deny --version >/dev/null 2>&1 || install cargo-deny
    ;;
  *)
    echo "usage: tests/prepare.sh nextest|lint" >&2
    exit 2
    ;;
esac
