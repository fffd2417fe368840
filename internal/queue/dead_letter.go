package queue

import (
	"context"
	"errors"

	"cloud.google.com/go/pubsub/v2"
)

const (
	// deadLetterTopic receives messages that no executor could process. Its subscription has the same name.
	deadLetterTopic = "executions-dead-letter"
	// maxDeliveries is the number of failed deliveries after which a message becomes a dead letter. It is the largest
	// that Pub/Sub offers: with nackDelay it survives an outage of 15 hours.
	maxDeliveries = 100
	// maxDeadLetters bounds one pull. It is small because dead letters are rare.
	maxDeadLetters = 10
)

// DeadLetter is a message that no executor could process. If it names no execution, Ref is empty.
type DeadLetter struct {
	Notification
	Data []byte
}

// PullDeadLetters waits for dead letters, as Pull waits for notifications.
func (q *Queue) PullDeadLetters(ctx context.Context) ([]DeadLetter, error) {
	received, err := q.pullFrom(ctx, deadLetterTopic, maxDeadLetters)
	deadLetters := make([]DeadLetter, len(received))
	for i, n := range received {
		deadLetters[i] = DeadLetter{Notification: n, Data: n.message.Message.Data}
	}
	return deadLetters, err
}

// publishDeadLetter moves a message that names no execution to the dead letters.
func (q *Queue) publishDeadLetter(ctx context.Context, n Notification) error {
	msg := &pubsub.Message{Data: n.message.Message.Data, Attributes: n.message.Message.Attributes}
	if _, err := q.deadLetters.Publish(ctx, msg).Get(ctx); err != nil {
		return errors.Join(err, n.Nack(ctx))
	}
	n.Acknowledge()
	return nil
}
