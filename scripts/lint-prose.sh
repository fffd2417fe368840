#!/usr/bin/env bash
# Refuses comments and pages that are hard to read: lines of more than 120 characters, and words of this project's own
# where the field has a standard one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LC_ALL=C.UTF-8

failed=0
fail() { # heading, lines
	[[ -z $2 ]] || { printf 'lint: %s\n%s\n' "$1" "$2" >&2; failed=1; }
}

# Tables, indented examples and lines with a link may be longer.
fail 'wrap these lines at 120 characters' "$(
	git grep -nE '^.{121,}' -- '*.md' | grep -vE '^[^:]+:[0-9]+:(\||    |.*http)' || true
	git grep -nE '^[[:blank:]]*// .{118,}' -- '*.go' ':!*.gen.go' || true
)"
fail 'use the standard word (heartbeat, notification, dispatcher, fix, recover, publish, whoever -> the process that)' "$(
	git grep -nwiE 'heart|doorbell|courier|feeder|mend|mends|mended|rescue|rescues|whoever|unheard|hush|dialguard|badness' -- \
		'*.go' '*.md' '*.ts' '*.tsx' '*.sh' '*.yaml' ':!CHANGELOG.md' ':!scripts/lint-prose.sh' ':!*.gen.*' || true
)"
exit "$failed"
