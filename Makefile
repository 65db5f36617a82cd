# The two commands of the README do all the set-up: `make demo` and `make test`.
export PATH := $(HOME)/.cargo/bin:$(PATH)
.DEFAULT_GOAL := help

.PHONY: help setup demo test verify fix lint doc deny fuzz dist image test-compose test-replica build-next test-upgrade

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/' | expand -t 14

setup: ## Bring Debian packages and LibTorch (kept when already there)
	@bash scripts/setup.sh

demo: setup ## Replay four weeks of twelve real customers on an embedded cluster; writes report.html
	cargo run --quiet --bin twinscale -- demo $(ARGS)

test: setup ## Run every test
	cargo test --workspace --quiet

verify: setup lint test doc deny ## All that CI checks; writes nothing

fix: ## Format and apply the linter's own suggestions
	cargo fmt --all
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged

lint: ## Formatting and lints, warnings as errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

fuzz: ## Fuzz every reader of outside bytes, SECONDS for each (default 5)
	bash scripts/fuzz.sh $(or $(SECONDS),5)

doc: ## API documentation, warnings as errors
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet

deny: ## Bans, licences and sources of dependencies
	cargo deny --log-level error check bans licenses sources

dist: setup ## Pack a release into dist/: program, LibTorch, manual, completions, notices
	@bash scripts/dist.sh

image: ## Make the container image of what dist/ holds (packed first when it holds nothing)
	@bash scripts/image.sh

test-compose: image ## Run the cluster of deploy/compose.yaml on a container engine through faults, under load
	@bash deploy/test.sh

test-replica: ## Run stacks as containers on a container engine and measure them (SECONDS for each load, default 15)
	@bash scripts/test-replica.sh $(or $(SECONDS),15)

build-next: setup ## Build the program of the next schema into target/next
	@bash scripts/build-next.sh

test-upgrade: build-next ## Replace the program of every node of a cluster under load (ARGS: --nodes 5 ...)
	cargo test --quiet --workspace --test next_schema --features twinscale/next-schema --target-dir target/next
	cargo run --quiet -p twinscale-chaos -- upgrade --next target/next/debug/twinscale --out $(or $(OUT),$(shell mktemp -u -d)) $(ARGS)
