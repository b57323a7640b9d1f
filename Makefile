# Every target does all of its own set-up: packages, programs, images, cluster.
SHELL := /bin/bash
.DEFAULT_GOAL := help
BENCH_OPTIONS := MODES JOBS CYCLES IDLE FAIR RENEWALS RENEWAL_LEASES LEASE NAMESPACES REST
.PHONY: help quick check test model fuzz simulate faults chaos oldest deny manifests cluster-binaries cluster-up cluster-down scenario image bench-scale demo demo-down

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

quick: ## after every edit, about a minute: formatting, clippy and the tests next to what has changed since the last commit
	hack/test.sh quick

check: ## before every commit, 8 min: formatting, scripts, dependencies, clippy, unit and model tests, simulation
	hack/test.sh check

model: ## the model in wider bounds: hours, and many gigabytes; says how many states it saw; SECONDS=60 for less of each world
	MODEL_SECONDS=$(or $(SECONDS),1800) cargo test --locked --all-features --release --test model -- --ignored --nocapture

test: ## everything that CI runs, cluster scenarios included; as root, 45 min cold on 2 cores, 28 min when built
	hack/test.sh all

fuzz: ## everything that parses what others wrote, under CASES=100000 inputs each
	PROPTEST_CASES=$(or $(CASES),100000) cargo test --locked --all-features --test fuzz

simulate: ## virtual hours of faults, as many as you like: make simulate HOURS=1000 SEED=1
	SIMULATION_HOURS=$(or $(HOURS),100) SIMULATION_SEED=$(or $(SEED),1) cargo test --locked --all-features --test simulation -- hours --nocapture

faults: ## real agents while networks, servers, limits and people fail, and deadlines to the millisecond; wants the machine alone; as root
	hack/test.sh faults

chaos: ## SingletonJobs under random faults on the local cluster; MINUTES=60 for longer, SEED=N for the same plan again; as root
	CHAOS_MINUTES=$(MINUTES) CHAOS_SEED=$(SEED) hack/test.sh chaos

oldest: ## the tests that need an API server alone, on the oldest Kubernetes that is promised to work; 15 min cold
	hack/oldest.sh

deny: ## licences, sources, bans and advisories of all dependencies; the last come over the network; installs cargo-deny once
	command -v cargo-deny >/dev/null || cargo install --locked --debug cargo-deny
	cargo deny check

manifests: ## regenerate what is generated in crds/ and manifests/
	cargo run --quiet --locked --bin crdgen -- --write

cluster-binaries: ## Debian packages and Kubernetes from its Go modules, for the local cluster
	hack/cluster/build.sh

cluster-up: cluster-binaries ## a two-node Kubernetes cluster on this machine; as root
	hack/cluster/cluster.sh up

cluster-down: ## remove the local cluster and every trace of it
	hack/cluster/cluster.sh down

scenario: ## one scenario on a cluster that is up: make scenario NAME=on_request
	cargo test --locked --all-features --test cluster -- $(or $(NAME),$(error say which: make scenario NAME=on_request))

image: ## the operator's image archive, target/images/operator.tar
	hack/cluster/packages.sh
	hack/image.sh operator

bench-scale: cluster-binaries ## what SingletonJobs cost, and whether the bars of docs/scale.md hold: hours; MODES=jobs JOBS=1000 for less
	cargo build --locked --release --bin singletonjob-controller
	cargo run --locked --release -p singletonjob-bench --bin scale -- $(foreach option,$(BENCH_OPTIONS),$(if $($(option)),--$(shell tr A-Z_ a-z- <<<$(option)) $($(option))))

demo: ## cluster, operator, sample, handover and crash takeover, with the measured gaps; KUBECONFIG=... uses your cluster
	hack/demo.sh

demo-down: ## take away what `make demo` brought
	hack/demo.sh down
