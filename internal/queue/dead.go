package queue

import "context"

// lettersAtOnce is few: there should be none.
const lettersAtOnce = 10

// DeadLetter is a message that nobody could look at, or that names no
// execution; Ref is then empty.
type DeadLetter struct {
	Announcement
	Data []byte
}

// PullDead waits for dead letters as Pull does for announcements.
func (q *Queue) PullDead(ctx context.Context) ([]DeadLetter, error) {
	pulled, err := q.pull(ctx, deadTopic, lettersAtOnce)
	letters := make([]DeadLetter, len(pulled))
	for i, a := range pulled {
		letters[i] = DeadLetter{Announcement: a, Data: a.message.Message.Data}
	}
	return letters, err
}
