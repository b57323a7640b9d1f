#!/usr/bin/env bash
# oldest.sh: the tests that need an API server and no node, on the oldest Kubernetes that is promised to work. Its kube-apiserver is built
# from hack/cluster/oldest/go.mod, in about 5 minutes on 2 cores; etcd and kubectl are those of the local cluster.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
"$here/cluster/build.sh"
. "$here/cluster/common.sh"

programs=$bin oldest=$home/oldest module=$here/cluster/oldest
version=$(kubernetes_version "$module")

mkdir -p "$oldest/bin"
step "kube-apiserver $version" \
  compile "$module" "$(link_flags "$version")" "$oldest/bin/kube-apiserver" k8s.io/kubernetes/cmd/kube-apiserver
for program in etcd etcdutl kubectl toxiproxy; do ln -sf "$programs/$program" "$oldest/bin/$program"; done
"$oldest/bin/kube-apiserver" --version
cd "$here/.."
CLUSTER_HOME=$oldest cargo test --locked --all-features --test crd --test schedule --test controller --test controller_program \
  --test robustness
