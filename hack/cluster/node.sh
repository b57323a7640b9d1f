# shellcheck shell=bash
# A node: a network namespace with its own containerd, kubelet and pod network. Sourced by cluster.sh.
# shellcheck disable=SC2154  # variables of common.sh

index_of() { # node name -> its number, from 1
  local i
  for i in "${!nodes[@]}"; do [ "${nodes[$i]}" = "$1" ] && { printf '%s' $((i + 1)); return; }; done
  die "there is no node ${1:-(none given)}; the nodes are ${nodes[*]}"
}

node_of_pod_ip() {
  local i
  for i in "${!nodes[@]}"; do [[ $1 == 10.24$((i + 1)).0.* ]] && { printf '%s' "${nodes[$i]}"; return; }; done
  die "${1:-(none given)} is not the address of a pod; they look like 10.241.0.5 (kubectl get pods -o wide)"
}

ctr() { local name=$1; shift; "$bin/ctr" -a "$run/$name/containerd.sock" -n k8s.io "$@"; }

# nsenter, not `ip netns exec`: the latter mounts a fresh /sys and hides the cgroup hierarchies from containerd and kubelet.
inside() { local name=$1; shift; nsenter --net="/run/netns/$name" "$@"; }

node_network() { # name index
  local name=$1 i=$2 other
  ip netns add "$name"
  ip link add "v-$name" type veth peer name eth0 netns "$name"
  ip link set "v-$name" master kbr0 up
  ip -n "$name" link set lo up
  ip -n "$name" addr add 172.31.255.1"$i"/24 dev eth0
  ip -n "$name" link set eth0 up
  ip -n "$name" route add default via "$host"
  for other in "${!nodes[@]}"; do
    [ $((other + 1)) = "$i" ] || ip -n "$name" route add 10.24$((other + 1)).0.0/24 via 172.31.255.1$((other + 1))
  done
  inside "$name" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
  # The only Service that pods need is kubernetes.default: one rule stands in for kube-proxy.
  inside "$name" iptables -t nat -A PREROUTING -d 10.0.0.1 -p tcp --dport 443 -j DNAT --to "$host:6443"
  inside "$name" iptables -t nat -A POSTROUTING -s 10.24"$i".0.0/24 ! -d 10.240.0.0/13 -j MASQUERADE
}

pod_network() { # name index
  cat >"$run/$1/cni/10-bridge.conflist" <<Y
{"cniVersion": "0.4.0", "name": "singletonjob", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$run/$1/ipam", "ranges": [[{"subnet": "10.24$2.0.0/24"}]],
            "routes": [{"dst": "0.0.0.0/0"}]}}]}
Y
}

containerd_settings() { # name
  local dir=$run/$1
  cat >"$dir/containerd.toml" <<Y
version = 3
root = "$dir/containerd"
state = "$dir/state"
[grpc]
  address = "$dir/containerd.sock"
[ttrpc]
  address = "$dir/containerd.sock.ttrpc"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "localhost/pause:1"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true   # without CAP_SYS_RESOURCE runc cannot lower oom_score_adj and no sandbox starts
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "$dir/cni"
Y
}

kubelet_settings() { # name
  cat >"$run/$1/kubelet.yaml" <<Y
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://$run/$1/containerd.sock
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
localStorageCapacityIsolation: false
podLogsDir: $run/$1/logs
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
evictionHard: {memory.available: 50Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}
imageGCHighThresholdPercent: 100
nodeLeaseDurationSeconds: 12   # renewed every 3 s, for the controller-manager's patience is short here
crashLoopBackOff: {maxContainerRestartPeriod: 2s}
Y
}

