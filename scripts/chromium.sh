#!/usr/bin/env bash
# Makes sure of a Chromium for the browser test: finds one, or installs
# Debian's where that can be done without asking.
set -euo pipefail

for name in chromium chromium-browser google-chrome; do
	if command -v "$name" >/dev/null; then
		exit 0
	fi
done
if [[ $EUID -eq 0 && -f /etc/debian_version ]]; then
	echo "chromium: installing Debian's"
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null
	exit 0
fi
echo "chromium: the browser test needs Chromium; install it (Debian: apt-get install chromium)" >&2
exit 1
