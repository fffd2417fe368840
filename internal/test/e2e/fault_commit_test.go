package e2e

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/test/history"
)

// For each commit that changes an execution, from its acceptance to its final
// state: Firestore commits it, but the response is lost. The client of Firestore
// finds out that the commit was successful, and nothing happens twice.
func TestFaultCommitResponseLost(t *testing.T) {
	t.Parallel()
	for kind, c := range map[string]struct {
		path, body string
		commits    []string // the event of each commit
	}{
		// The run takes longer than a heartbeat, so that its lease is renewed.
		"run":  {"/agents/%s/run", `{"input":"{\"offline\":{\"sleep\":\"6s\"}}"}`, []string{"accepted", "claimed", "renewed", "finished"}},
		"turn": {"/api/conversation", `{"agentId":"%s","message":"hello"}`, []string{"accepted", "claimed", "finished"}},
	} {
		for i, event := range c.commits {
			t.Run(kind+" "+event, func(t *testing.T) {
				t.Parallel()
				l := newFaultCluster(t, 0)
				agent := l.createEchoAgent()
				dropped := l.dropCommitResponse(i + 1)
				id := l.postUntilAccepted(strings.ReplaceAll(c.path, "%s", agent), strings.ReplaceAll(c.body, "%s", agent))
				if event == "accepted" { // the API has published no notification
					l.clock.Advance(afterNotification)
				}
				x := l.startExecutor()
				e := l.awaitExecution(id)
				require.True(t, dropped(), "there were too few commits")
				require.Equal(t, contract.StatusSucceeded, e.Status, "%+v", e.Error)
				require.Equal(t, 1, e.Attempt)
				var list contract.ExecutionList
				l.get("/executions", &list)
				require.Len(t, list.Executions, 1)
				l.requireHistoryHolds(x)
			})
		}
	}
}

// dropCommitResponse makes Firestore do the n-th commit that changes an
// execution, and return the gRPC error of a broken connection.
func (l *faultCluster) dropCommitResponse(n int) (dropped func() bool) {
	var commits atomic.Int64
	l.firestore.Intercept(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, do grpc.UnaryHandler) (any, error) {
		response, err := do(ctx, req)
		if commit, ok := req.(*firestorepb.CommitRequest); ok && err == nil && writesExecution(commit) && commits.Add(1) == int64(n) {
			return nil, status.Error(codes.Unavailable, "the response was lost")
		}
		return response, err
	})
	return func() bool { return commits.Load() >= int64(n) }
}

func writesExecution(commit *firestorepb.CommitRequest) bool {
	for _, w := range commit.Writes {
		if strings.Contains(w.GetUpdate().GetName(), "/executions/") {
			return true
		}
	}
	return false
}

// postUntilAccepted sends a POST with an Idempotency-Key, and repeats it after a
// 503 until it is accepted.
func (l *faultCluster) postUntilAccepted(path, body string) (executionID string) {
	l.t.Helper()
	var accepted contract.AcceptedExecution
	header := http.Header{"Content-Type": {jsonType}, "Idempotency-Key": {"repeated"}}
	l.eventually("accepted", func() bool {
		got := l.doWithHeader(http.MethodPost, path, header, []byte(body))
		if got.StatusCode == http.StatusServiceUnavailable {
			return false
		}
		require.Equal(l.t, http.StatusAccepted, got.StatusCode, "%s", got.body)
		got.decode(l.t, &accepted)
		return true
	})
	l.recorder.RecordAcceptance(history.Acceptance{Execution: accepted.ExecutionId})
	return accepted.ExecutionId
}
