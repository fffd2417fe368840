#!/usr/bin/env bash
# What the tests use besides Go, Node and Docker: Chromium for the page, and
# gVisor's runsc for sandboxes under another runtime. Installs Debian's where
# that can be done without asking. Without Chromium the tests fail; without
# runsc its test is skipped, and says so.
set -euo pipefail

debian_root() { [[ $EUID -eq 0 && -e /etc/debian_version ]]; }

install() {
	echo "test-tools: installing $1"
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >/dev/null
}

need_chromium() {
	local name
	for name in chromium chromium-browser google-chrome; do
		command -v "$name" >/dev/null && return
	done
	debian_root || {
		echo "test-tools: the browser test needs Chromium; install it (Debian: apt-get install chromium)" >&2
		exit 1
	}
	install chromium
}

need_runsc() {
	command -v runsc >/dev/null && return
	debian_root || {
		echo "test-tools: without runsc the test under gVisor is skipped (Debian: apt-get install runsc)"
		return
	}
	install runsc || echo "test-tools: runsc cannot be installed; the test under gVisor is skipped"
}

need_chromium
need_runsc
