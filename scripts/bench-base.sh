#!/usr/bin/env bash
# Compares the core of this working tree with that of another commit: it runs the simulator of each in turns, so that
# both have the same machine, and prints the medians of all rounds (docs/scale.md).
#
#   scripts/bench-base.sh COMMIT [ROUNDS]
#
# SCENARIOS are arguments of the simulator, separated by semicolons.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

base=${1:?bench: name the commit to compare with} rounds=${2:-3}
simulate=internal/test/simulator/simulate
IFS=';' read -ra scenarios <<<"${SCENARIOS:-plain -n 300;idle -executors 10 -warm-up 10s;fair -executors 2 -behind 100 -repeat 2}"

commit=$(git rev-parse --verify --quiet "$base^{commit}") || { echo "bench: there is no commit $base" >&2; exit 1; }
git cat-file -e "$commit:$simulate/main.go" 2>/dev/null || {
	echo "bench: $base has no simulator ($simulate): it cannot be compared" >&2
	exit 1
}

dir=$(mktemp -d)
trap 'git worktree remove --force "$dir/tree" 2>/dev/null || true; rm -rf "$dir"' EXIT
git worktree add --quiet --detach "$dir/tree" "$commit"
go -C "$dir/tree" build -o "$dir/base" "./$simulate"
go build -o "$dir/now" "./$simulate"

for ((round = 1; round <= rounds; round++)); do
	order=(base now)
	((round % 2)) || order=(now base) # so that neither always runs first
	for scenario in "${scenarios[@]}"; do
		read -ra arguments <<<"$scenario"
		for side in "${order[@]}"; do
			echo "round $round of $rounds, $side: $scenario" >&2
			"$dir/$side" "${arguments[@]}" >>"$dir/$side.jsonl" 2>"$dir/log" || { cat "$dir/log" >&2; exit 1; }
		done
	done
done
echo "base is $(git log -1 --format='%h %s' "$commit")"
"$dir/now" compare "$dir/base.jsonl" "$dir/now.jsonl"
