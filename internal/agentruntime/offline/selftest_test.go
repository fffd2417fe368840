package offline_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSelfTestExits(t *testing.T) {
	require.Equal(t, 3, run(t, t.TempDir(), `{"offline":{"exit":3}}`).code)
}

func TestSelfTestSleeps(t *testing.T) {
	began := time.Now()
	result := run(t, t.TempDir(), `{"offline":{"sleep":"30ms"}}`).result(t)
	require.GreaterOrEqual(t, time.Since(began), 30*time.Millisecond)
	require.Equal(t, `Self-test done: {"sleep":"30ms"}.`, result.Text)
}

func TestSelfTestAllocatesAndWrites(t *testing.T) {
	got := run(t, t.TempDir(), `{"offline":{"allocateMiB":3,"outputMiB":2}}`)
	require.Greater(t, len(got.stdout), 2<<20)
	require.Contains(t, got.result(t).Text, `"allocateMiB":3`)
}

func TestNearSelfTestIsOrdinaryInput(t *testing.T) {
	for _, input := range []string{
		`{"offline":{"sleep":"soon"}}`, `{"offline":{"exit":3}} and more`, `{"offline":{"unknown":1}}`, `{"offline":null}`, `{"other":1}`,
	} {
		require.Equal(t, input, runInstructions(t, "echo", input))
	}
}

func TestSelfTestIgnoredInBuilderConversation(t *testing.T) {
	require.NotEmpty(t, propose(t, `{"offline":{"exit":3}}`).Reply)
}
