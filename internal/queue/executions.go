package queue

import (
	"context"
	"encoding/json"

	"cloud.google.com/go/pubsub/v2"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/execution"
)

// Tell announces what a change has made ready, and signals the change to who
// waits for it. When it fails nothing is lost: the janitor announces again,
// and who waits reads again.
func (q *Queue) Tell(ctx context.Context, ch execution.Change) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tellTimeout)
	defer cancel()
	tell, ctx := errgroup.WithContext(ctx)
	lane := q.lanes[ch.Execution.Lane] // what a change makes ready waits in the same lane
	for _, ref := range ch.Announce {
		tell.Go(func() error { return publish(ctx, lane, ref) })
	}
	tell.Go(func() error { return publish(ctx, q.signals, ch.Execution.Ref()) })
	return tell.Wait()
}

// Handler looks at one execution. It returns an error only when it could not
// look, and the message is then delivered again after a back-off.
type Handler func(ctx context.Context, ref execution.Ref) error

// Receive calls the handler for each announcement of a lane, at most slots at a time,
// and never pulls more than that. When ctx ends it stops pulling and returns
// once the handlers in flight have returned; their context is work, not ctx.
func (q *Queue) Receive(ctx, work context.Context, lane execution.Lane, slots int, handle Handler) error {
	sub := q.client.Subscriber(laneTopic(lane))
	sub.ReceiveSettings.MaxOutstandingMessages = slots
	sub.ReceiveSettings.MaxExtension = maxHeld
	// With a time-out, however long, the client closes its stream at once when it is to stop. Without, each
	// handler that returns meanwhile brings one more message, which the client then keeps from others until its
	// lease runs out. The price: an acknowledgement on the way out may be lost, and its message come again.
	sub.ReceiveSettings.ShutdownOptions = &pubsub.ShutdownOptions{
		Behavior: pubsub.ShutdownBehaviorWaitForProcessing, Timeout: maxHeld,
	}
	return sub.Receive(ctx, func(_ context.Context, m *pubsub.Message) {
		ref, err := decode[execution.Ref](m)
		if err != nil || ref.Owner == "" || ref.ID == "" {
			m.Ack() // names nothing that anybody could look at, now or later
			return
		}
		if err := handle(work, ref); err != nil {
			m.Nack()
			return
		}
		m.Ack()
	})
}

func publish(ctx context.Context, p *pubsub.Publisher, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	_, err = p.Publish(ctx, &pubsub.Message{Data: data}).Get(ctx)
	return err
}

func decode[T any](m *pubsub.Message) (T, error) {
	var body T
	err := json.Unmarshal(m.Data, &body)
	return body, err
}
