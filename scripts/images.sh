#!/usr/bin/env bash
# Builds the runtime images: the binaries first, each image from a small
# staging folder below bin/, and only what is not up to date.
#
#   scripts/images.sh [offline] [claude] [probe]     (all three when none is named)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'images: %s\n' "$*"; }
die() { printf 'images: %s\n' "$*" >&2; exit 1; }

# A static binary without paths or times of this machine in it, so that the
# same source gives the same bytes, and the image is not built again.
compile() { # package, output
	CGO_ENABLED=0 GOOS=linux go build -trimpath -buildvcs=false -tags disable_grpc_modules -ldflags='-s -w' -o "$2" "$1"
}

# What the image was built from is a label on it.
build() { # name
	local name=$1 tag=airlock/sandbox-$1:dev stage=bin/images/$1 digest have old
	cp "images/$name/Dockerfile" "$stage/Dockerfile"
	digest=$(cd "$stage" && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1)
	have=$(docker image inspect --format '{{index .Config.Labels "airlock.source"}}' "$tag" 2>/dev/null || true)
	if [[ $have == "$digest" ]]; then
		say "$tag is up to date"
		return
	fi
	say "building $tag"
	old=$(docker image inspect --format '{{.Id}}' "$tag" 2>/dev/null || true)
	# The classic builder, which every Engine has; BuildKit needs a plugin.
	DOCKER_BUILDKIT=0 docker build --network host \
		--label "airlock.source=$digest" --tag "$tag" "$stage" >"$stage.log" 2>&1 ||
		{ tail -n 30 "$stage.log" >&2; die "$tag: build failed"; }
	# The replaced one goes, unless a container still uses it.
	[[ -z $old ]] || docker rmi "$old" >/dev/null 2>&1 || true
}

stage() { # name
	local name=$1 dir=bin/images/$1
	mkdir -p "$dir"
	compile ./cmd/sandbox-init "$dir/sandbox-init"
	case $name in
	offline)
		[[ -d cmd/agent-offline ]] || die 'cmd/agent-offline is not there'
		compile ./cmd/agent-offline "$dir/agent-offline"
		;;
	probe) compile ./images/probe "$dir/probe" ;;
	claude)
		scripts/base-images.sh debian:bookworm-slim node:22-bookworm-slim
		# For fetching through a proxy with an authority of its own; not in the image.
		cp /etc/ssl/certs/ca-certificates.crt "$dir/" 2>/dev/null || : >"$dir/ca-certificates.crt"
		;;
	*) die "no image is called '$name': offline, claude, probe" ;;
	esac
}

command -v go >/dev/null || die 'Go is needed to build the binaries: https://go.dev/dl'
docker version >/dev/null 2>&1 || die 'no Docker Engine answers: scripts/engine.sh up'

[[ $# -gt 0 ]] || set -- offline claude probe
for name in "$@"; do
	stage "$name"
	build "$name"
done
