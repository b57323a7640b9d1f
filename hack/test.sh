#!/usr/bin/env bash
# The test tiers, cheapest first, each with the time it took.
#   test.sh check   formatting, clippy, unit and model tests
#   test.sh all     check; then the tests against real servers; then the scenarios on a real cluster (as root)
#   test.sh faults  real agents while everything round them fails (as root)
#   test.sh chaos   random faults on a real cluster alone (as root); CHAOS_MINUTES=4, CHAOS_SEED=a random one
# A tier that cannot run is a failure: nothing is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
cluster=hack/cluster/cluster.sh
summary=() current="set-up" brought_up="" complete=""

say() { printf '\n==> %s\n' "$*"; }
die() { printf 'test: %s\n' "$*" >&2; exit 1; }

stage() { # name command...
  current=$1; shift
  say "$current: $*"
  local began=$SECONDS
  "$@"
  summary+=("$(printf '%5d s  %s' $((SECONDS - began)) "$current")")
  current=""
}

finish() {
  local status=$?
  # A signal ends the script with the status of whatever came before it.
  [ -n "$complete" ] || [ "$status" != 0 ] || status=1
  if [ -n "$brought_up" ]; then "$cluster" down || status=1; fi
  printf '\n%s\n' "${summary[@]}"
  printf '%5d s  in all\n' "$SECONDS"
  if [ "$status" = 0 ]; then printf 'passed\n'; else printf 'FAILED: %s\n' "${current:-clearing up}"; fi
  exit "$status"
}

require_tools() {
  local tool
  for tool in "$@"; do command -v "$tool" >/dev/null || die "$tool is not in PATH; CONTRIBUTING.md says what is needed"; done
}

check() {
  stage "formatting" cargo fmt --check
  stage "clippy" cargo clippy --locked --all-features --all-targets -- -D warnings
  stage "unit, architecture and fuzz tests" cargo test --locked --all-features --quiet --lib --bins --test architecture --test fuzz
  stage "model and its mutants" cargo test --locked --all-features --quiet --test model --test mutants -- --nocapture
  stage "simulation" cargo test --locked --all-features --quiet --test simulation -- --nocapture
}

# All files of tests/ but the scenarios and what `check` has run, so that a new one cannot be forgotten.
api_tests() {
  local file targets=()
  for file in tests/*.rs; do
    [ -e "$file" ] || die "tests/ holds no test"
    case $file in
      tests/architecture.rs | tests/fuzz.rs | tests/model.rs | tests/mutants.rs | tests/simulation.rs) ;;
      tests/deadline.rs | tests/faults.rs | tests/cluster.rs | tests/chaos.rs) ;;
      *) targets+=(--test "$(basename "$file" .rs)") ;;
    esac
  done
  [ ${#targets[@]} -gt 0 ] || die "tests/ holds nothing but the cluster scenarios"
  cargo test --locked --all-features "${targets[@]}"
}

images() {
  hack/image.sh operator
  hack/image.sh witness
}

# A cluster that was up before stays up afterwards.
bring_up() {
  if ! "$cluster" status >/dev/null 2>&1; then brought_up=yes; fi
  "$cluster" up
}

all() {
  [ "$(id -u)" = 0 ] || die "make test needs root: the cluster scenarios make network namespaces and mounts; make check does not"
  require_tools cargo go
  stage "Debian packages" hack/cluster/packages.sh
  check
  stage "cluster programs" hack/cluster/build.sh
  stage "stores for the fencing recipes" hack/stores.sh
  stage "tests against real servers" api_tests
  stage "images" images
  stage "cluster up" bring_up
  stage "load the operator's image" "$cluster" load target/images/operator.tar target/images/witness.tar
  stage "cluster scenarios" cargo test --locked --all-features --test cluster -- --test-threads=4
}

# Real agents while networks, servers, limits and people fail. They measure milliseconds: what else the machine does would be measured too.
faults() {
  [ "$(id -u)" = 0 ] || die "make faults needs root: it makes namespaces, control groups and mounts"
  require_tools cargo go
  stage "cluster programs" hack/cluster/build.sh
  stage "deadlines" cargo test --locked --all-features --test deadline -- --nocapture
  stage "faults between real agents and a real API server" cargo test --locked --all-features --test faults -- --test-threads=2
}

# Random faults alone, for CHAOS_MINUTES.
chaos() {
  [ "$(id -u)" = 0 ] || die "make chaos needs root: the cluster makes network namespaces and mounts"
  require_tools cargo go
  stage "cluster programs" hack/cluster/build.sh
  stage "cluster up" bring_up
  stage "random faults" cargo test --locked --all-features --test chaos
}

trap finish EXIT
case ${1:-} in
  check) require_tools cargo; check ;;
  all) all ;;
  faults) faults ;;
  chaos) chaos ;;
  *) die "say check, all, faults or chaos" ;;
esac
complete=yes
