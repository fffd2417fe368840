package queue

import (
	"context"
	"encoding/json"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/supervise"
)

// publishTimeout bounds Publish. A caller of the API waits for it, although its request is stored already.
const publishTimeout = 3 * time.Second

// Publish publishes a notification for every execution that the change made ready. It also publishes a signal if the
// execution has ended, or if a running one must be canceled. A failed Publish loses nothing: the janitor publishes the
// notification again, and watchers read the document again. So every caller logs the error and continues.
func (q *Queue) Publish(ctx context.Context, ch execution.Change) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTimeout)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	lanePublisher := q.lanes[ch.Execution.Lane] // all executions of a change are in the same lane
	for _, ref := range ch.Notify {
		g.Go(func() error { return publishRef(ctx, lanePublisher, ref) })
	}
	if e := &ch.Execution; e.Status.Terminal() || e.CancelRequested {
		g.Go(func() error { return publishRef(ctx, q.signals, e.Ref()) })
	}
	return g.Wait()
}

func publishRef(ctx context.Context, p *pubsub.Publisher, ref execution.Ref) (err error) {
	defer supervise.RecoverTo(&err) // it runs in a goroutine of its own
	data, err := json.Marshal(ref)
	if err != nil {
		return err
	}
	_, err = p.Publish(ctx, &pubsub.Message{Data: data}).Get(ctx)
	return err
}
