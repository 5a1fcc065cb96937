# Everything a person does with this project, by name. Each target is a line that could be typed.

TARGET := $${CARGO_TARGET_DIR:-target}

.PHONY: help run build test test-large lint bench doc tools
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: build ## tracker, a share and a fetch of it, checked, up until Ctrl-C (FILE=path, else a file it makes)
	packaging/demo.sh $(TARGET)/release $${FILE:+"$$FILE"}

build: ## release binaries: target/release/p2p-tracker and p2p-peer
	tests/prepare.sh build
	cargo build --release --locked -p p2p-tracker -p p2p-peer

test: ## install what the tests need, build once, run them all
	tests/prepare.sh nextest
	cargo build --locked --workspace --bins --tests
	cargo nextest run --locked --workspace --profile $${NEXTEST_PROFILE:-default} $(ARGS)
	cargo test --locked --workspace --doc --quiet

test-large: ## the same promises at full size: 4 GiB file, 20 kills of a 1 GiB download, 100 of a tracker, PostgreSQL away for 30 s
	P2P_TEST_LARGE_MIB=4096 P2P_TEST_CRASH_MIB=1024 P2P_TEST_KILLS=20 $(MAKE) test NEXTEST_PROFILE=large ARGS="-p p2p-tests"
	P2P_TEST_KILLS=100 P2P_TEST_OUTAGE=30 cargo nextest run --locked -p p2p-tracker --test database --profile large

lint: ## formatting, clippy, licences, duplicates, advisories, documentation
	tests/prepare.sh lint
	cargo fmt --all -- --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked -p p2p-peer --no-default-features -- -D warnings
	tests/deny.sh
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --locked --workspace --no-deps --document-private-items --quiet

bench: build ## W1, W3, W4, W5 beside the limit program and other programs, which it installs (ARGS="--help")
	tests/prepare.sh bench
	cargo build --release --locked -p p2p-tests --bins
	$(TARGET)/release/bench $(ARGS)

doc: ## the code's documentation, in target/doc
	cargo doc --locked --workspace --no-deps
