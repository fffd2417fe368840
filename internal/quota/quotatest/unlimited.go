// Package quotatest has a submitter without limits, for tests of other packages.
package quotatest

import (
	"context"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
)

// Unlimited submits to a store without limits. Every execution is published by its creator.
type Unlimited struct{ *store.Store }

// Retry is the store's.
func (u Unlimited) Retry(ctx context.Context, ref execution.Ref, key *store.IdempotencyKey) (execution.Change, error) {
	return u.Store.Retry(ctx, ref, key, nil)
}

// AdmitFile admits every file.
func (Unlimited) AdmitFile(context.Context, string, int64) error { return nil }

// Wake does nothing: the test dispatches.
func (Unlimited) Wake(string, execution.Lane) {}
