#!/usr/bin/env bash
# Sees to it that public base images are on the Engine. Where the registry
# cannot be reached, it makes local stand-ins under the same tags, from Debian's
# packages and what this host has installed, and says so.
#
#   scripts/base-images.sh IMAGE...
#
# Stand-ins carry the label airlock.standin; `docker rmi IMAGE` and another run
# replace one by the real image.
set -euo pipefail

mirror=${AIRLOCK_DEBIAN_MIRROR:-http://deb.debian.org/debian}

say() { printf 'base-images: %s\n' "$*"; }
die() { printf 'base-images: %s\n' "$*" >&2; exit 1; }

stage=
trap '[[ -z $stage ]] || rm -rf "$stage" "$stage.log"' EXIT
fresh_stage() {
	[[ -z $stage ]] || rm -rf "$stage"
	stage=$(mktemp -d)
	# The folder becomes the image's root, which everybody may enter.
	chmod 755 "$stage"
}

import() { # tag, what it is made of, changes...
	local tag=$1 label="LABEL airlock.standin=\"$2\""
	shift 2
	local changes=(--change "$label")
	for change in "$@"; do changes+=(--change "$change"); done
	tar -C "$stage" --numeric-owner -c . | docker import "${changes[@]}" - "$tag" >/dev/null
}

may_make() { # tag
	[[ -e /etc/debian_version ]] || die "$1 cannot be pulled, and a stand-in can be made on Debian or Ubuntu only"
	[[ $(id -u) == 0 ]] || die "$1 cannot be pulled, and only root can make a stand-in"
}

debian() { # tag
	if ! command -v debootstrap >/dev/null; then
		say 'installing debootstrap'
		apt-get update -qq
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap >/dev/null
	fi
	fresh_stage
	say "bootstrapping Debian bookworm from $mirror (a minute)"
	debootstrap --variant=minbase bookworm "$stage" "$mirror" >"$stage.log" 2>&1 ||
		{ tail -n 20 "$stage.log" >&2; rm -f "$stage.log"; die 'debootstrap failed'; }
	rm -rf "$stage.log" "$stage"/var/cache/apt/archives/*.deb "$stage"/var/lib/apt/lists/* \
		"$stage"/usr/share/{doc,man,info,locale} "${stage:?}"/dev/* "$stage"/var/log/*.log
	import "$1" "debootstrap minbase bookworm" 'CMD ["bash"]'
}

# A stand-in on top of Debian's, holding what the functions below put in $stage.
on_debian() { # tag, what it is made of, Dockerfile lines on standard input
	local tag=$1 what=$2
	{ printf 'FROM debian:bookworm-slim\nCOPY root/ /\nLABEL airlock.standin="%s"\n' "$what"; cat; } >"$stage/Dockerfile"
	DOCKER_BUILDKIT=0 docker build --quiet --network host --tag "$tag" "$stage" >"$stage/log" 2>&1 ||
		{ tail -n 20 "$stage/log" >&2; die "$tag: build failed"; }
}

certificates() { # root folder
	[[ -e /etc/ssl/certs/ca-certificates.crt ]] || return 0
	install -D -m 644 /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/ca-certificates.crt"
}

node() { # tag
	command -v npm >/dev/null || die "$1 cannot be pulled, and there is no Node.js on this host to make a stand-in of"
	have debian:bookworm-slim || obtain debian:bookworm-slim
	fresh_stage
	local root=$stage/root binary
	binary=$(command node -p process.execPath)
	mkdir -p "$root/usr/local/bin" "$root/usr/local/lib/node_modules"
	cp "$binary" "$root/usr/local/bin/node"
	cp -R "$(npm root -g)/npm" "$root/usr/local/lib/node_modules/npm"
	ln -s ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/local/bin/npm"
	ln -s ../lib/node_modules/npm/bin/npx-cli.js "$root/usr/local/bin/npx"
	certificates "$root"
	on_debian "$1" "this host's Node.js $(command node -v)" <<-'END'
		ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
		CMD ["node"]
	END
}

golang() { # tag
	command -v go >/dev/null || die "$1 cannot be pulled, and there is no Go on this host to make a stand-in of"
	have debian:bookworm-slim || obtain debian:bookworm-slim
	fresh_stage
	mkdir -p "$stage/root/usr/local"
	cp -R "$(go env GOROOT)" "$stage/root/usr/local/go"
	certificates "$stage/root"
	# Without a C compiler, which the real image has.
	on_debian "$1" "this host's $(go env GOVERSION)" <<-'END'
		ENV GOPATH=/go GOTOOLCHAIN=local CGO_ENABLED=0 PATH=/go/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
		WORKDIR /go
	END
}

distroless() { # tag
	fresh_stage
	mkdir -p "$stage/etc" "$stage/home/nonroot" "$stage/tmp"
	chmod 1777 "$stage/tmp"
	chown 65532:65532 "$stage/home/nonroot"
	printf '%s\n' root:x:0:0:root:/root:/sbin/nologin nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin \
		nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin >"$stage/etc/passwd"
	printf '%s\n' root:x:0: nobody:x:65534: nonroot:x:65532: >"$stage/etc/group"
	certificates "$stage"
	[[ ! -d /usr/share/zoneinfo ]] || { mkdir -p "$stage/usr/share" && cp -R /usr/share/zoneinfo "$stage/usr/share/"; }
	import "$1" "this host's certificates, and users" \
		'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt' \
		'WORKDIR /home/nonroot'
}

have() { docker image inspect "$1" >/dev/null 2>&1; }

obtain() { # tag
	say "pulling $1"
	if docker pull --quiet "$1" >/dev/null 2>&1; then
		return
	fi
	may_make "$1"
	say "$1 cannot be pulled: making a local stand-in"
	case $1 in
	debian:bookworm-slim) debian "$1" ;;
	node:22-bookworm-slim) node "$1" ;;
	golang:1.26-bookworm) golang "$1" ;;
	gcr.io/distroless/static-debian12) distroless "$1" ;;
	*) die "$1 cannot be pulled, and how to make a stand-in of it is not known" ;;
	esac
	say "$1 is a stand-in: $(docker image inspect --format '{{index .Config.Labels "airlock.standin"}}' "$1")"
}

[[ $# -gt 0 ]] || die 'usage: scripts/base-images.sh IMAGE...'
docker version >/dev/null 2>&1 || die 'no Docker Engine answers: scripts/engine.sh up'
for image in "$@"; do
	have "$image" || obtain "$image"
done
