package queue

import (
	"context"
	"encoding/json"

	"cloud.google.com/go/pubsub/v2"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Tell announces what a change has made ready, and signals what somebody may
// wait for: an end, or that a running execution is to be cancelled. When it
// fails nothing is lost: the janitor announces again, and who waits reads again.
func (q *Queue) Publish(ctx context.Context, ch execution.Change) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTimeout)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	lanePublisher := q.lanes[ch.Execution.Lane] // what a change makes ready waits in the same lane
	for _, ref := range ch.Notify {
		g.Go(func() error { return publishRef(ctx, lanePublisher, ref) })
	}
	if e := &ch.Execution; e.Status.Terminal() || e.CancelRequested {
		g.Go(func() error { return publishRef(ctx, q.signals, e.Ref()) })
	}
	return g.Wait()
}

func publishRef(ctx context.Context, p *pubsub.Publisher, ref execution.Ref) error {
	data, err := json.Marshal(ref)
	if err != nil {
		return err
	}
	_, err = p.Publish(ctx, &pubsub.Message{Data: data}).Get(ctx)
	return err
}
