# shellcheck shell=bash
# etcd, API server, controller-manager and scheduler, on the host. Sourced by cluster.sh.
# shellcheck disable=SC2154  # variables of common.sh

ports=(2379 2380 6443 10257 10259)

port_is_free() { [ -z "$(ss -Hltn "sport = :$1")" ]; }

# A program that was just killed may need a moment to let go of its port.
require_free_ports() {
  local port user
  for port in "${ports[@]}"; do
    eventually 3 "port $port" port_is_free "$port" && continue
    user=$(ss -Hltnp "sport = :$port" | head -n1)
    die "port $port is in use: $user; the control plane needs ${ports[*]}"
  done
}

kubeconfig() { # user token
  cat >"$run/$1.kubeconfig" <<Y
apiVersion: v1
kind: Config
clusters: [{name: local, cluster: {server: "https://$host:6443", certificate-authority: $run/pki/apiserver.crt}}]
users: [{name: $1, user: {token: $2}}]
contexts: [{name: local, context: {cluster: local, user: $1}}]
current-context: local
Y
}

user() { # short-name user-name [group]: a random token, known to the API server and in a kubeconfig
  local token; token=$(openssl rand -hex 16)
  printf '%s,%s,%s,"%s"\n' "$token" "$2" "$1" "${3:-}" >>"$run/tokens.csv"
  kubeconfig "$1" "$token"
}

users() {
  user admin admin system:masters
  user kcm system:kube-controller-manager
  user scheduler system:kube-scheduler
  for name in "${nodes[@]}"; do user "$name" "system:node:$name" system:nodes; done
}

start_apiserver() {
  start apiserver "$bin/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 --cert-dir="$run/pki" \
    --secure-port=6443 --bind-address="$host" --advertise-address="$host" --service-cluster-ip-range=10.0.0.0/24 \
    --allow-privileged=true --kubelet-preferred-address-types=InternalIP --authorization-mode=Node,RBAC \
    --enable-admission-plugins=NodeRestriction --token-auth-file="$run/tokens.csv" \
    --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$run/pki/sa.key" \
    --service-account-signing-key-file="$run/pki/sa.key"
  await_apiserver
}

await_apiserver() { eventually 60 "the API server (log: $run/apiserver.log)" kubectl get --raw /readyz; }

# As with leader election, controllers begin anew when it was gone: theirs is off, and what they watch they would ask for again in half a minute.
restart_apiserver() {
  start_apiserver
  stop kcm
  stop scheduler
  start_controllers
}

# At once and without a farewell, as a crash: connections are reset, later ones refused. etcd keeps the data.
stop_apiserver() { stop apiserver; }

control_plane() {
  require_free_ports
  (umask 077; mkdir -p "$run/pki"; users; openssl genrsa -out "$run/pki/sa.key" 2048 2>/dev/null)
  ip link add kbr0 type bridge
  ip addr add "$host/24" dev kbr0
  ip link set kbr0 up
  start etcd "$bin/etcd" --data-dir "$run/etcd" --unsafe-no-fsync --listen-client-urls http://127.0.0.1:2379 \
    --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380
  start_apiserver
  start_controllers
}

# Scenarios cut nodes side by side. By default the node lifecycle controller evicts from one node in ten seconds, and a second cut would wait.
start_controllers() {
  keep kcm "$bin/kube-controller-manager" --kubeconfig="$run/kcm.kubeconfig" --leader-elect=false --cert-dir="$run/pki/kcm" \
    --authentication-skip-lookup=true --root-ca-file="$run/pki/apiserver.crt" --bind-address=127.0.0.1 \
    --service-account-private-key-file="$run/pki/sa.key" --use-service-account-credentials=true --node-monitor-grace-period=20s \
    --node-eviction-rate=10
  keep scheduler "$bin/kube-scheduler" --kubeconfig="$run/scheduler.kubeconfig" --leader-elect=false --bind-address=127.0.0.1 \
    --authentication-skip-lookup=true --cert-dir="$run/pki/scheduler"
}
