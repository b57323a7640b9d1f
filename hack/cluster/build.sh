#!/usr/bin/env bash
# Builds etcd, containerd, Kubernetes and toxiproxy from their Go modules into $CLUSTER_HOME/bin, and the images that
# every node starts with. About 11 minutes cold on 2 cores, half a minute with a warm Go cache, at once when nothing changed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"

programs=( # module folder, program, package
  "etcd etcd go.etcd.io/etcd/server/v3"
  "etcd etcdutl go.etcd.io/etcd/etcdutl/v3"
  "kubernetes kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver"
  "kubernetes kubectl k8s.io/kubernetes/cmd/kubectl"
  "kubernetes kube-controller-manager k8s.io/kubernetes/cmd/kube-controller-manager"
  "kubernetes kube-scheduler k8s.io/kubernetes/cmd/kube-scheduler"
  "kubernetes kubelet k8s.io/kubernetes/cmd/kubelet"
  "containerd containerd github.com/containerd/containerd/v2/cmd/containerd"
  "containerd containerd-shim-runc-v2 github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"
  "containerd ctr github.com/containerd/containerd/v2/cmd/ctr"
  "toxiproxy toxiproxy github.com/Shopify/toxiproxy/v2/cmd/server"
)

require_go() {
  command -v go >/dev/null || die "go is not in PATH; install Go 1.26.6 or later from https://go.dev/dl and put its bin folder into PATH"
  local have; have=$(go env GOVERSION); have=${have#go}
  [ "$(printf '1.26.6\n%s\n' "$have" | sort -V | head -n1)" = 1.26.6 ] || die "go $have is too old; Go 1.26.6 or later is needed"
}

# What a program is made of. The same fingerprint and a program in place mean that there is nothing to do.
fingerprint() { { go env GOVERSION GOARCH; printf '%s' "$link"; cat "$here/$1"/go.{mod,sum}; } | sha256sum | cut -d' ' -f1; }

build_program() { # module-folder program package
  local stamp=$home/stamps/$2 print; print=$(fingerprint "$1")
  if [ -x "$bin/$2" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$print" ]; then return; fi
  step "$2" compile "$here/$1" "$link" "$bin/$2" "$3"
  printf '%s' "$print" >"$stamp"
  built=$((built + 1))
}

pause_image() {
  gcc -Os -static -o "$home/pause" "$here/pause.c"
  "$here/../image.py" "$images/pause.tar" localhost/pause:1 --entrypoint /pause "$home/pause=/pause"
}

require_go
"$here/packages.sh"
mkdir -p "$bin" "$images" "$home/stamps"
exec 8>"$home/build.lock"
flock -n 8 || { say "another build is running in $home; waiting for it"; flock 8; }

version=$(kubernetes_version "$here/kubernetes")
link=$(link_flags "$version")

say "cluster programs (Kubernetes $version) in $home; a cold build takes about 11 minutes on 2 cores"
began=$SECONDS built=0
for program in "${programs[@]}"; do
  read -r folder name package <<<"$program"
  build_program "$folder" "$name" "$package"
done
step "pause image" pause_image
step "busybox image" "$here/../image.sh" busybox "$images/busybox.tar"
say "cluster programs ready: $built of ${#programs[@]} built, $((SECONDS - began)) s"
