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

// Publish publishes a notification for every execution that the change made ready. A failed Publish loses nothing: the
// janitor publishes the notification again. So every caller logs the error and continues.
func (q *Queue) Publish(ctx context.Context, ch execution.Change) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTimeout)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	for _, e := range ch.Notify {
		g.Go(func() error {
			err := publishMessage(ctx, q.lanes[e.Lane], e.Runtime, message{Ref: e.Ref, Dispatcher: ch.Dispatcher, Holder: e.Holder})
			return q.resources.record(topicResource(laneTopic(e.Lane)), err)
		})
	}
	return g.Wait()
}

func publishMessage(ctx context.Context, p *pubsub.Publisher, runtime string, m message) (err error) {
	defer supervise.RecoverTo(&err) // it runs in a goroutine of its own
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = p.Publish(ctx, &pubsub.Message{Data: data, Attributes: map[string]string{runtimeAttribute: runtime}}).Get(ctx)
	return err
}
