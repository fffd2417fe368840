package e2e

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/test/faultproxy"
	"github.com/airlock-run/airlock/internal/test/history"
)

// Firestore answers the commits of one executor seconds late, and some of them after the executor has given up. Every
// execution ends once, with its result, also those that this executor ran.
func TestFaultSlowCommits(t *testing.T) {
	t.Parallel()
	l := newFaultCluster(t, 0)
	deps := l.startDependencies()
	slow := l.startExecutor(deps.env()...)
	abandoned := l.delayCommits(deps.firestore, 2*time.Second, time.Second, 8*time.Second)

	var accepted []contract.AcceptedExecution
	for i := range 8 {
		accepted = append(accepted, l.submit(words(i+1)))
	}
	turn := l.submitTurn("", "hello")
	accepted = append(accepted, turn, l.submitTurn(turn.ConversationId, "hello again"))
	const total = 12
	lines, want := "", []string(nil)
	for i := range total {
		want = append(want, words(i+1))
		lines += `"` + words(i+1) + "\"\n"
	}
	b := l.submitBatch(l.createEchoAgent(), lines)
	l.recorder.RecordAcceptance(history.Acceptance{Batch: b.Id})
	slow.awaitLine(t, `("msg":"running")`) // else the other executor could take everything
	other := l.startExecutor()

	ranSlowly := 0
	for _, a := range accepted {
		e := l.awaitExecution(a.ExecutionId)
		require.Equal(t, contract.StatusSucceeded, e.Status, "%+v", e.Error)
		attempts := l.attempts(e.Id)
		if attempts[len(attempts)-1].Executor == l.executorNames[0] {
			ranSlowly++
		}
	}
	require.Equal(t, total, l.awaitBatch(b).Progress.Succeeded)
	for i, r := range l.results(b, "") {
		require.Equal(t, want[i], r.Result.Text)
	}
	require.Positive(t, ranSlowly)
	require.Positive(t, abandoned())
	t.Logf("the slow executor ended %d of %d executions, and gave up %d commits", ranSlowly, len(accepted), abandoned())
	l.requireHistoryHolds(slow, other)
}

// delayCommits makes Firestore answer late to the commits that come through a proxy, by each of the delays in turn. It
// does the commits at once. abandoned returns for how many of them the client did not wait.
func (l *faultCluster) delayCommits(proxy *faultproxy.Proxy, delays ...time.Duration) (abandoned func() int64) {
	var commits, unanswered atomic.Int64
	l.firestore.Intercept(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, do grpc.UnaryHandler) (any, error) {
		response, err := do(ctx, req)
		client, ok := peer.FromContext(ctx)
		if _, commit := req.(*firestorepb.CommitRequest); !commit || !ok || !proxy.Connects(client.Addr) {
			return response, err
		}
		select {
		case <-time.After(delays[int(commits.Add(1))%len(delays)]):
		case <-ctx.Done():
			unanswered.Add(1)
		}
		return response, err
	})
	return unanswered.Load
}
