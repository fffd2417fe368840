#!/usr/bin/env bash
# Lints and tests one package, in whichever module it is. Tests that take tens of seconds are left to make test:
#
#   scripts/check.sh LINTER ./internal/store [TESTS]
#
# TESTS is a pattern of test names, as for go test -run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

linter=$1 package=${2:-} tests=${3:-.}
[[ -n $package ]] || { echo 'check: name a package: make check PKG=./internal/store' >&2; exit 2; }
package=./${package#./}
[[ -d $package ]] || { echo "check: there is no folder $package" >&2; exit 2; }
module=.
for nested in client emulator; do
	if [[ $package == "./$nested" || $package == "./$nested/"* ]]; then
		module=$nested package=./${package#"./$nested"}
		package=./${package#.//}
	fi
done
cd "$module"
"$linter" run "$package"
go test -race -short -count=1 -run "$tests" "$package"
