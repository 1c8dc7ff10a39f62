# The verbs of this repository. `make demo` and `make test` set up all they need on a machine that has the Rust
# toolchain, Python, Node and a package manager.

.PHONY: help demo test rolling lint bench fuzz schemas tools ci clean chart chart-readme image soak

help: ## these verbs
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s "$$(printf '\t')"

demo: ## see one signed event of each vendor go in and come out
	@scripts/demo.sh

test: tools ## run every test
	cargo test --locked
	tests/chart/run
	tests/deploy/run
	tests/image/run

chart: ## run the tests of the helm chart alone
	@scripts/packages.sh
	@scripts/chart-tools.sh
	cargo build --locked
	tests/chart/run

# The chart's README is made from its values.yaml; the tests want it fresh.
chart-readme:
	@scripts/chart-tools.sh
	target/tools/chart/helm-docs/helm-docs --chart-search-root helm --log-level warning

rolling: tools ## 20 rolling updates under load behind HAProxy and behind nginx: a table of what failed, about 12 minutes
	HOOKBUS_ROLLINGS=$${HOOKBUS_ROLLINGS:-20} cargo test --locked --quiet --test it rolling::behind -- --nocapture

soak: tools ## the broker scenarios in their long forms, one after the other: 30 s freezes, 100 kills, 100,000 events spooled
	HOOKBUS_SOAK=1 cargo test --locked --test it scenarios -- --test-threads=1 --nocapture

lint: tools ## formatting, clippy, docs, licences, shell scripts: all without a warning
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items --quiet
	target/tools/cargo/bin/cargo-deny --log-level error check bans licenses sources
	bash -n scripts/*.sh deploy/*.sh deploy/rights/*.sh tests/*/run .ci/run
	target/tools/lint/bin/shellcheck --severity=warning scripts/*.sh deploy/*.sh deploy/rights/*.sh tests/*/run .ci/run
	target/tools/lint/bin/hadolint deploy/Dockerfile

bench: tools ## measure the rooms of the house, then the whole beside what it is made of (writes docs/benchmark.md)
	cargo bench --locked --bench rooms
	cargo bench --locked --bench gateway -- --output docs

image: tools ## build the image's layout around a debug binary, without pulling, and run it as Kubernetes would
	cargo build --locked
	tests/image/run

fuzz: ## long fuzz runs of the property tests (PROPTEST_CASES each)
	PROPTEST_CASES=$${PROPTEST_CASES:-20000} cargo test --locked --release --lib

schemas: ## write the AsyncAPI document and the JSON Schemas of schemas/ anew
	cargo run --locked --quiet -- schema --defaults --directory schemas

tools: ## fetch the tools that tests use into target/tools
	@scripts/tools.sh

ci: lint test ## what CI runs
	cargo bench --locked --profile dev --bench rooms --bench gateway -- --test

clean: ## remove everything that was built or fetched
	cargo clean
