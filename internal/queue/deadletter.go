package queue

import "context"

// lettersAtOnce is few: there should be none.
const maxDeadLetters = 10

// DeadLetter is a message that nobody could look at, or that names no
// execution; Ref is then empty.
type DeadLetter struct {
	Notification
	Data []byte
}

// PullDead waits for dead letters as Pull does for announcements.
func (q *Queue) PullDeadLetters(ctx context.Context) ([]DeadLetter, error) {
	received, err := q.pullFrom(ctx, deadLetterTopic, maxDeadLetters)
	deadLetters := make([]DeadLetter, len(received))
	for i, n := range received {
		deadLetters[i] = DeadLetter{Notification: n, Data: n.message.Message.Data}
	}
	return deadLetters, err
}
