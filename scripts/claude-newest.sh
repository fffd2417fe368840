#!/usr/bin/env bash
# Tries the newest Claude Code CLI: builds the claude image with it under
# another tag, says which of its options differ from the pinned version's, and
# runs the tests of the CLI with it. The pin itself stays.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'claude-newest: %s\n' "$*"; }

package=@anthropic-ai/claude-code
pinned=$(sed -n 's/^ARG CLAUDE_CODE_VERSION=//p' images/claude/Dockerfile)
newest=${1:-$(npm view "$package" version)}
image=airlock/sandbox-claude:$newest
say "pinned $pinned, trying $newest"

scripts/images.sh claude
DOCKER_BUILDKIT=0 docker build --quiet --network host --build-arg "CLAUDE_CODE_VERSION=$newest" \
	--tag "$image" bin/images/claude >/dev/null
trap 'docker rmi "$image" >/dev/null 2>&1 || true' EXIT

options() { # image
	docker run --rm --network none --entrypoint /usr/local/bin/claude "$1" --help
}
say "options that differ (< $pinned, > $newest):"
diff <(options airlock/sandbox-claude:dev) <(options "$image") || true

say "the tests with $newest:"
AIRLOCK_CLAUDE_IMAGE=$image go test -count=1 -run Claude ./internal/agentruntime
