#!/usr/bin/env bash
# The servers on which the recipes of docs/fencing.md are tested: PostgreSQL and Redis from Debian's packages, and an S3 server
# over local files, built from its Go module into $CLUSTER_HOME/bin. Idempotent; the first build takes one to three minutes on 2 cores.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/cluster/common.sh"

compile() { # never half a program in place
  CGO_ENABLED=0 go build -C "$here/stores" -trimpath -ldflags "-s -w" -o "$bin/.versitygw" github.com/versity/versitygw/cmd/versitygw
  mv "$bin/.versitygw" "$bin/versitygw"
}

command -v go >/dev/null || die "go is not in PATH; CONTRIBUTING.md says which one is needed"
"$here/cluster/packages.sh" postgresql postgresql-client redis-server curl
mkdir -p "$bin"
step "S3 server" compile
