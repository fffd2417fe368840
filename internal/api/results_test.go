package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/store"
)

// fading is the real store, which gives one result and then fails.
type fading struct {
	*store.Store
	asked int
}

func (s *fading) BatchExecutions(ctx context.Context, b *batch.Batch, first, _ int) ([]execution.Execution, error) {
	if s.asked++; s.asked > 1 {
		return nil, errors.New("on purpose")
	}
	return s.Store.BatchExecutions(ctx, b, first, 1)
}

// Results that stop in the middle for want of the store must not look like all
// there are.
func TestResultsThatAreCutShortAreSeenToBe(t *testing.T) {
	real := store.New(emulatortest.StartFirestore(t, firestoreemulator.Options{}).Client)
	ctx := t.Context()
	a := agent.Agent{Owner: localTenant, Name: "A", Runtime: "offline", Timeout: time.Minute}
	require.NoError(t, real.CreateAgent(ctx, &a))
	b := batch.Batch{ID: id.New(id.Batch), Owner: localTenant, AgentID: a.ID, Total: 2, Window: 2}
	inputs := real.NewInputs(b.Ref())
	for range b.Total {
		require.NoError(t, inputs.Add(ctx, batch.Input{Text: "x"}))
	}
	require.NoError(t, inputs.Flush(ctx))
	require.NoError(t, real.SubmitBatch(ctx, &b))
	_, fed, err := real.FeedBatch(ctx, b.Ref())
	require.NoError(t, err)
	require.Len(t, fed.Announce, 2)
	for _, ref := range fed.Announce {
		_, err := real.Apply(ctx, ref, execution.CancelAsked{})
		require.NoError(t, err)
	}

	srv := New(Config{Page: http.NotFoundHandler(), Auth: Local{}}, &fading{Store: real}, nil, zaptest.NewLogger(t))
	web := httptest.NewServer(srv.Handler())
	defer web.Close()
	// Whether the first line is on its way already is the server's buffer's to say.
	res, err := http.Get(web.URL + "/batches/" + b.ID + "/results")
	if err == nil {
		defer res.Body.Close()
		require.Equal(t, http.StatusOK, res.StatusCode)
		_, err = io.ReadAll(res.Body)
	}
	require.Error(t, err)
}
