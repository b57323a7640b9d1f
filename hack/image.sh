#!/usr/bin/env bash
# Image archives without a container engine, for `cluster.sh load`. The Dockerfile makes the same operator image for registries.
#   image.sh operator [ARCHIVE]   the two programs, static, as the manifests name the image     (target/images/operator.tar)
#   image.sh busybox [ARCHIVE]    docker.io/library/busybox:1.37 from Debian's busybox-static    (target/images/busybox.tar)
#   image.sh witness [ARCHIVE]    the witness of the cluster scenarios, on top of busybox        (target/images/witness.tar)
#   image.sh agent                no image: builds the static agent, and prints where it is
# ARCHIVE is relative to the folder it is called from. IMAGE overrides the operator image's name.
set -euo pipefail
shopt -s inherit_errexit
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
kind=${1:-} archive=${2:-$root/target/images/${1:-}.tar}
die() { printf 'image: %s\n' "$*" >&2; exit 1; }

# A target folder of its own: other flags in the ordinary one would rebuild everything each time.
static=$root/target/static

compile() { # cargo arguments that name what to build; prints the folder the programs are in
  local triple; triple=$(rustc -vV | sed -n 's/^host: //p')
  (cd "$root" && RUSTFLAGS="-C target-feature=+crt-static" \
    cargo build --release --locked --target "$triple" --target-dir "$static" "$@") >&2
  printf '%s' "$static/$triple/release"
}

require_static() {
  if readelf -lW "$1" | grep -q INTERP; then die "$1 is linked dynamically; it would not start in an empty image"; fi
}

require_busybox() {
  [ -x /bin/busybox ] || die "/bin/busybox is missing; hack/cluster/packages.sh installs busybox-static"
  require_static /bin/busybox
}

busybox_files() { # one argument of image.py per line
  printf '%s\n' /bin/busybox=/bin/busybox dir:1777=/tmp dir:755=/root dir:755=/proc dir:755=/sys dir:755=/dev dir:755=/var
  printf '%s\n' text:root:x:0:=/etc/group
  printf '%s\n' "text:root:x:0:0:root:/root:/bin/sh=/etc/passwd"
  for applet in $(/bin/busybox --list); do [ "$applet" = busybox ] || printf '@busybox=/bin/%s\n' "$applet"; done
}

operator() {
  local programs; programs=$(compile --bin singletonjob-controller --bin singletonjob-agent)
  for program in controller agent; do require_static "$programs/singletonjob-$program"; done
  "$here/image.py" "$archive" "${IMAGE:-ghcr.io/singletonjob/singletonjob:0.1.0}" --user 65532:65532 \
    --entrypoint /usr/bin/singletonjob-controller \
    "$programs/singletonjob-controller=/usr/bin/singletonjob-controller" "$programs/singletonjob-agent=/usr/bin/singletonjob-agent"
}

agent() {
  local programs; programs=$(compile --bin singletonjob-agent)
  require_static "$programs/singletonjob-agent"
  printf '%s\n' "$programs/singletonjob-agent"
}

busybox() {
  require_busybox
  mapfile -t files < <(busybox_files)
  "$here/image.py" "$archive" docker.io/library/busybox:1.37 --command sh "${files[@]}"
}

witness() {
  local programs; programs=$(compile --features witness --bin witness)
  require_busybox; require_static "$programs/witness"
  mapfile -t files < <(busybox_files)
  "$here/image.py" "$archive" localhost/singletonjob-witness:test --entrypoint /bin/witness \
    "$programs/witness=/bin/witness" "${files[@]}"
}

case $kind in
  agent) agent ;;
  operator | busybox | witness) mkdir -p "$(dirname "$archive")"; "$kind"; printf 'image: wrote %s\n' "$archive" ;;
  *) sed -n '2,7p' "$0" | cut -c3- >&2; exit 2 ;;
esac
