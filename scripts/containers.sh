#!/usr/bin/env bash
# Builds the images of the services: airlock/api:dev, airlock/executor:dev and,
# for infra/compose.yaml, airlock/emulators:dev.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/base-images.sh debian:bookworm-slim node:22-bookworm-slim golang:1.26-bookworm gcr.io/distroless/static-debian12

version=$(git describe --tags --always --dirty 2>/dev/null || echo dev)
build() { # tag, options...
	local tag=$1
	shift
	echo "containers: building $tag"
	# The classic builder, which every Engine has; BuildKit needs a plugin.
	DOCKER_BUILDKIT=0 docker build --quiet --network host --build-arg "VERSION=$version" --tag "$tag" "$@" . 2>&1 >/dev/null |
		{ grep -v -e '^DEPRECATED' -e 'legacy builder' -e 'buildx' -e 'BuildKit' -e '^ *$' >&2 || true; }
}
build airlock/emulators:dev -f Dockerfile.api --target emulators
build airlock/api:dev -f Dockerfile.api
build airlock/executor:dev -f Dockerfile.executor
