# shellcheck shell=bash
# What every script of the local cluster shares: where things are, and how to speak, fail and wait. Sourced, never run.
# shellcheck disable=SC2034  # the variables are for the scripts that source this file

home=${CLUSTER_HOME:-$HOME/.cache/singletonjob-cluster}
bin=$home/bin                # the Go programs
run=$home/run                # everything of a running cluster; `down` removes it
images=$home/images          # archives that every node imports when it starts
host=172.31.255.1            # the bridge between the control plane and the nodes
all=(node-a node-b node-c node-d node-e node-f)       # node N is 172.31.255.1N and its pods are 10.24N.0.0/24
zones=$(cat "$run/zones" 2>/dev/null || echo 1)       # how many are up, of two nodes each
nodes=("${all[@]:0:2*zones}")
lock=/run/lock/singletonjob-cluster.lock     # one cluster per machine: bridge, namespaces and ports are the machine's
owner=/run/singletonjob-cluster.owner        # the CLUSTER_HOME of the cluster that is up

say() { printf '%s\n' "$*"; }
die() { printf 'cluster: %s\n' "$*" >&2; exit 1; }

require_root() { [ "$(id -u)" = 0 ] || die "$1 needs root: namespaces, mounts and packages are root's; run it with sudo -E"; }

# step NAME COMMAND...: one line with the time it took; the command's own output only when it fails.
step() {
  local name=$1 began=$SECONDS log status=0; shift
  log=$(mktemp)
  printf '  %-26s ' "$name"
  "$@" >"$log" 2>&1 || status=$?
  if [ "$status" = 0 ]; then say "$((SECONDS - began)) s"; rm -f "$log"; return; fi
  say "FAILED after $((SECONDS - began)) s"; tail -n 40 "$log" >&2; rm -f "$log"
  die "$name failed (exit $status): $*"
}

# eventually SECONDS WHAT COMMAND...: asks five times a second.
eventually() {
  local deadline=$((SECONDS + $1)) what=$2; shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || { printf 'cluster: gave up waiting for %s\n' "$what" >&2; return 1; }
    sleep 0.2
  done
}

# Holds the machine's cluster lock until this script ends; what it starts in the background must close descriptor 9.
take_lock() {
  exec 9>>"$lock"
  flock -n 9 || die "another command is changing the cluster of this machine ($(cat "$lock")); try again when it is done"
  : >"$lock"
  printf 'pid %s, %s, CLUSTER_HOME=%s' $$ "$1" "$home" >&9
}

# kubernetes_version FOLDER: the version of k8s.io/kubernetes that FOLDER/go.mod requires.
kubernetes_version() {
  local version; version=$(awk '$1 == "k8s.io/kubernetes" && $2 ~ /^v/ {print $2; exit}' "$1/go.mod")
  [ -n "$version" ] || die "$1/go.mod names no version of k8s.io/kubernetes"
  say "$version"
}

# link_flags VERSION: what the Go linker puts into programs of Kubernetes, so that they say which version they are.
link_flags() {
  local minor=${1#v1.}; minor=${minor%%.*}
  printf '%s' "-s -w -X k8s.io/component-base/version.gitVersion=$1 -X k8s.io/component-base/version.gitMajor=1" \
    " -X k8s.io/component-base/version.gitMinor=$minor -X k8s.io/client-go/pkg/version.gitVersion=$1"
}

# compile FOLDER LINK_FLAGS PROGRAM PACKAGE: builds a package of the Go module in FOLDER; never half a program in place.
compile() {
  local program=$3
  cd "$1" || return
  CGO_ENABLED=0 go build -trimpath -ldflags "$2" -o "$(dirname "$program")/.$(basename "$program")" "$4"
  mv "$(dirname "$program")/.$(basename "$program")" "$program"
}

kubectl() { "$bin/kubectl" --kubeconfig "$run/admin.kubeconfig" "$@"; }
