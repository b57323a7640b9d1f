#!/usr/bin/env bash
# The test tiers, cheapest first, each with the time it took.
#   test.sh quick   formatting, clippy and the tests next to what has changed since the last commit
#   test.sh check   formatting, scripts, dependencies, clippy, unit and model tests, simulation
#   test.sh all     check; then against real servers; then real agents under faults; then a real cluster, random faults included (as root)
#   test.sh faults  real agents while everything round them fails (as root)
#   test.sh chaos   random faults on a real cluster alone (as root); CHAOS_MINUTES=4, CHAOS_SEED=a random one
# A tier that cannot run is a failure. Of tools that check scripts and dependencies, the end says which are not here.
set -euo pipefail
cd "$(dirname "$0")/.."
cluster=hack/cluster/cluster.sh
summary=() current="set-up" brought_up="" complete="" building="" built=""

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
  if [ -n "$building" ]; then kill "$building" 2>/dev/null || true; fi
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

# Says that a tool is not here, at once and at the end.
missing() { # tool how-to-install
  say "not run, because $1 is not here: $2"
  summary+=("      -  $1 was not run: $2")
}

# Whether `tool` is here, or could be installed.
have() { # tool package
  command -v "$1" >/dev/null && return
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return
  { apt-get -q update && apt-get -q -y --no-install-recommends install "$2"; } >/dev/null 2>&1
}

scripts() { git ls-files '*.sh' .ci/run | xargs shellcheck; }

dependencies() {
  cargo fetch --quiet --locked
  cargo deny --locked --offline check bans licenses sources
}

lint() {
  if have shellcheck shellcheck; then stage "scripts" scripts; else missing shellcheck "apt-get install shellcheck"; fi
  if command -v cargo-deny >/dev/null; then
    stage "dependencies" dependencies
  else
    missing cargo-deny "make deny installs it"
  fi
}

# What a change since the last commit can have broken, in a minute: the rest is for `check`.
quick() {
  local changed tests=() name
  changed=$(git diff --name-only HEAD; git ls-files --others --exclude-standard)
  stage "formatting" cargo fmt --all --check
  stage "clippy" cargo clippy --locked --all-features --lib --bins -- -D warnings
  if grep -qE '^(api|src|testkit)/' <<<"$changed"; then tests+=(--lib); fi
  if grep -qE '^(api|src|testkit|tests/architecture)' <<<"$changed"; then tests+=(--test architecture); fi
  if grep -qE '\.md$|^(testkit|tests)/' <<<"$changed"; then tests+=(--test docs); fi
  # Those that need a server, a cluster or many minutes are only compiled.
  while read -r name; do
    [ -e "tests/$name/main.rs" ] || continue
    case $name in
      architecture | docs) ;;
      contract | fuzz | simulation) tests+=(--test "$name") ;;
      *) stage "clippy of $name" cargo clippy --locked --all-features --test "$name" -- -D warnings ;;
    esac
  done < <(sed -n 's,^tests/\([^/]*\)/.*,\1,p' <<<"$changed" | sort -u)
  if [ ${#tests[@]} -gt 0 ]; then stage "tests" cargo test --locked --all-features --quiet "${tests[@]}"; fi
}

check() {
  stage "formatting" cargo fmt --all --check
  lint
  stage "clippy" cargo clippy --locked --workspace --all-features --all-targets -- -D warnings
  stage "unit, architecture, page, contract and fuzz tests" \
    cargo test --locked --all-features --quiet --lib --bins --test architecture --test docs --test contract --test fuzz
  stage "model and its mutants" cargo test --locked --all-features --quiet --test model --test mutants -- --nocapture
  stage "simulation" cargo test --locked --all-features --quiet --test simulation -- --nocapture
}

# The tests that nothing else here runs, so that a new one cannot be forgotten.
against_servers() {
  local main name
  for main in tests/*/main.rs; do
    [ -e "$main" ] || continue
    name=$(basename "$(dirname "$main")")
    case $name in
      architecture | docs | contract | fuzz | model | mutants | simulation | robustness | deadline | agent_processes | faults | cluster | chaos) ;;
      *) printf -- '--test %s ' "$name" ;;
    esac
  done
}

# Three lanes, for they mostly wait; what the second and the third say is shown when the first is done. Nothing here is a matter of milliseconds.
api_tests() {
  local status=0 others robustness made lanes lane
  others=$(against_servers)
  [ -n "$others" ] || die "tests/ holds no test against real servers"
  robustness=$(mktemp) made=$(mktemp)
  cargo test --locked --all-features --no-run
  cargo test --locked --all-features --test robustness >"$robustness" 2>&1 & lanes=($!)
  images >"$made" 2>&1 & lanes+=($!)
  # shellcheck disable=SC2086 # words, by intention
  cargo test --locked --all-features $others || status=1
  for lane in "${lanes[@]}"; do wait "$lane" || status=1; done
  cat "$robustness" "$made"
  rm "$robustness" "$made"
  return "$status"
}

images() {
  nice -n 19 hack/image.sh operator
  nice -n 19 hack/image.sh witness
}

# Beside the stages that need none of them, for the Go compiler leaves a good part of two processors idle.
begin_programs() {
  built=$(mktemp)
  nice -n 19 hack/cluster/build.sh >"$built" 2>&1 &
  building=$!
}

# Shows how far they are, until they are there.
end_programs() {
  local status=0
  tail --quiet --lines=+1 --follow --pid="$building" "$built"
  wait "$building" || status=$?
  rm "$built"
  building=""
  return "$status"
}

# A cluster that was up before stays up afterwards.
bring_up() {
  if ! "$cluster" status >/dev/null 2>&1; then brought_up=yes; fi
  "$cluster" up 3
}

# Real agents while networks, servers, limits and people fail. They measure milliseconds: what else the machine does would be measured too.
agents() {
  stage "deadlines" cargo test --locked --all-features --test deadline
  stage "agents' processes" cargo test --locked --all-features --test agent_processes
  stage "faults between real agents and a real API server" cargo test --locked --all-features --test faults -- --test-threads=2
}

faults() {
  [ "$(id -u)" = 0 ] || die "make faults needs root: it makes namespaces, control groups and mounts"
  require_tools cargo go
  stage "cluster programs" hack/cluster/build.sh
  agents
}

all() {
  [ "$(id -u)" = 0 ] || die "make test needs root: the cluster scenarios make network namespaces and mounts; make check does not"
  require_tools cargo go git
  stage "Debian packages" hack/cluster/packages.sh
  begin_programs
  check
  stage "cluster programs, begun with the first stage" end_programs
  stage "stores for the fencing recipes" hack/stores.sh
  stage "tests against real servers, and the images" api_tests
  agents
  stage "cluster up" bring_up
  stage "load the operator's image" "$cluster" load target/images/operator.tar target/images/witness.tar
  stage "cluster scenarios" cargo test --locked --all-features --test cluster -- --test-threads=99
  stage "random faults" env CHAOS_MINUTES=2 CHAOS_SEED=11 cargo test --locked --all-features --test chaos
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
  quick) require_tools cargo git; quick ;;
  check) require_tools cargo git; check ;;
  all) all ;;
  faults) faults ;;
  chaos) chaos ;;
  *) die "say quick, check, all, faults or chaos" ;;
esac
complete=yes
