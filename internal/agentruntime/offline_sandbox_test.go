package agentruntime_test

import (
	"cmp"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/agentruntime"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// runInContainer runs a task with the offline runtime in its real container.
func runInContainer(t *testing.T, task execution.Task, timeout time.Duration) (*execution.Result, *execution.Failure) {
	t.Helper()
	image := cmp.Or(os.Getenv("AIRLOCK_OFFLINE_IMAGE"), offlineImage)
	driver := newDriver(t, image)
	run, failure := agentruntime.NewRegistry(offlineRuntime(image)).Prepare(t.Context(), &execution.Execution{ID: "exe_offline", Task: task, Limits: execution.Limits{Timeout: timeout}})
	require.Nil(t, failure)
	outcome, err := driver.Run(t.Context(), run.Job)
	require.NoError(t, err)
	return run.ParseOutcome(outcome)
}

func TestOfflineInContainer(t *testing.T) {
	t.Parallel()
	result, failure := runInContainer(t, execution.Task{
		Instructions: "단어 수를 세세요", Input: "안녕 세상",
		History: []execution.Message{{Role: execution.RoleUser, Text: "hello"}},
	}, time.Minute)
	require.Nil(t, failure)
	require.Equal(t, "단어 2개, 글자 5자, 1줄", result.Text)
}

// The cases are those of the table in docs/runtimes.md.
func TestSandboxSelfTests(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		input   string
		timeout time.Duration
		code    execution.Code // empty: success
	}{
		"sleeps":                 {`{"offline":{"sleep":"10ms"}}`, time.Minute, ""},
		"sleeps too long":        {`{"offline":{"sleep":"1h"}}`, time.Second, execution.CodeTimedOut},
		"allocates":              {`{"offline":{"allocateMiB":100}}`, time.Minute, ""},
		"allocates too much":     {`{"offline":{"allocateMiB":2048}}`, time.Minute, execution.CodeOutOfMemory},
		"writes":                 {`{"offline":{"outputMiB":2}}`, time.Minute, ""},
		"writes much":            {`{"offline":{"outputMiB":30}}`, time.Minute, ""},
		"writes too much":        {`{"offline":{"outputMiB":400}}`, time.Minute, execution.CodeOutputLimit},
		"exits without a result": {`{"offline":{"exit":3}}`, time.Minute, execution.CodeAgentError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result, failure := runInContainer(t, execution.Task{Input: c.input}, c.timeout)
			if c.code == "" {
				require.Nil(t, failure)
				require.Contains(t, result.Text, "Self-test done")
				return
			}
			require.Nil(t, result)
			require.Equal(t, c.code, failure.Code, failure.Message)
		})
	}
}
