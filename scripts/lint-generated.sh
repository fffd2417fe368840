#!/usr/bin/env bash
# Fails when what is generated is not what `make generate` would make now.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mapfile -t generated < <(git ls-files '*.gen.go' '*.gen.ts')
before=$(sha256sum "${generated[@]}")
make --no-print-directory generate >/dev/null
if [[ $(sha256sum "${generated[@]}") != "$before" ]]; then
	echo "lint: generated code is stale; run 'make generate' and commit what it changes" >&2
	exit 1
fi
