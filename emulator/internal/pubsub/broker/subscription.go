package broker

import (
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/airlock-run/airlock/emulator/internal/grpcserver"
	"github.com/airlock-run/airlock/emulator/internal/pubsub/backlog"
	"github.com/airlock-run/airlock/emulator/internal/pubsub/filter"
	"github.com/airlock-run/airlock/emulator/internal/pubsub/store"
)

// retryAfterPanic is the time after which leases are expired if the last attempt panicked.
const retryAfterPanic = time.Second

// Subscription delivers the messages of a topic.
type Subscription struct {
	b          *Broker
	id         uint64
	name       string
	topic      *Topic // set even after the topic was deleted
	filter     filter.Filter
	unfiltered bool

	// done is closed when delivery has ended for good; endErr is the reason.
	done chan struct{}

	mu              sync.Mutex
	config          *pubsubpb.Subscription // immutable; an update replaces it
	backlog         *backlog.Backlog
	readers         map[*Reader]struct{}
	endErr          error
	timer           Timer
	timerAt         time.Time // when timer fires; zero if it is not set
	lastUsed        time.Time // by a reader, or by a call that names the subscription
	savedLastUsed   time.Time // the value of lastUsed on disk
	processedAckIDs processedAckIDs
}

func newSubscription(b *Broker, id uint64, config *pubsubpb.Subscription, f filter.Filter) *Subscription {
	return &Subscription{
		b:          b,
		id:         id,
		name:       config.Name,
		filter:     f,
		unfiltered: config.Filter == "",
		done:       make(chan struct{}),
		config:     config,
		backlog:    backlog.New(newPolicy(config), b.store.Epoch<<epochBits),
		readers:    make(map[*Reader]struct{}),
		lastUsed:   b.now(),
	}
}

func newPolicy(c *pubsubpb.Subscription) backlog.Policy {
	p := backlog.Policy{
		Ordered:             c.EnableMessageOrdering,
		ExactlyOnce:         c.EnableExactlyOnceDelivery,
		RetainAcked:         c.RetainAckedMessages,
		MaxDeliveryAttempts: int(c.GetDeadLetterPolicy().GetMaxDeliveryAttempts()),
	}
	if r := c.RetryPolicy; r != nil {
		p.MinBackoff = r.GetMinimumBackoff().AsDuration()
		p.MaxBackoff = r.GetMaximumBackoff().AsDuration()
	}
	return p
}

// Name returns the full name of the subscription.
func (s *Subscription) Name() string { return s.name }

// TopicRetention returns the message retention of the topic; zero if it has none or was deleted.
func (s *Subscription) TopicRetention() time.Duration {
	s.topic.mu.Lock()
	defer s.topic.mu.Unlock()
	if s.topic.deleted {
		return 0
	}
	return s.topic.retention()
}

// Config returns the subscription as the API describes it. The caller must not change it.
func (s *Subscription) Config() *pubsubpb.Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastUsed = s.b.now()
	return s.config
}

// addMessages adds messages to the backlog. It takes over the caller's reference to each of them.
func (s *Subscription) addMessages(messages []*backlog.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.endErr != nil {
		s.b.releaseMessages(messages)
		return
	}
	for _, m := range messages {
		s.backlog.Add(m, 0)
	}
	s.notifyReaders()
}

// applyChange calls f, which changes the backlog and the batch. Then it commits the batch, notifies the readers, and
// forwards exhausted messages to the dead-letter topic. If durable is true, it returns when the batch is on disk.
func (s *Subscription) applyChange(durable bool, f func(now time.Time, batch *store.Batch)) error {
	batch := s.b.store.NewBatch()
	dead, wait, err := s.changeLocked(batch, durable, f)
	if wait {
		err = batch.Wait()
	}
	if len(dead) > 0 {
		s.forwardDeadLetters(dead)
	}
	return err
}

// changeLocked does the part of applyChange that needs the lock. It reports whether the caller has to wait for the
// batch.
func (s *Subscription) changeLocked(batch *store.Batch, durable bool, f func(time.Time, *store.Batch)) (dead []*backlog.Message, wait bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.endErr != nil {
		batch.Discard()
		return nil, false, s.endErr
	}
	now := s.b.now()
	f(now, batch)
	s.storeFailures(batch)
	dead = s.backlog.TakeExhausted()
	s.notifyReaders()
	s.scheduleTimer(now)
	if durable && !batch.Empty() {
		err = s.b.store.CommitAsync(batch)
		return dead, err == nil, err
	}
	return dead, false, s.b.store.CommitNoSync(batch)
}

// storeFailures stores the number of failed deliveries of the messages that just failed. Without it, a message would
// get all its delivery attempts again after a restart.
func (s *Subscription) storeFailures(batch *store.Batch) {
	for _, m := range s.backlog.TakeFailed() {
		e := newEntry(m)
		e.Failures = s.backlog.Failures(m.Seq)
		batch.PutEntry(s.id, e)
	}
}

// deleteMessage deletes the entry of a message that has left the backlog, and releases the message.
func (s *Subscription) deleteMessage(batch *store.Batch, m *backlog.Message) {
	batch.DeleteEntry(s.id, m.Seq)
	releaseMessage(batch, m)
}

// notifyReaders notifies the readers that can lease a message. The caller holds s.mu, and calls it after each change
// of what waits, of the readers' room and of who is ready.
func (s *Subscription) notifyReaders() {
	for r := range s.readers {
		if s.backlog.CanLease(&r.consumer) {
			r.ready.Notify()
		}
	}
}

// scheduleTimer sets the timer to the next expiry. It does not move a timer that is set earlier: when that one fires,
// it is scheduled again. The caller holds s.mu.
func (s *Subscription) scheduleTimer(now time.Time) {
	next, ok := s.backlog.NextExpiry()
	if !ok || !s.timerAt.IsZero() && !next.Before(s.timerAt) {
		return
	}
	s.setTimer(now, next)
}

func (s *Subscription) setTimer(now, at time.Time) {
	s.timerAt = at
	if s.timer == nil {
		s.timer = s.b.clock.AfterFunc(at.Sub(now), func() { s.b.inBackground(s.expire) })
		return
	}
	s.timer.Reset(at.Sub(now))
}

// expire ends the leases and back-offs that are over. After a panic it tries again: leases must not last for ever.
func (s *Subscription) expire() {
	returned := s.b.recovered("expire leases", func() {
		err := s.applyChange(false, func(now time.Time, _ *store.Batch) {
			s.timerAt = time.Time{}
			s.backlog.Expire(now)
		})
		s.b.logError("expire leases", err)
	})
	if returned {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.endErr == nil {
		now := s.b.now()
		s.setTimer(now, now.Add(retryAfterPanic))
	}
}

// endDelivery ends delivery for good. The caller holds s.mu.
func (s *Subscription) endDelivery(cause error) {
	s.endErr = cause
	close(s.done)
	if s.timer != nil {
		s.timer.Stop()
	}
}

// stop ends delivery because the broker closes.
func (s *Subscription) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.endErr == nil {
		s.endDelivery(grpcserver.ErrShuttingDown)
	}
}

func (s *Subscription) record() store.Subscription {
	return store.Subscription{ID: s.id, Topic: s.topic.id, Config: s.config}
}