# A file system of its own, so that it can stand still without the machine's. Where tests are played, which have zones: a loop device is needed.
kubelet_disk() { # name
  local image=$run/$1.disk
  [ ${#nodes[@]} -gt 2 ] || return 0
  mkdir -p "$run/$1/kubelet"
  truncate --size=256M "$image"
  mkfs.ext4 -q "$image"
  mount -o loop "$image" "$run/$1/kubelet" || die "mounting a loop device for the kubelet of $1 failed: scenarios that freeze its disk need one"
}

# Never the machine's own: who would thaw that?
require_disk() { # name
  index_of "$1" >/dev/null
  [ "$(stat -c %d "$run/$1/kubelet")" != "$(stat -c %d "$run")" ] || die "$1 has no disk of its own: take the cluster down, and up again with 3 zones"
}

freeze() { require_disk "$1"; fsfreeze --freeze "$run/$1/kubelet"; }
thaw() { require_disk "$1"; fsfreeze --unfreeze "$run/$1/kubelet"; }

# A process that waits for a frozen disk cannot be killed.
thaw_all() {
  local name
  for name in "${all[@]}"; do fsfreeze --unfreeze "$run/$name/kubelet" 2>/dev/null || true; done
}

start_node() { # name
  local name=$1 i zone taint=() dir=$run/$1; i=$(index_of "$name"); zone=$(((i + 1) / 2))
  [ "$zone" = 1 ] || taint=(--register-with-taints="zone=$zone:NoSchedule")
  start "$name-containerd" nsenter --net="/run/netns/$name" env PATH="$bin:$PATH" "$bin/containerd" --config "$dir/containerd.toml"
  eventually 30 "containerd of $name (log: $run/$name-containerd.log)" ctr "$name" version
  load_into "$name" "$images"/*.tar
  start "$name-kubelet" nsenter --net="/run/netns/$name" "$bin/kubelet" --config="$dir/kubelet.yaml" \
    --kubeconfig="$run/$name.kubeconfig" --hostname-override="$name" --node-ip=172.31.255.1"$i" \
    --root-dir="$dir/kubelet" --cert-dir="$dir/pki" --node-labels="zone=$zone" "${taint[@]}"
}

node() { # name
  local name=$1 i; i=$(index_of "$name")
  mkdir -p "$run/$name/cni"
  kubelet_disk "$name"
  node_network "$name" "$i"
  pod_network "$name" "$i"
  containerd_settings "$name"
  kubelet_settings "$name"
  start_node "$name"
}

# What a reboot takes: every process, all that was in memory, and the pods' networks. What is on the disks stays.
reboot() { # name
  local name=$1 i; i=$(index_of "$name")
  stop "$name-kubelet"
  stop "$name-containerd"
  end_shims "$run/$name/"
  end_mounts "$run/$name/kubelet/pods/"
  end_mounts "$run/$name/state/"
  end_pod_networks "$i"
  rm -rf "$run/$name/state"
  start_node "$name"
}

# All pods are in one control group, which weighs no more than any single process beside it unless it is told to.
prefer_pods() {
  mkdir -p /sys/fs/cgroup/cpu/k8s.io 2>/dev/null || true
  if [ -w /sys/fs/cgroup/cpu/k8s.io/cpu.shares ]; then echo 10240 >/sys/fs/cgroup/cpu/k8s.io/cpu.shares; fi
}

load_into() { # node archive...
  local name=$1 archive; shift
  for archive in "$@"; do
    [ -r "$archive" ] || die "cannot read image archive $archive"
    ctr "$name" images import "$archive" >/dev/null || die "$name could not import $archive"
  done
}

# Every container of a pod that was started, `container-id name`, whichever node it is on. By what containerd wrote for runc: asking it takes
# seconds of a processor.
containers_of() { # pod-uid
  local spec
  # shellcheck disable=SC2013 # words, by intention: these paths have no spaces
  for spec in $(grep -ls "\"io.kubernetes.cri.sandbox-uid\":\"$1\"" "$run"/*/state/io.containerd.runtime.v2.task/k8s.io/*/config.json); do
    printf '%s %s\n' "$(basename "$(dirname "$spec")")" "$(sed -n 's/.*"io.kubernetes.cri.container-name":"\([^"]*\)".*/\1/p' "$spec")"
  done
}

# `container host-pid pid-inside parent command`, one line per process of the pod; see README.md.
pids() { # pod-uid [container]
  local id container pid found=
  while read -r id container; do
    # The nameless one is the sandbox, whose only process holds the namespaces.
    if [ -z "$container" ] || [ "$container" != "${2:-$container}" ]; then continue; fi
    # shellcheck disable=SC2013 # words, by intention: numbers
    for pid in $(cat /sys/fs/cgroup/{pids/,}"k8s.io/$id/cgroup.procs" 2>/dev/null); do
      [ -r "/proc/$pid/status" ] || continue
      found=1
      awk -v container="$container" -v pid="$pid" '/^Name:/ {name = $2} /^PPid:/ {parent = $2} /^NSpid:/ {inside = $NF}
        END {print container, pid, inside, parent, name}' "/proc/$pid/status" 2>/dev/null || true
    done
  done < <(containers_of "$1")
  [ -n "$found" ] || die "no process of a pod with uid ${1:-(none given)}${2:+, container $2}"
}
