# syntax=docker/dockerfile:1
# The operator's image for registries: docker buildx build --platform linux/amd64,linux/arm64 -t REGISTRY/singletonjob:TAG .
# Compiled on the builder's own architecture for each target, linked statically, copied into an empty image.
FROM --platform=$BUILDPLATFORM rust:1.95-bookworm AS build
ARG TARGETARCH
RUN <<EOF
set -eu
case "$(dpkg --print-architecture)" in
  amd64) cross="gcc-aarch64-linux-gnu libc6-dev-arm64-cross" ;;
  arm64) cross="gcc-x86-64-linux-gnu libc6-dev-amd64-cross" ;;
esac
apt-get update
apt-get install -y --no-install-recommends $cross
rm -rf /var/lib/apt/lists/*
EOF
WORKDIR /source
COPY Cargo.toml Cargo.lock ./
COPY api ./api
COPY src ./src
COPY bench ./bench
COPY testkit ./testkit
COPY tests ./tests
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/source/target,id=target-${TARGETARCH} <<EOF
set -eu
case "$TARGETARCH" in
  amd64) machine=x86_64 ;;
  arm64) machine=aarch64 ;;
  *) echo "no build for $TARGETARCH: amd64 and arm64 are supported" >&2; exit 1 ;;
esac
triple=$machine-unknown-linux-gnu
rustup target add "$triple"
export "CC_${machine}_unknown_linux_gnu=$machine-linux-gnu-gcc"
export "CARGO_TARGET_$(echo "$machine" | tr a-z A-Z)_UNKNOWN_LINUX_GNU_LINKER=$machine-linux-gnu-gcc"
export RUSTFLAGS="-C target-feature=+crt-static"
cargo build --release --locked --target "$triple" --bin singletonjob-controller --bin singletonjob-agent
install -D -t /programs "target/$triple/release/singletonjob-controller" "target/$triple/release/singletonjob-agent"
EOF

FROM scratch
COPY --from=build /programs/ /usr/bin/
USER 65532:65532
ENTRYPOINT ["/usr/bin/singletonjob-controller"]
