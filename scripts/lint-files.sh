#!/usr/bin/env bash
# Refuses what does not belong in the tree: files over 1 MiB that are not on the list below.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

limit=$((1 << 20))
allowed=() # paths of larger files, each with the reason

failed=0
while read -r size path; do
	[[ $size -gt $limit ]] || continue
	for known in "${allowed[@]}"; do
		[[ $path != "$known" ]] || continue 2
	done
	echo "lint: $path has $size bytes; files over $limit are not for the tree (scripts/lint-files.sh has the list of exceptions)" >&2
	failed=1
done < <(git ls-files -z | xargs -0 -r stat --printf '%s %n\n' 2>/dev/null)
exit "$failed"
