package app

import (
	"context"
	"errors"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"github.com/caarlos0/env/v11"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/queue"
	"github.com/airlock-run/airlock/internal/store"
)

// Redrive is what an operator drives again, once what made it fail is mended.
type Redrive struct {
	Services
	Codes  []execution.Code
	Tenant string        // empty: all
	MaxAge time.Duration // of its end
	DryRun bool
}

// LoadRedrive reads where Firestore and Pub/Sub are from the environment.
func LoadRedrive() (Redrive, error) {
	c, err := env.ParseAs[Redrive]()
	return c, errors.Join(err, c.validate())
}

// Run repeats what failed, and reports each: the new execution (empty in a dry
// run), or the reason for which there is none. It may be run again, also after
// it broke off: what has been driven again is not doubled.
func (r Redrive) Run(ctx context.Context, onResult func(original execution.Ref, retryID string, err error)) (err error) {
	fs, err := dialFirestore(ctx, r.Services)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fs.Close()) }()
	ps, err := pubsub.NewClient(ctx, r.Project, withFastReconnect(emulatorOptions(r.PubSubHost))...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ps.Close()) }()
	s, q := store.New(fs), queue.New(ps)
	defer q.Close()

	failed, err := s.FailedExecutions(ctx, r.Codes, r.MaxAge)
	if err != nil {
		return err
	}
	for _, ref := range failed {
		if r.Tenant != "" && ref.Tenant != r.Tenant {
			continue
		}
		if r.DryRun {
			onResult(ref, "", nil)
			continue
		}
		change, err := s.Redrive(ctx, ref)
		if errors.Is(err, store.ErrUnavailable) || ctx.Err() != nil {
			return err
		}
		onResult(ref, change.Execution.ID, err)
		if err == nil {
			_ = q.Publish(ctx, change) // the janitor announces what is not heard
		}
	}
	return nil
}
