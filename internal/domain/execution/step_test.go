package execution

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestNewStepTruncatesText(t *testing.T) {
	require.Equal(t, "short", NewStep(1, StepOutput, " short\n").Text)
	long := NewStep(1, StepOutput, strings.Repeat("한", MaxStepBytes)).Text
	require.True(t, strings.HasSuffix(long, "한…"))
	rapid.Check(t, func(t *rapid.T) {
		text := NewStep(1, StepOutput, string(rapid.SliceOfN(rapid.Byte(), 0, 2*MaxStepBytes).Draw(t, "text"))).Text
		require.LessOrEqual(t, len(text), MaxStepBytes)
		require.True(t, utf8.ValidString(text))
	})
}

func TestClaimClearsSteps(t *testing.T) {
	now := time.Now()
	e := New(Spec{Tenant: "ada", Kind: KindRun, Limits: Limits{Timeout: time.Minute}}, now)
	first := []Step{NewStep(1, StepOutput, "first")}
	require.NoError(t, e.Apply(Claimed{Executor: "x", Lease: time.Minute}, now))
	require.NoError(t, e.Apply(Renewed{Attempt: 1, Lease: time.Minute, Steps: first}, now))
	require.NoError(t, e.Apply(HandedBack{Attempt: 1}, now))
	require.Equal(t, first, e.Steps, "the steps stay until the next attempt begins")
	require.NoError(t, e.Apply(Claimed{Executor: "y", Lease: time.Minute}, now))
	require.Empty(t, e.Steps)
	require.ErrorIs(t, e.Apply(Renewed{Attempt: 1, Lease: time.Minute, Steps: first}, now), ErrLeaseLost)
	require.Empty(t, e.Steps, "an old attempt cannot change the steps")
}
