package client_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/client"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

func TestEventsResumeAfterInterruption(t *testing.T) {
	t.Parallel()
	a := startTestServer(t)
	agent, err := a.CreateAgent(t.Context(), counterAgent)
	require.NoError(t, err)
	accepted, err := a.Run(t.Context(), agent.Id, client.RunAgent{Input: "x"})
	require.NoError(t, err)
	ref := execution.Ref{Tenant: "local", ID: accepted.ExecutionId}
	_, err = a.store.Apply(t.Context(), ref, execution.Claimed{Executor: "x", Lease: time.Minute})
	require.NoError(t, err)
	ending := execution.Ending{Status: execution.Succeeded, Result: &execution.Result{Text: "done"}}
	ending.Steps = []execution.Step{execution.NewStep(1, execution.StepOutput, "one"), execution.NewStep(2, execution.StepProgress, "two")}
	_, err = a.store.Apply(t.Context(), ref, execution.JobEnded{Attempt: 1, Ending: ending})
	require.NoError(t, err)

	var last []string
	a.intercept = func(w http.ResponseWriter, r *http.Request) bool {
		last = append(last, r.Header.Get("Last-Event-ID"))
		if len(last) > 1 {
			return false
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, ":\n\nid: 1-1-running\nevent: output\ndata: {\"attempt\":1,\"number\":1,\"text\":\"one\"}\n\nid: 1-2-run")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	var got []string
	for e, err := range a.Events(t.Context(), accepted.ExecutionId) {
		require.NoError(t, err)
		got = append(got, strings.TrimSpace(e.Kind+" "+string(e.Status.Status)+e.Step.Text))
	}
	require.Equal(t, []string{"output one", "progress two", "status succeeded"}, got)
	require.Equal(t, []string{"", "1-1-running"}, last)

	for _, err := range a.Events(t.Context(), "exe_000000000000000000000000") {
		require.True(t, client.IsNotFound(err))
	}
}
