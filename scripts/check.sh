#!/usr/bin/env bash
# Lints and tests one package, in whichever module it is:
#
#   scripts/check.sh LINTER ./internal/store
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

linter=$1 package=${2:-}
[[ -n $package ]] || { echo 'check: name a package: make check PKG=./internal/store' >&2; exit 2; }
package=./${package#./}
module=.
for nested in client emulator; do
	if [[ $package == "./$nested" || $package == "./$nested/"* ]]; then
		module=$nested package=./${package#"./$nested"}
		package=./${package#.//}
	fi
done
cd "$module"
"$linter" run "$package"
go test -race -count=1 "$package"
