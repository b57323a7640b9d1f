#!/usr/bin/env python3
"""Packs local files into a one-layer OCI image archive that `ctr images import`, skopeo and docker load take.

Each FILE is `path=/inside` (a copy, mode 0755), `@target=/inside` (a symbolic link), `text:words=/inside` (a small file, mode 0644)
or `dir:mode=/inside` (an empty directory). The same input gives the same bytes.
"""
import argparse
import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
OCI = "application/vnd.oci.image."


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("name", help="fully qualified, with a tag: ghcr.io/owner/name:1.0")
    parser.add_argument("--entrypoint", action="append", default=[], help="once per word")
    parser.add_argument("--command", action="append", default=[], help="once per word")
    parser.add_argument("--user", default="", help="uid or uid:gid")
    parser.add_argument("files", nargs="+", metavar="FILE")
    return parser.parse_args()


def entry(spec):
    """The tar header and the content of one FILE argument."""
    source, _, inside = spec.rpartition("=")
    if not source or not inside.startswith("/"):
        raise SystemExit(f"image.py: {spec!r} is not of the form source=/inside")
    header, content = tarfile.TarInfo(inside.strip("/")), b""
    if source.startswith("@"):
        header.type, header.linkname = tarfile.SYMTYPE, source[1:]
    elif source.startswith("dir:"):
        header.type, header.mode = tarfile.DIRTYPE, int(source[4:], 8)
    elif source.startswith("text:"):
        content, header.mode = source[5:].encode() + b"\n", 0o644
    else:
        content, header.mode = Path(source).read_bytes(), 0o755
    header.size = len(content)
    return header, content


def parents(name, known):
    """Headers of the directories above `name` that the layer does not have yet."""
    for folder in reversed(list(Path(name).parents)[:-1]):
        if str(folder) not in known:
            known.add(str(folder))
            header = tarfile.TarInfo(str(folder))
            header.type, header.mode = tarfile.DIRTYPE, 0o755
            yield header


def layer(specs):
    """The file system as one uncompressed tar."""
    buffer, known = io.BytesIO(), set()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for header, content in map(entry, specs):
            for folder in parents(header.name, known):
                tar.addfile(folder)
            if header.isdir():
                known.add(header.name)
            tar.addfile(header, io.BytesIO(content))
    return buffer.getvalue()


def descriptor(kind, blob, **more):
    return {"mediaType": OCI + kind, "digest": "sha256:" + hashlib.sha256(blob).hexdigest(), "size": len(blob), **more}


def document(content):
    return json.dumps(content, sort_keys=True).encode()


def config(options, diff):
    run = {"Env": ["PATH=/bin:/usr/bin"], "User": options.user, "Entrypoint": options.entrypoint, "Cmd": options.command}
    return document({
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {key: value for key, value in run.items() if value},
        "rootfs": {"type": "layers", "diff_ids": [diff]},
    })


def write(archive, blobs):
    with tarfile.open(archive, "w") as tar:
        for name, content in blobs.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))


def main():
    options = arguments()
    files = layer(options.files)
    layers = descriptor("layer.v1.tar", files)
    settings = config(options, layers["digest"])
    manifest = document({
        "schemaVersion": 2,
        "mediaType": OCI + "manifest.v1+json",
        "config": descriptor("config.v1+json", settings),
        "layers": [layers],
    })
    names = {"io.containerd.image.name": options.name, "org.opencontainers.image.ref.name": options.name.rpartition(":")[2]}
    index = document({
        "schemaVersion": 2,
        "mediaType": OCI + "index.v1+json",
        "manifests": [descriptor("manifest.v1+json", manifest, annotations=names)],
    })
    blobs = {"blobs/sha256/" + hashlib.sha256(blob).hexdigest(): blob for blob in (settings, manifest, files)}
    write(options.archive, {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": index, **blobs})


if __name__ == "__main__":
    main()
