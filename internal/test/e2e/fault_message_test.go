package e2e

import (
	"strings"
	"syscall"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/test/history"
)

// Messages that are malformed or name no execution do not delay others.
func TestFaultPoisonMessages(t *testing.T) {
	t.Parallel()
	l := newFaultCluster(t, 0)
	x := l.startExecutor()
	for _, lane := range []string{"interactive", "batch"} {
		for _, data := range []string{
			"not JSON", "\x00\xff", "{}", "null", "[1]", `{"tenant":"","executionId":""}`, `{"tenant":"../x","executionId":"exe_1"}`,
			`{"tenant":"a/b/c","executionId":"d/e"}`, `{"tenant":"ada","executionId":"exe_none"}`, `{"tenant":"ada","executionId":"` + id.New(id.Execution) + `"}`, strings.Repeat("x", 1<<20),
		} {
			_, err := l.pubsub.TopicAdminClient.Publish(t.Context(), &pubsubpb.PublishRequest{
				Topic:    "projects/" + emulatortest.Project + "/topics/executions-" + lane,
				Messages: []*pubsubpb.PubsubMessage{{Data: []byte(data)}},
			})
			require.NoError(t, err)
		}
	}
	require.Equal(t, contract.StatusSucceeded, l.awaitExecution(l.submit("one two").ExecutionId).Status)
	b := l.submitBatch(l.createEchoAgent(), `"one two"`)
	l.recorder.RecordAcceptance(history.Acceptance{Batch: b.Id})
	require.Equal(t, 1, l.awaitBatch(b).Progress.Succeeded)
	l.requireHistoryHolds(x)
}

// Three executors are replaced one by one while work arrives. No attempt fails,
// and nothing is lost.
func TestFaultRollingRestart(t *testing.T) {
	t.Parallel()
	l := newFaultCluster(t, 0)
	executors := []*process{l.startExecutor(), l.startExecutor(), l.startExecutor()}
	b := l.submitBatch(l.createEchoAgent(), strings.Repeat(`"one two"`+"\n", 30))
	l.recorder.RecordAcceptance(history.Acceptance{Batch: b.Id})
	var accepted []contract.AcceptedExecution
	first := l.submitTurn("", "hello")
	for i := range executors {
		for range 3 {
			accepted = append(accepted, l.submit(`{"offline":{"sleep":"1s"}}`), l.submit(words(len(accepted)+1)))
			l.submitTurn(first.ConversationId, "hello again")
		}
		replacement := l.startExecutor()
		executors[i].signalAndWait(t, syscall.SIGTERM)
		require.Zero(t, executors[i].ProcessState.ExitCode())
		executors[i] = replacement
	}
	for _, a := range accepted {
		e := l.awaitExecution(a.ExecutionId)
		require.Equal(t, contract.StatusSucceeded, e.Status, "%+v", e.Error)
	}
	require.Equal(t, 30, l.awaitBatch(b).Progress.Succeeded)
	l.requireHistoryHolds(executors...)
	for _, v := range l.recorder.History().Versions {
		if v.Execution != nil {
			require.Zero(t, v.Execution.FailedAttempts, "no attempt fails because of a restart")
		}
	}
}
