# The verbs of this repository. `make demo` needs the Rust toolchain; `make test` also Go, Java with Maven,
# Python and Node. They set up the rest on Debian or Ubuntu.

.PHONY: help house config-example demo vendors test simulate rolling strangers lint bench cost scale fuzz fuzz-smoke fuzz-properties mutants schemas tools ci clean chart chart-readme image soak pictures cluster cluster-short cluster-test

help: ## these verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s "$$(printf '\t')"

demo: ## see one signed event of each vendor go in and come out
	@scripts/demo.sh

vendors: ## endpoints made at a stand-in of both vendors' APIs, webhooks that it sends, a rotated secret; no account needed
	@scripts/vendors.sh

# Most tests wait for something, a broker above all: on two cores they take a quarter less time by four.
test: export RUST_TEST_THREADS ?= $(shell cores=$$(nproc); echo $$((cores < 4 ? 4 : cores)))
test: tools ## run the tests, also of chart, deployment and image
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

cluster-short: ## the chart against a real API server, its controllers and scheduler, on nodes that run nothing (docs/cluster.md)
	@tests/cluster/run

cluster: ## a shell in a real cluster of one node, which lives as long as the shell; needs root, pulls nothing
	@scripts/cluster.sh

cluster-test: ## the image in that cluster: rolled, drained, killed, resized, closed in, installed again: the table of docs/cluster.md
	@scripts/consumer-tools.sh
	scripts/cluster.sh python3 tests/cluster/long.py

house: ## the floors of src, who imports whom, and the lines of code by room
	@cargo test --locked --quiet --test house -- --nocapture --test-threads=1

rolling: tools ## 20 rolling updates under load behind HAProxy and behind nginx: a table of what failed, about 12 minutes
	HOOKBUS_ROLLINGS=$${HOOKBUS_ROLLINGS:-20} cargo test --locked --quiet --test it rolling::behind -- --nocapture

strangers: tools ## 1,000 early answers and 30,000 signed senders beside strangers, behind nginx and behind HAProxy as they come
	HOOKBUS_SOAK=1 cargo test --locked --quiet --test it strangers -- --test-threads=1 --nocapture

soak: tools ## the broker scenarios in their long forms, one after the other: 30 s freezes, 100 kills, 100,000 events spooled
	HOOKBUS_SOAK=1 cargo test --locked --test it scenarios -- --test-threads=1 --nocapture

lint: tools ## formatting, clippy, docs, licences, shell scripts: all without a warning
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --package hookbus --lib --tests --features simulation -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items --quiet
	target/tools/cargo/bin/cargo-deny --log-level error check bans licenses sources
	bash -n scripts/*.sh deploy/*.sh deploy/permissions/*.sh tests/*/run fuzz/rustc.sh .ci/run
	target/tools/lint/bin/shellcheck --severity=warning scripts/*.sh deploy/*.sh deploy/permissions/*.sh tests/*/run fuzz/rustc.sh .ci/run
	target/tools/lint/bin/hadolint deploy/Dockerfile

# A seed that fails is printed: HOOKBUS_SIMULATE=17 make simulate plays it once more, with its log.
SEEDS ?= 10000
simulate: export HOOKBUS_SIMULATE ?= 0..$(SEEDS)
simulate: ## crashes, torn writes, failed syncs, full disks, refusals and lost acknowledgements under one seed each: SEEDS=100000 for more
	cargo test --locked --quiet --package hookbus --features simulation --lib simulation -- --nocapture

bench: tools ## measure the rooms of the house, then the whole beside what it is made of (writes docs/benchmark.md)
	cargo bench --locked --bench rooms
	cargo bench --locked --bench gateway -- --output docs

cost: tools ## count what an event costs on each bus: allocations, system calls, instructions and more (writes docs/cost.md)
	@scripts/cost-tools.sh
	cargo bench --locked --bench cost -- --output docs

scale: tools ## measure hookbus as connections, sources, subjects, bodies and the number of events grow (writes docs/scale.md)
	cargo bench --locked --bench scale -- --output docs

pictures: tools ## draw the dashboard from a real Prometheus, through an outage and a rotation (writes docs/dashboard.png)
	@scripts/plot-tools.sh
	HOOKBUS_PICTURE=docs/dashboard.png cargo test --locked --quiet --test it pictures

image: tools ## build the image's layout around a debug binary, without pulling, and run it as Kubernetes would
	cargo build --locked
	tests/image/run

fuzz: ## coverage-guided fuzzing, MINUTES (60) of each target, two at a time; then the property tests in long
	MINUTES=$${MINUTES:-60} scripts/fuzz.sh long
	$(MAKE) fuzz-properties

fuzz-smoke: ## the fuzz targets' corpora, their planted faults, and 25 s of each target
	scripts/fuzz.sh smoke

fuzz-properties: ## the property tests with PROPTEST_CASES (20000) each
	PROPTEST_CASES=$${PROPTEST_CASES:-20000} cargo test --locked --release --lib

ROOMS ?= request verify event envelope json recent intake delivery journal
mutants: ## break the code in one place at a time and list what no unit test notices: hours; ROOMS=journal for one room
	scripts/mutants.sh $(ROOMS)

schemas: ## write the AsyncAPI document and the JSON Schemas of schemas/ anew
	cargo run --locked --quiet -- schema --defaults --directory schemas

config-example: ## write config.example.toml anew from the rows in src/config
	HOOKBUS_WRITE_EXAMPLE=1 cargo test --locked --quiet --lib config::tests::the_example -- --nocapture

tools: ## fetch the tools that tests use into target/tools
	@scripts/tools.sh

ci: lint test simulate fuzz-smoke ## what CI runs after demo and vendors
	cargo bench --locked --profile dev --bench rooms --bench gateway --bench cost --bench scale -- --test
	tests/cluster/run

clean: ## remove everything that was built or fetched
	cargo clean
