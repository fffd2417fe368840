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
	e.Steps = []Step{NewStep(1, StepOutput, "of an older attempt")}
	require.NoError(t, e.Apply(Claimed{Executor: "x"}, now))
	require.Empty(t, e.Steps)
	require.NoError(t, e.Apply(JobEnded{Attempt: 1, Ending: Ending{Status: Succeeded, Result: &Result{}, Steps: first}}, now))
	require.Equal(t, first, e.Steps)
}
