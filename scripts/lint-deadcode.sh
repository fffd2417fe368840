#!/usr/bin/env bash
# Fails when a function cannot be reached: from any program or test of this module, and for the modules client and
# emulator, which are libraries, from their own tests either.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=v0.52.0
unreachable() { # module
	(cd "$1" && go run "golang.org/x/tools/cmd/deadcode@$version" -test -tags failpoints \
		-filter '^github.com/airlock-run/airlock' \
		-f '{{range .Funcs}}{{if not .Generated}}{{printf "%s %s\n" $.Path .Name}}{{end}}{{end}}' ./...) |
		grep . | sort || true
}

main=$(unreachable .)
found=$(grep -v -e '^github.com/airlock-run/airlock/client' -e '^github.com/airlock-run/airlock/emulator' <<<"$main" || true)
for library in client emulator; do
	found+=$(comm -12 <(printf '%s\n' "$main") <(unreachable "$library"))
done
if [[ -n ${found//[[:space:]]/} ]]; then
	printf '%s\n' "$found" >&2
	echo 'lint: remove the functions above; nothing calls them' >&2
	exit 1
fi
