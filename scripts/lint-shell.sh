#!/usr/bin/env bash
# Runs shellcheck over all scripts, installed from Debian where that can be done without asking.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! command -v shellcheck >/dev/null; then
	if [[ $EUID -eq 0 && -f /etc/debian_version ]]; then
		apt-get update -qq
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends shellcheck >/dev/null
	else
		echo "lint: install shellcheck to check the scripts" >&2
		exit 1
	fi
fi
shellcheck scripts/*.sh .ci/run
