#!/usr/bin/env bash
# The test tiers, cheapest first, each with the time it took.
#   test.sh check   formatting, clippy, unit and model tests
#   test.sh all     check; then the tests against a real API server; then the scenarios on a real cluster (as root)
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
  stage "clippy" cargo clippy --locked --all-targets -- -D warnings
  stage "unit, model and architecture tests" cargo test --locked --quiet --lib --bins --test model --test mutants --test architecture
}

# All files of tests/ but the scenarios and what `check` has run, so that a new one cannot be forgotten.
api_tests() {
  local file targets=()
  for file in tests/*.rs; do
    [ -e "$file" ] || die "tests/ holds no test"
    case $file in
      tests/cluster.rs | tests/model.rs | tests/mutants.rs | tests/architecture.rs) ;;
      *) targets+=(--test "$(basename "$file" .rs)") ;;
    esac
  done
  [ ${#targets[@]} -gt 0 ] || die "tests/ holds nothing but the cluster scenarios"
  # Some run a program of examples/, which cargo builds only where it is told to.
  cargo build --locked --examples
  cargo test --locked "${targets[@]}"
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
  stage "tests against a real API server" api_tests
  stage "images" images
  stage "cluster up" bring_up
  stage "load the operator's image" "$cluster" load target/images/operator.tar target/images/witness.tar
  stage "cluster scenarios" cargo test --locked --test cluster -- --test-threads=4
}

trap finish EXIT
case ${1:-} in
  check) require_tools cargo; check ;;
  all) all ;;
  *) die "say check or all" ;;
esac
complete=yes
