package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/store"
)

// faultySubmitter passes batches to submit.
type faultySubmitter struct {
	Submitter
	submit func(context.Context, *batch.Batch, *store.IdempotencyKey) error
}

func (s faultySubmitter) SubmitBatch(ctx context.Context, b *batch.Batch, key *store.IdempotencyKey) error {
	return s.submit(ctx, b, key)
}

// Only a batch that is certainly not stored loses its inputs.
func TestFailedBatchSubmissionDeletesInputsOnlyIfRefused(t *testing.T) {
	t.Parallel()
	unknown := fmt.Errorf("%w: %w", store.ErrOutcomeUnknown, store.ErrUnavailable)
	for name, c := range map[string]struct {
		stored  bool
		err     error
		status  int
		uploads int // that the janitor finds
	}{
		"refused":             {false, errors.New("refused"), http.StatusInternalServerError, 0},
		"unavailable":         {false, store.ErrUnavailable, http.StatusServiceUnavailable, 0},
		"unknown, not stored": {false, unknown, http.StatusServiceUnavailable, 1},
		"unknown, stored":     {true, unknown, http.StatusServiceUnavailable, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var submitted batch.Batch
			s := startServer(t, func(config *Config, real *store.Store) {
				config.Submitter = faultySubmitter{config.Submitter, func(ctx context.Context, b *batch.Batch, key *store.IdempotencyKey) error {
					if c.stored {
						require.NoError(t, real.SubmitBatch(ctx, b, key))
					}
					submitted = *b
					return c.err
				}}
			})
			path := "/agents/" + s.createAgent().Id + "/batches"
			header := []string{"Content-Type", mediaTypeJSONLines, headerIdempotencyKey, "k"}
			require.Equal(t, c.status, s.do(http.MethodPost, path, "\"x\"\n", header...).StatusCode)
			if c.stored {
				replayed := call[contract.Batch](s, "POST "+path, http.StatusAccepted, "\"x\"\n", header...)
				require.Equal(t, submitted.ID, replayed.Id)
				_, ch, err := s.store.DispatchBatch(t.Context(), submitted.Ref())
				require.NoError(t, err)
				require.Len(t, ch, 1, "its input is there")
			}
			abandoned, err := s.store.ExpiredUploads(t.Context(), time.Now().Add(time.Hour), new(store.Scan), 10)
			require.NoError(t, err)
			require.Len(t, abandoned, c.uploads)
		})
	}
}
