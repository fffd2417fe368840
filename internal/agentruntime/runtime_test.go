package agentruntime_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/agentruntime"
	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/agentruntime/streamjson"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

func task(t execution.Task) *execution.Execution {
	return &execution.Execution{ID: "exe_1", Task: t, Limits: execution.Limits{Timeout: time.Minute}}
}

func TestPrepareChoosesByName(t *testing.T) {
	off := offlineRuntime("offline-image")
	broken := agentruntime.Runtime{Runtime: catalog.Runtime{Name: "claude"}, Unavailable: "set ANTHROPIC_API_KEY"}

	for name, c := range map[string]struct {
		runtimes  []agentruntime.Runtime
		requested string
		image     string
		message   string // of the failure; empty: success
	}{
		"by name":                     {[]agentruntime.Runtime{broken, off}, "offline", "offline-image", ""},
		"the first that is available": {[]agentruntime.Runtime{broken, off}, "", "offline-image", ""},
		"unknown":                     {[]agentruntime.Runtime{broken, off}, "gemini", "", `unknown runtime "gemini"; available runtimes: offline`},
		"not set up":                  {[]agentruntime.Runtime{broken, off}, "claude", "", "set ANTHROPIC_API_KEY"},
		"none at all":                 {nil, "", "", "no runtime is available"},
	} {
		t.Run(name, func(t *testing.T) {
			run, failure := agentruntime.NewRegistry(c.runtimes...).Prepare(t.Context(), task(execution.Task{Runtime: c.requested, Input: "x"}))
			if c.message != "" {
				require.Nil(t, run)
				require.Equal(t, execution.CodeNoExecutor, failure.Code)
				require.Contains(t, failure.Message, c.message)
				return
			}
			require.Nil(t, failure)
			require.Equal(t, c.image, run.Job.Image)
		})
	}
}

func TestPrepareKeepsTenantTextOffArgv(t *testing.T) {
	const hostile = "--dangerously '; rm -rf / # $(id)"
	run, failure := agentruntime.NewRegistry(offlineRuntime("x")).Prepare(t.Context(), task(execution.Task{
		Input:        hostile,
		Instructions: hostile,
		History:      []execution.Message{{Role: execution.RoleUser, Text: hostile}},
	}))
	require.Nil(t, failure)
	require.NotContains(t, strings.Join(run.Job.Argv, " "), "rm -rf")
	got, err := streamjson.ReadInput(bytes.NewReader(run.Job.Stdin))
	require.NoError(t, err)
	require.Equal(t, streamjson.Input{Prompt: hostile, Instructions: hostile}, got)
	require.Len(t, run.Job.Files, 1, "the history")
}

func TestPrepareIsDeterministic(t *testing.T) {
	registry := agentruntime.NewRegistry(offlineRuntime("x"))
	first, _ := registry.Prepare(t.Context(), task(execution.Task{Input: "x"}))
	second, _ := registry.Prepare(t.Context(), task(execution.Task{Input: "x"}))
	first.Job.Keep, second.Job.Keep = nil, nil // it collects the output of its own job
	require.Equal(t, first.Job, second.Job)
	require.Equal(t, time.Minute, first.Job.Timeout)
	require.Nil(t, first.Job.Egress, "the interface is nil, so nothing listens")
}

func TestPrepareStartsOrResumesASession(t *testing.T) {
	registry := agentruntime.NewRegistry(offlineRuntime("x"))
	for name, c := range map[string]struct {
		history []execution.Message
		flag    string
	}{
		"no history":             {nil, "--session-id"},
		"a history without text": {[]execution.Message{{Role: execution.RoleUser}}, "--session-id"},
		"a history":              {[]execution.Message{{Role: execution.RoleUser, Text: "hi"}}, "--resume"},
	} {
		t.Run(name, func(t *testing.T) {
			run, failure := registry.Prepare(t.Context(), task(execution.Task{Input: "x", History: c.history}))
			require.Nil(t, failure)
			require.Contains(t, run.Job.Argv, c.flag)
		})
	}
}

func TestPrepareRejectsInvalidSchema(t *testing.T) {
	for name, schema := range map[string]string{
		"not JSON":  "{",
		"a list":    "[]",
		"null":      "null",
		"too large": `{"x":"` + strings.Repeat("x", 100<<10) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, failure := agentruntime.NewRegistry(offlineRuntime("x")).Prepare(t.Context(), task(execution.Task{Input: "x", Schema: schema}))
			require.NotNil(t, failure)
			require.Contains(t, failure.Message, "schema")
		})
	}
}
