#!/bin/sh
# Builds the images with docker, podman or buildah: the first that works here, or the one that ENGINE names.
#   TORCH_INDEX  torch's index of CPU builds; the image `cpu` needs it
#   TARGETS      which images: cpu (if nothing is said), gpu, or both
#   OPTIONS      more options for the engine's build
set -eu
cd "$(dirname "$0")/.."
if [ -z "${ENGINE:-}" ]; then
    if docker info >/dev/null 2>&1; then
        ENGINE=docker
    elif command -v podman >/dev/null; then
        ENGINE=podman
    elif command -v buildah >/dev/null; then
        ENGINE=buildah
    else
        echo "images: expected docker with a running engine, podman or buildah, found none; install one" >&2
        exit 2
    fi
fi
if [ "$ENGINE" != docker ]; then # the other format has no health check, and buildah keeps no layers unless it is told
    OPTIONS="--format docker --layers ${OPTIONS:-}"
fi
for target in ${TARGETS:-cpu}; do
    started=$(date +%s)
    # shellcheck disable=SC2086
    "$ENGINE" build ${OPTIONS:-} --target "$target" --build-arg "TORCH_INDEX=${TORCH_INDEX:-}" \
        --build-arg "LOCK=${LOCK:-requirements.lock}" --tag "bigfusion:$target" --file docker/Dockerfile .
    echo "bigfusion:$target built by $ENGINE in $(($(date +%s) - started)) s"
done
