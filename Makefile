# The verbs of this repository. `make demo` and `make test` set up all they need on a machine that has the Rust
# toolchain, Python, Node and a package manager.

.PHONY: help demo test lint bench fuzz tools ci clean

help: ## these verbs
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s "$$(printf '\t')"

demo: ## see one signed event of each vendor go in and come out
	@scripts/demo.sh

test: tools ## run every test
	cargo test --locked

lint: tools ## formatting, clippy, docs, licences, shell scripts: all without a warning
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items --quiet
	target/tools/cargo/bin/cargo-deny --log-level error check bans licenses sources
	bash -n scripts/*.sh .ci/run

bench: tools ## measure the rooms of the house, then the whole beside what it is made of (writes docs/benchmark.md)
	cargo bench --locked --bench rooms
	cargo bench --locked --bench gateway -- --output docs

fuzz: ## long fuzz runs of the property tests (PROPTEST_CASES each)
	PROPTEST_CASES=$${PROPTEST_CASES:-20000} cargo test --locked --release --lib

tools: ## fetch the tools that tests use into target/tools
	@scripts/tools.sh

ci: lint test ## what CI runs
	cargo bench --locked -- --test

clean: ## remove everything that was built or fetched
	cargo clean
