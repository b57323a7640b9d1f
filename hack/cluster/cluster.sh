#!/usr/bin/env bash
# A real Kubernetes cluster on one Linux machine, as root, without a container engine.
#
#   build                     what it needs: Debian packages, Kubernetes from its Go modules (11 min cold on 2 cores)
#   up [ZONES]                etcd, API server, controller-manager, scheduler, and the nodes node-a and node-b; again: nothing.
#                             ZONES 2 or 3: two more nodes in each, which take only pods that tolerate the taint zone=N; see README.md
#   down                      stop everything and remove every trace
#   status                    whether it is up, and its nodes
#   kubeconfig                path of the administrator's kubeconfig
#   kubectl ARGS..            the cluster's own kubectl
#   load IMAGE.tar..          import image archives into every node (hack/image.sh makes them)
#   cut NODE | mend NODE      pull the node's network cable, plug it in again
#   freeze NODE | thaw NODE   let nothing that is written to its kubelet's disk return, and let it
#   reboot NODE               end all that runs there, lose all that is in memory, and start the node again
#   stop-apiserver | start-apiserver      gone, as after a crash, and back with the same data
#   pause-apiserver | resume-apiserver    SIGSTOP, and SIGCONT: connections stay open without an answer, until it is ready again
#   refuse-apiserver | accept-apiserver   reset every connection of the nodes to it: gone and back without its time to start
#   deny-egress IP | allow-egress IP      drop all that the pod of this address sends beyond its node, and stop doing so
#   pids POD-UID [CONTAINER]  its processes, seen from here: container host-pid pid-inside host-parent command
#   exec-node NODE CMD..      run a command in the node's network
#   logs NAME                 of etcd, apiserver, kcm, scheduler, NODE-kubelet, NODE-containerd
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"
. "$here/control-plane.sh"
. "$here/node.sh"
export CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS=true   # of cgroup v1

# A session of its own, so that one signal to its process group ends all of it; preferred, so that what else the machine does is not measured.
# A kernel that schedules by session looks at the session's niceness alone, any other at the process's.
# shellcheck disable=SC2016  # for the inner shell
start() { # name command...
  local name=$1; shift
  setsid nohup sh -c '{ echo -10 >/proc/self/autogroup; } 2>/dev/null; exec nice -n -10 "$@"' "$name" "$@" >>"$run/$name.log" 2>&1 </dev/null 9>&- &
  echo $! >"$run/$name.pid"
}

# Started again when it ends, as a kubelet would: the scheduler ends itself when an API server that came back contradicts what it remembers.
# shellcheck disable=SC2016  # for the inner shell
keep() { local name=$1; shift; start "$name" sh -c 'while :; do "$@"; sleep 1; done' "$name" "$@"; }

signal() { kill "-$1" -- "-$(cat "$run/$2.pid")"; }

# Ours and not dead: after a reboot the number may be another process's, and a zombie has no command line.
alive() { [ -e "$run/$1.pid" ] && grep -qsF "$bin/" "/proc/$(cat "$run/$1.pid")/cmdline"; }

stop() { # name
  if alive "$1"; then signal KILL "$1" || true; fi
  while alive "$1"; do sleep 0.02; done
  rm -f "$run/$1.pid"
}

all_alive() {
  local name
  for name in etcd apiserver kcm scheduler "${nodes[@]/%/-containerd}" "${nodes[@]/%/-kubelet}"; do alive "$name" || return 1; done
}

