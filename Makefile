# Every target does all of its own set-up: packages, programs, images, cluster.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help check model test manifests cluster-binaries cluster-up cluster-down image demo demo-down

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

check: ## the fast part, for every edit: formatting, clippy, unit and model tests
	hack/test.sh check

model: ## the model in wider bounds: an hour and more, and some gigabytes; says how many states it saw
	cargo test --locked --test model -- --ignored --nocapture

test: ## everything that CI runs, cluster scenarios included; as root, 45 min cold, 15 min when built
	hack/test.sh all

manifests: ## regenerate what is generated in crds/ and manifests/
	cargo run --quiet --locked --bin crdgen -- --write

cluster-binaries: ## Debian packages and Kubernetes from its Go modules, for the local cluster
	hack/cluster/build.sh

cluster-up: cluster-binaries ## a two-node Kubernetes cluster on this machine; as root
	hack/cluster/cluster.sh up

cluster-down: ## remove the local cluster and every trace of it
	hack/cluster/cluster.sh down

image: ## the operator's image archive, target/images/operator.tar
	hack/cluster/packages.sh
	hack/image.sh operator

demo: ## cluster, operator, sample, handover and crash takeover, with the measured gaps; KUBECONFIG=... uses your cluster
	hack/demo.sh

demo-down: ## take away what `make demo` brought
	hack/demo.sh down
