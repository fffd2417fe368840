package e2e

import (
	"bytes"
	"context"
	"fmt"
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
				dropped := l.dropCommitResponse("executions", i+1)
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

// For each commit of a batch with a webhook, from its first input to the
// delivery: Firestore commits it, but the response is lost. The batch ends with
// its results, and the receiver gets the message.
func TestFaultBatchCommitResponseLost(t *testing.T) {
	t.Parallel()
	for collection, commits := range map[string]int{
		"uploads":    1, // the mark of the upload
		"inputs":     1, // the chunk of inputs
		"batches":    3, // the acceptance, the dispatch of its inputs, its end with the delivery
		"deliveries": 3, // the end of the batch, the attempt, its result
	} {
		for n := 1; n <= commits; n++ {
			t.Run(fmt.Sprint(collection, " ", n), func(t *testing.T) {
				t.Parallel()
				l := newFaultCluster(t, 0, "AIRLOCK_WEBHOOK_ALLOW_PRIVATE=127.0.0.0/8")
				url, messages := l.startWebhookReceiver()
				path := "/agents/" + l.createEchoAgent() + "/batches?webhook=" + url
				x := l.startExecutor("AIRLOCK_WEBHOOK_ALLOW_PRIVATE=127.0.0.0/8")
				dropped := l.dropCommitResponse(collection, n)
				header := http.Header{"Content-Type": {linesType}, "Idempotency-Key": {"repeated"}}
				var b contract.Batch
				got := l.repeat(func() response { return l.doWithHeader(http.MethodPost, path, header, []byte("\"one\"\n\"two\"\n")) })
				require.Equal(t, http.StatusAccepted, got.StatusCode, "%s", got.body)
				got.decode(t, &b)
				require.Equal(t, b.Id, l.awaitWebhook(messages).Data.BatchID)
				b = l.awaitBatch(b)
				require.Equal(t, 2, b.Progress.Succeeded)
				l.eventually("delivered", func() bool {
					var d contract.Delivery
					l.get(b.Urls.Delivery, &d)
					return d.State == contract.DeliveryDelivered
				})
				require.True(t, dropped(), "there were too few commits")
				var list contract.BatchList
				l.get("/batches", &list)
				require.Len(t, list.Batches, 1)
				l.requireHistoryHolds(x)
			})
		}
	}
}

// A client hangs up while Firestore commits its batch. The batch keeps its
// inputs and ends, and the same Idempotency-Key answers with it.
func TestFaultClientHangsUpDuringBatchCommit(t *testing.T) {
	t.Parallel()
	l := newFaultCluster(t, 0)
	path := "/agents/" + l.createEchoAgent() + "/batches"
	header := http.Header{"Content-Type": {linesType}, "Idempotency-Key": {"repeated"}}
	body := []byte("\"one\"\n\"two\"\n")
	ctx, hangUp := context.WithCancel(t.Context())
	l.firestore.Intercept(func(callCtx context.Context, req any, _ *grpc.UnaryServerInfo, do grpc.UnaryHandler) (any, error) {
		response, err := do(callCtx, req)
		if commit, ok := req.(*firestorepb.CommitRequest); ok && writes(commit, "batches") && ctx.Err() == nil {
			hangUp()
			<-callCtx.Done() // the API has noticed
		}
		return response, err
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.URL+path, bytes.NewReader(body))
	require.NoError(t, err)
	req.Header = header
	_, err = http.DefaultClient.Do(req)
	require.ErrorIs(t, err, context.Canceled)

	got := l.repeat(func() response { return l.doWithHeader(http.MethodPost, path, header, body) })
	require.Equal(t, http.StatusAccepted, got.StatusCode, "%s", got.body)
	require.Equal(t, "true", got.Header.Get("Idempotent-Replayed"))
	var b contract.Batch
	got.decode(t, &b)
	x := l.startExecutor()
	require.Equal(t, 2, l.awaitBatch(b).Progress.Succeeded)
	l.requireHistoryHolds(x)
}

// dropCommitResponse makes Firestore do the n-th commit that writes to a
// collection, and return the gRPC error of a broken connection.
func (l *faultCluster) dropCommitResponse(collection string, n int) (dropped func() bool) {
	var commits atomic.Int64
	l.firestore.Intercept(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, do grpc.UnaryHandler) (any, error) {
		response, err := do(ctx, req)
		if commit, ok := req.(*firestorepb.CommitRequest); ok && err == nil && writes(commit, collection) && commits.Add(1) == int64(n) {
			return nil, status.Error(codes.Unavailable, "the response was lost")
		}
		return response, err
	})
	return func() bool { return commits.Load() >= int64(n) }
}

// writes reports whether a commit stores a document of a collection.
func writes(commit *firestorepb.CommitRequest, collection string) bool {
	for _, w := range commit.Writes {
		if path := strings.Split(w.GetUpdate().GetName(), "/"); len(path) > 1 && path[len(path)-2] == collection {
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
