package store

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

func idempotencyKey(key, fingerprint string) *IdempotencyKey {
	return &IdempotencyKey{Key: key, Fingerprint: []byte(fingerprint)}
}

// submitRunWithKey submits the run under an idempotency key.
func (f fixture) submitRunWithKey(ctx context.Context, r RunRequest, key, fingerprint string) (execution.Change, error) {
	r.IdempotencyKey = idempotencyKey(key, fingerprint)
	return f.SubmitRun(ctx, r)
}

func requireDuplicate(t *testing.T, err error) IdempotencyRecord {
	t.Helper()
	var duplicate *DuplicateRequestError
	require.ErrorAs(t, err, &duplicate)
	return duplicate.IdempotencyRecord
}

func (f fixture) countExecutions(t *testing.T, tenant string) int {
	t.Helper()
	found, err := f.Executions(t.Context(), tenant, Filter{}, Page{Limit: 100})
	require.NoError(t, err)
	return len(found)
}

func TestCreateWithIdempotencyKeyRunsOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	run := RunRequest{Tenant: ada, AgentID: f.createAgent(t, ada).ID, Input: "x"}
	require.NoError(t, f.CheckIdempotencyKey(t.Context(), ada, "k"))
	ch, err := f.submitRunWithKey(t.Context(), run, "k", "r")
	require.NoError(t, err)

	want := Created{Execution: &CreatedExecution{ID: ch.Execution.ID}}
	_, err = f.submitRunWithKey(t.Context(), run, "k", "another")
	record := requireDuplicate(t, err)
	require.Equal(t, want, record.Created)
	require.Equal(t, []byte("r"), record.Fingerprint, "the API compares the fingerprints")
	require.Equal(t, want, requireDuplicate(t, f.CheckIdempotencyKey(t.Context(), ada, "k")).Created)
	require.Equal(t, 1, f.countExecutions(t, ada))

	_, err = f.submitRunWithKey(t.Context(), run, "k2", "r")
	require.NoError(t, err, "another key")
	require.NoError(t, f.CheckIdempotencyKey(t.Context(), bob, "k"), "another tenant has its own keys")
}

func TestConcurrentCreatesWithIdempotencyKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	run := RunRequest{Tenant: ada, AgentID: f.createAgent(t, ada).ID, Input: "x"}
	var (
		wg         sync.WaitGroup
		mu         sync.Mutex
		createdIDs []string
	)
	for range 20 {
		wg.Go(func() {
			for {
				ch, err := f.submitRunWithKey(t.Context(), run, "k", "r")
				var duplicate *DuplicateRequestError
				switch {
				case errors.Is(err, ErrUnavailable): // too many concurrent writes of one document
					continue
				case errors.As(err, &duplicate):
					mu.Lock()
					createdIDs = append(createdIDs, duplicate.Created.Execution.ID)
					mu.Unlock()
				default:
					require.NoError(t, err)
					mu.Lock()
					createdIDs = append(createdIDs, ch.Execution.ID)
					mu.Unlock()
				}
				return
			}
		})
	}
	wg.Wait()
	require.Len(t, createdIDs, 20)
	for _, id := range createdIDs {
		require.Equal(t, createdIDs[0], id)
	}
	require.Equal(t, 1, f.countExecutions(t, ada))
}

// The caller hangs up during the commit. The repeated request creates nothing.
func TestCreateWithLostResponseFoundByIdempotencyKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	run := RunRequest{Tenant: ada, AgentID: f.createAgent(t, ada).ID, Input: "x"}
	ctx := f.hangUpDuringCommit(t)
	_, err := f.submitRunWithKey(ctx, run, "k", "r")
	require.ErrorIs(t, err, ErrOutcomeUnknown)
	_, err = f.submitRunWithKey(t.Context(), run, "k", "r")
	record := requireDuplicate(t, err)
	all, err := f.Executions(t.Context(), ada, Filter{}, Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.Equal(t, all[0].ID, record.Created.Execution.ID)
}

// A rejected creation does not use up its key.
func TestRejectedCreateDoesNotUseIdempotencyKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, err := f.submitRunWithKey(t.Context(), RunRequest{Tenant: ada, AgentID: "agt_none", Input: "x"}, "k", "r")
	require.ErrorAs(t, err, new(*NotFoundError))
	require.NoError(t, f.CheckIdempotencyKey(t.Context(), ada, "k"))
}

func TestIdempotencyKeyExpires(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := agent.Agent{Tenant: ada, Name: "A"}
	require.NoError(t, f.CreateAgent(t.Context(), &a, idempotencyKey("k", "r")))
	f.clock.Advance(idempotencyTTL - time.Minute)
	requireDuplicate(t, f.CheckIdempotencyKey(t.Context(), ada, "k"))
	f.clock.Advance(2 * time.Minute)
	require.NoError(t, f.CheckIdempotencyKey(t.Context(), ada, "k"))
	require.NoError(t, f.CreateAgent(t.Context(), &agent.Agent{Tenant: ada, Name: "B"}, idempotencyKey("k", "r")))
	requireDuplicate(t, f.CheckIdempotencyKey(t.Context(), ada, "k"))
}

// The cloud and the emulator get the same TTL policies.
func TestTTLMatchesIndexFile(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../infra/firestore.indexes.json")
	require.NoError(t, err)
	var doc struct {
		FieldOverrides []struct {
			CollectionGroup, FieldPath string
			TTL                        bool
		}
	}
	require.NoError(t, json.Unmarshal(data, &doc))
	ttl := map[string]string{}
	for _, o := range doc.FieldOverrides {
		if o.TTL {
			ttl[o.CollectionGroup] = o.FieldPath
		}
	}
	require.Equal(t, TTL(), ttl)
}
