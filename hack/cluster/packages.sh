#!/usr/bin/env bash
# packages.sh [MORE...]: installs the Debian packages that the local cluster, its test images and recipes need, and MORE, those that are
# missing. Idempotent.
set -euo pipefail
. "$(dirname "$0")/common.sh"

wanted=(runc containernetworking-plugins iptables iproute2 util-linux e2fsprogs procps openssl s6 gcc libc6-dev python3 busybox-static ca-certificates "$@")

installed() { dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed; }

missing=()
for package in "${wanted[@]}"; do installed "$package" || missing+=("$package"); done
[ ${#missing[@]} = 0 ] && exit 0

command -v apt-get >/dev/null || die "these packages are missing and there is no apt-get to install them: ${missing[*]}"
require_root "installing ${missing[*]}"
say "installing Debian packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
step "apt-get update" apt-get -q update
step "apt-get install" apt-get -q -y --no-install-recommends install "${missing[@]}"
