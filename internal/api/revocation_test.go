package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/api/auth"
	"github.com/airlock-run/airlock/internal/domain/apikey"
	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/domain/signal"
	"github.com/airlock-run/airlock/internal/domain/tenant"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/watch"
)

// unchangingStore has one API key, until it is revoked, and an execution and a batch that never finish. It lives in the
// time of a synctest bubble, which a real store over a connection cannot.
type unchangingStore struct {
	watch.Store
	KeyStore
	ExecutionStore
	BatchStore
	key     apikey.Key
	revoked atomic.Bool
}

func (s *unchangingStore) APIKeyByHash(context.Context, string) (apikey.Key, time.Time, error) {
	if s.revoked.Load() {
		return apikey.Key{}, time.Time{}, apikey.ErrNotFound
	}
	return s.key, time.Now(), nil
}

func (*unchangingStore) RecordAPIKeyUse(context.Context, apikey.Key, time.Time) error { return nil }

func (*unchangingStore) ExecutionVersion(_ context.Context, ref execution.Ref) (execution.Execution, time.Time, error) {
	return execution.Execution{ID: ref.ID, Tenant: ref.Tenant, Status: execution.Running, Attempt: 1}, time.Time{}, nil
}

func (*unchangingStore) OpenInbox(string, func(signal.Signal)) *store.Inbox { return nil }

func (*unchangingStore) AddWatcher(context.Context, *execution.Execution, time.Time, store.WatchKind, string) error {
	return nil
}

func (*unchangingStore) WatchTenant(context.Context, string, string) error { return nil }

func (*unchangingStore) Batch(_ context.Context, ref batch.Ref) (batch.Batch, time.Time, error) {
	return batch.Batch{ID: ref.ID, Tenant: ref.Tenant, Total: 1}, time.Now(), nil
}

func (*unchangingStore) BatchExecutions(context.Context, *batch.Batch, int, int) ([]*execution.Execution, error) {
	return nil, nil
}

// maxUseAfterRevocation is how long a response with a revoked key may go on.
const maxUseAfterRevocation = 4 * time.Second

// Every response that waits ends within 4 s after its key was revoked, also where so many wait that executions are read
// less often.
func TestWaitingResponsesEndSoonAfterRevocation(t *testing.T) {
	executionID, batchID := id.New(id.Execution), id.New(id.Batch)
	for name, path := range map[string]string{
		"long poll": "/executions/" + executionID + "?wait=60s",
		"events":    "/executions/" + executionID + "/events",
		"changes":   "/events",
		"results":   "/batches/" + batchID + "/results?follow=true",
	} {
		for _, watchers := range []int{0, 20 * maxPollReadsPerSecond} {
			// The revocation comes at any time between two checks.
			for revokedAfter := 10 * time.Second; revokedAfter < 14*time.Second; revokedAfter += 350 * time.Millisecond {
				synctest.Test(t, func(t *testing.T) {
					pepper, err := apikey.NewPepper(make([]byte, 32))
					require.NoError(t, err)
					key, secret := apikey.New(pepper, "ada", "test", tenant.AllScopes)
					s := &unchangingStore{key: key}
					server := New(Config{
						Stores: Stores{APIKeys: s, Executions: s, Batches: s}, Watch: watch.New(s, id.New(id.Process), zap.NewNop()),
						Auth:  auth.NewKeyVerifier(s, pepper, nil),
						WebUI: http.NotFoundHandler(), Log: zap.NewNop(),
					})
					for range watchers {
						_, unsubscribe := server.watchers.Subscribe(execution.Ref{Tenant: "bob", ID: id.New(id.Execution)})
						defer unsubscribe()
					}
					req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
					req.Header.Set("Authorization", "Bearer "+secret.Reveal())
					recorder := httptest.NewRecorder()
					ended := make(chan struct{})
					go func() {
						defer close(ended)
						defer func() { _ = recover() }() // http.ErrAbortHandler ends a stream
						server.Handler().ServeHTTP(recorder, req)
					}()
					time.Sleep(revokedAfter)
					synctest.Wait()
					select {
					case <-ended:
						t.Fatalf("%s ended before the revocation: %d %s", name, recorder.Code, recorder.Body)
					default:
					}
					s.revoked.Store(true)
					revokedAt := time.Now()
					<-ended
					require.LessOrEqual(t, time.Since(revokedAt), maxUseAfterRevocation, "%s with %d watchers", name, watchers)
					if name == "long poll" {
						require.Equal(t, http.StatusUnauthorized, recorder.Code)
					}
				})
			}
		}
	}
}