nodes_ready() { [ "$(kubectl get nodes --no-headers | grep -cw Ready)" = ${#nodes[@]} ]; }
working() { all_alive && kubectl --request-timeout=5s get --raw /readyz >/dev/null 2>&1 && nodes_ready; }
require_up() { [ -e "$run/admin.kubeconfig" ] || die "no cluster is up in $home; bring it up with: $0 up"; }

require_binaries() {
  local name
  for name in etcd kube-apiserver kubelet containerd kubectl; do
    [ -x "$bin/$name" ] || die "$bin/$name is missing; build it with: make cluster-binaries (or $0 build)"
  done
}

require_ownership() {
  local other; other=$(cat "$owner" 2>/dev/null || true)
  [ -z "$other" ] || [ "$other" = "$home" ] || die "the cluster of CLUSTER_HOME=$other is up; take it down first: CLUSTER_HOME=$other $0 down"
}

up() { # [zones]
  local wanted=${1:-1} began=$SECONDS name
  [[ $wanted == [1-3] ]] || die "up takes 1, 2 or 3 zones of two nodes, not $wanted"
  require_ownership
  require_binaries
  if [ "$wanted" -le "$zones" ] && working; then say "the cluster is up already"; return; fi
  clear_away
  nodes=("${all[@]:0:2*wanted}")
  mkdir -p "$run"; printf '%s' "$wanted" >"$run/zones"; printf '%s' "$home" >"$owner"
  control_plane
  prefer_pods
  for name in "${nodes[@]}"; do node "$name"; done
  eventually 60 "ready nodes (logs: $run/*.log)" nodes_ready
  eventually 30 "the default service account, which pods need" kubectl get serviceaccount default
  say "the cluster is up: ${nodes[*]}, Kubernetes $("$bin/kubelet" --version | sed 's/.* //'), $((SECONDS - began)) s"
}

down() {
  require_ownership
  clear_away
  rm -f "$owner"
}

# Container shims outlive containerd; their state folder tells which are ours. What they run are their children.
end_shims() { # folder
  local shim
  for shim in $(pgrep -f "^[^ ]*containerd-shim-runc-v2 .*-address $1" || true); do
    pkill -KILL -P "$shim" || true
    kill -KILL "$shim" 2>/dev/null || true
  done
  eventually 10 "container shims to end" eval "! pgrep -f '^[^ ]*containerd-shim-runc-v2 .*-address $1'" || true
}

end_programs() {
  local record
  for record in "$run"/*.pid; do [ -e "$record" ] || continue; stop "$(basename "$record" .pid)"; done
}

# Namespaces of pods outlive their processes; their addresses tell which are ours.
end_pod_networks() { # indices of nodes, as in a bracket expression
  local space record id
  for space in $(ip netns list | awk '/^cni-/ {print $1}'); do
    if ip -n "$space" -4 -o addr show | grep -q " 10\.24[$1]\.0\."; then ip netns del "$space"; fi
  done
  for record in /var/lib/cni/results/singletonjob-*-eth0; do
    grep -qs "\"10\.24[$1]\.0\." "$record" || continue
    id=${record#*/singletonjob-}
    rm -f "$record" "/var/lib/cni/results/cni-loopback-${id%-eth0}-lo"
  done
}

end_network() {
  local name
  end_pod_networks 1-6
  for name in "${all[@]}"; do ip netns del "$name" 2>/dev/null || true; ip link del "v-$name" 2>/dev/null || true; done
  while refusal -D 2>/dev/null; do :; done
  ip link del kbr0 2>/dev/null || true
}

end_mounts() { awk -v dir="$1" 'index($2, dir) == 1 {print $2}' /proc/mounts | sort -r | xargs -r -n1 umount -l; }

clear_away() {
  thaw_all
  end_programs
  end_shims "$run/"
  end_network
  end_mounts "$run/"
  rm -rf "$run"
  find /var/log/containers -xtype l -delete 2>/dev/null || true
  find /sys/fs/cgroup -depth -type d -path '*/k8s.io*' -exec rmdir {} + 2>/dev/null || true
}

status() {
  if working; then kubectl get nodes -o wide; else say "no working cluster in $home"; return 1; fi
}

egress() { # -I|-D pod-ip
  local name; name=$(node_of_pod_ip "$2")
  inside "$name" iptables "$1" FORWARD -s "$2" -j DROP
}

refusal() { # -I | -D
  iptables "$1" INPUT -i kbr0 -p tcp --dport 6443 -j REJECT --reject-with tcp-reset
}

usage() { sed -n '2,/^set -/p' "$0" | sed '$d; s/^# \{0,1\}//'; }

command=${1:-help}; shift || true
case $command in
  help | -h | --help) usage; exit 0 ;;
  build) exec "$here/build.sh" ;;
  kubeconfig) say "$run/admin.kubeconfig"; exit 0 ;;
  up | down) require_root "$command"; take_lock "$command"; "$command" "$@"
    if [ "$command" = up ]; then say "export KUBECONFIG=$run/admin.kubeconfig"; fi; exit 0 ;;
  status) status; exit ;;
esac

require_up
case $command in
  kubectl) kubectl "$@"; exit ;;
  logs) cat "$run/${1:?name one: etcd, apiserver, kcm, scheduler, node-a-kubelet, ...}.log"; exit ;;
esac

require_root "$command"
case $command in
  load)
    [ $# -gt 0 ] || die "load needs at least one image archive; make one with hack/image.sh"
    for name in "${nodes[@]}"; do load_into "$name" "$@"; done ;;
  cut) index_of "${1:-}" >/dev/null; ip link set "v-$1" down ;;
  mend) index_of "${1:-}" >/dev/null; ip link set "v-$1" up ;;
  freeze) freeze "${1:-}" ;;
  thaw) thaw "${1:-}" ;;
  reboot) reboot "${1:-}" ;;
  stop-apiserver) stop_apiserver ;;
  start-apiserver) if alive apiserver; then die "the API server runs already"; fi; restart_apiserver ;;
  pause-apiserver) signal STOP apiserver ;;
  resume-apiserver) signal CONT apiserver; await_apiserver ;;
  refuse-apiserver) refusal -I ;;
  accept-apiserver) refusal -D ;;
  deny-egress) egress -I "${1:-}" ;;
  allow-egress) egress -D "${1:-}" ;;
  pids) pids "${1:-}" "${2:-}" ;;
  exec-node) name=${1:-}; index_of "$name" >/dev/null; shift; inside "$name" "$@" ;;
  *) usage >&2; die "unknown command $command" ;;
esac
