#!/usr/bin/env bash
# Builds the services' images, starts infra/compose.yaml on ports of its own,
# and sees a conversation and a run through it. Leaves no container behind.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export AIRLOCK_LISTEN_ADDR=127.0.0.1:18000 AIRLOCK_PUBSUB_ADDR=127.0.0.1:18085 AIRLOCK_FIRESTORE_ADDR=127.0.0.1:18080
url=http://$AIRLOCK_LISTEN_ADDR

say() { printf 'containers-test: %s\n' "$*"; }

if docker compose version >/dev/null 2>&1; then
	compose=(docker compose)
else
	if ! command -v docker-compose >/dev/null; then
		[[ $(id -u) == 0 && -e /etc/debian_version ]] || { say 'install docker compose' >&2; exit 1; }
		apt-get update -qq
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker-compose >/dev/null
	fi
	compose=(docker-compose)
fi
compose+=(-p airlock-test -f infra/compose.yaml)

finish() {
	local code=$?
	[[ $code == 0 ]] || "${compose[@]}" logs --tail 30 >&2
	"${compose[@]}" down --volumes --timeout 20 >/dev/null 2>&1
	exit "$code"
}

scripts/images.sh offline
scripts/containers.sh
trap finish EXIT
say 'starting'
"${compose[@]}" up --detach >/dev/null 2>&1

for ((i = 0; i < 150; i++)); do
	curl -sf "$url/readyz" >/dev/null && break
	sleep 0.2
done
curl -sf "$url/readyz" >/dev/null || { say 'the API does not get ready' >&2; exit 1; }

post() { curl -sf "$url$1" -H 'Content-Type: application/json' -d "$2"; }
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
expect() { # name, answer, what it must hold
	[[ $2 == *"$3"* ]] || { say "$1: expected $3 in: $2" >&2; exit 1; }
	say "$1: ok"
}

execution=$(post /api/conversation '{"message":"안녕하세요"}' | field executionId)
expect 'a conversation' "$(curl -sf "$url/executions/$execution?wait=30s")" '"status":"succeeded"'

agent=$(post /agents '{"name":"Counter","instructions":"Count the words"}' | field id)
execution=$(post "/agents/$agent/run" '{"input":"one two three"}' | field executionId)
expect 'a run' "$(curl -sf "$url/executions/$execution?wait=30s")" '"status":"succeeded"'
