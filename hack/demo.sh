#!/usr/bin/env bash
# Shows a SingletonJob at work: one candidate runs, hands over, crashes, and another takes over.
#   demo.sh        on a cluster of its own, or on the one of KUBECONFIG when that is set (no node is cut off there)
#   demo.sh down   removes what the demo brought
set -euo pipefail
cd "$(dirname "$0")/.."
cluster=hack/cluster/cluster.sh
install=manifests/install.yaml sample=manifests/samples/service.yaml
own=yes cut_off=""
[ -z "${KUBECONFIG:-}" ] || own=""

title() { printf '\n\033[1m%s\033[0m\n' "$*"; }
show() { printf '$ kubectl %s\n' "$*"; kubectl "$@"; }
die() { printf 'demo: %s\n' "$*" >&2; exit 1; }

use_own_cluster() {
  KUBECONFIG=$("$cluster" kubeconfig); export KUBECONFIG
  PATH="${CLUSTER_HOME:-$HOME/.cache/singletonjob-cluster}/bin:$PATH"
}

bring_up() {
  [ "$(id -u)" = 0 ] || die "the local cluster needs root (sudo -E make demo); or set KUBECONFIG to use a cluster of yours"
  title "Building what the cluster needs, and the operator's image"
  hack/cluster/build.sh
  hack/image.sh operator
  title "Starting two nodes"
  "$cluster" up
  "$cluster" load target/images/operator.tar
  use_own_cluster
}

field() { kubectl get -f "$sample" -o "jsonpath={$1}"; }
now_ms() { date +%s%3N; }

locate_sample() {
  name=$(field .metadata.name)
  space=$(field .metadata.namespace)
}

# eventually SECONDS WHAT COMMAND...
eventually() {
  local deadline=$((SECONDS + $1)) what=$2; shift 2
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || die "gave up waiting for $what; look at: kubectl -n $space describe sj $name"
    sleep 0.1
  done
}

somebody_else_holds() { # the pod that held before
  local holder; holder=$(field .status.lease.holder)
  [ -n "$holder" ] && [ "$holder" != "$1" ] && [ "$(field '.status.takeovers[0].to')" = "$holder" ]
}

standby_ready() { show wait -f "$sample" --for=condition=StandbyAvailable --timeout=120s; }

who_runs() {
  show -n "$space" get sj "$name"
  show -n "$space" get pods -l "singletonjob.dev/name=$name" -L singletonjob.dev/role -o wide
}

# report_takeover OLD-HOLDER SINCE-MS: waits for it and says how long it took.
report_takeover() {
  eventually 120 "another candidate to run" somebody_else_holds "$1"
  local seen=$(($(now_ms) - $2)) gap; gap=$(field '.status.takeovers[0].gapMilliseconds')
  # Where the controller was on the node that is cut off as well, no controller is left that saw the last renewal.
  if [ -n "$gap" ]; then gap="$gap ms after the last sign of it"; else gap="its last sign was seen by a controller that is cut off too"; fi
  printf '\n%s took over from %s: %s, %s (status.takeovers); kubectl saw it %s ms after the act.\n' \
    "$(field .status.lease.holder)" "$1" "$(field '.status.takeovers[0].reason')" "$gap" "$seen"
}

install_operator() {
  title "Installing the operator, as a user would"
  show apply -f "$install"
  show -n singletonjob-system wait deployment --all --for=condition=Available --timeout=180s ||
    die "the operator did not start; look at: kubectl -n singletonjob-system describe pods"
}

apply_sample() {
  title "One resource, several candidates, one of them runs"
  show apply -f "$sample"
  locate_sample
  show wait -f "$sample" --for=condition=Held --timeout=120s
  standby_ready
  who_runs
}

hand_over() {
  title "Deleting the active pod: it stops its workload, releases the lease, and the standby starts"
  local old since; old=$(field .status.lease.holder)
  since=$(now_ms)
  show -n "$space" delete pod "$old" --wait=false
  report_takeover "$old" "$since"
  standby_ready
  who_runs
}

mend() { [ -z "$cut_off" ] || "$cluster" mend "$cut_off"; cut_off=""; }

crash() {
  local old since; old=$(field .status.lease.holder)
  cut_off=$(field .status.lease.node)
  title "Pulling the network cable of $cut_off, where $old runs"
  printf 'Its kernel kills the workload before the lease of %s s ends, counted from the last renewal; only then may a standby start.\n' \
    "$(field .status.lease.leaseDurationSeconds)"
  since=$(now_ms)
  "$cluster" cut "$cut_off"
  report_takeover "$old" "$since"
  printf 'Plugging %s in again: nothing changes hands.\n' "$cut_off"
  mend
  who_runs
}

try_next() {
  title "What to try next"
  [ -z "$own" ] || printf '  export KUBECONFIG=%s PATH="%s:%sPATH"\n' "$KUBECONFIG" "${PATH%%:*}" '$'
  cat <<Y
  kubectl -n $space get sj $name --watch
  kubectl -n $space delete pod -l singletonjob.dev/name=$name,singletonjob.dev/role=active
  kubectl explain singletonjob.spec
  kubectl apply -f manifests/samples/batch-job.yaml
  make demo-down
Y
}

demo() {
  [ -z "$own" ] || bring_up
  command -v kubectl >/dev/null || die "kubectl is not in PATH"
  trap mend EXIT
  install_operator
  apply_sample
  hand_over
  if [ -n "$own" ]; then crash; else title "No node of your cluster is cut off"; fi
  title "The whole story"
  show -n "$space" describe sj "$name"
  try_next
}

down() {
  if [ -n "$own" ]; then "$cluster" down; return; fi
  kubectl delete --ignore-not-found -f "$sample"
  kubectl delete --ignore-not-found -f "$install"
}

case ${1:-up} in
  up) demo ;;
  down) down ;;
  *) sed -n '2,4p' "$0" | cut -c3- >&2; exit 2 ;;
esac
