package broker

import (
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/airlock-run/airlock/emulator/internal/pubsub/backlog"
	"github.com/airlock-run/airlock/emulator/internal/pubsub/filter"
	"github.com/airlock-run/airlock/emulator/internal/pubsub/store"
)

// Subscription delivers the messages of a topic.
type Subscription struct {
	b          *Broker
	id         uint64
	name       string
	topic      *Topic // also after it was deleted
	filter     filter.Filter
	unfiltered bool

	// ended is closed when nothing will be delivered any more; cause tells why.
	done chan struct{}

	mu              sync.Mutex
	config          *pubsubpb.Subscription // replaced, never changed
	backlog         *backlog.Backlog
	readers         map[*Reader]struct{}
	endErr          error
	timer           Timer
	timerAt         time.Time // when timer fires, zero if it does not
	lastUsed        time.Time // by a subscriber, or by a call about the subscription
	savedLastUsed   time.Time // the value of used on disk
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

// Name is the full name of the subscription.
func (s *Subscription) Name() string { return s.name }

// TopicRetention is how long the topic keeps messages for its subscriptions,
// zero if it does not.
func (s *Subscription) TopicRetention() time.Duration {
	s.topic.mu.Lock()
	defer s.topic.mu.Unlock()
	if s.topic.deleted {
		return 0
	}
	return s.topic.retention()
}

// Config is the subscription as its users see it.
func (s *Subscription) Config() *pubsubpb.Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastUsed = s.b.now()
	return s.config
}

// add takes over the caller's hold on the messages.
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

// change is the frame of everything that settles messages: it lets f change
// the queue and the batch, starts to write the batch, wakes whoever can go on,
// and forwards dead messages. It returns when the batch is on disk if durable.
func (s *Subscription) applyChange(durable bool, f func(now time.Time, batch *store.Batch)) error {
	batch := s.b.store.NewBatch()
	s.mu.Lock()
	if s.endErr != nil {
		defer s.mu.Unlock()
		batch.Discard()
		return s.endErr
	}
	now := s.b.now()
	f(now, batch)
	s.storeFailures(batch)
	dead := s.backlog.TakeExhausted()
	s.notifyReaders()
	s.scheduleTimer(now)
	if batch.Empty() {
		durable = false
	}
	var err error
	if durable {
		err = s.b.store.CommitAsync(batch)
	} else {
		err = s.b.store.CommitNoSync(batch)
	}
	s.mu.Unlock()
	if err == nil && durable {
		err = batch.Wait()
	}
	if len(dead) > 0 {
		s.forwardDeadLetters(dead)
	}
	return err
}

// countFailures writes down how often messages failed, so that a restart does
// not give a poisonous one all its attempts anew.
func (s *Subscription) storeFailures(batch *store.Batch) {
	for _, m := range s.backlog.TakeFailed() {
		e := newEntry(m)
		e.Failures = s.backlog.Failures(m.Seq)
		batch.PutEntry(s.id, e)
	}
}

// free drops what the queue let go of.
func (s *Subscription) deleteMessage(batch *store.Batch, m *backlog.Message) {
	batch.DeleteEntry(s.id, m.Seq)
	releaseMessage(batch, m)
}

// wake tells the readers that can take messages.
func (s *Subscription) notifyReaders() {
	for r := range s.readers {
		if s.backlog.CanLease(&r.consumer) {
			r.notify()
		}
	}
}

// arm sets the timer to what happens next. One that is set too early stays:
// it sets itself anew when it fires.
func (s *Subscription) scheduleTimer(now time.Time) {
	next, ok := s.backlog.NextExpiry()
	if !ok || !s.timerAt.IsZero() && !next.Before(s.timerAt) {
		return
	}
	s.timerAt = next
	if s.timer == nil {
		s.timer = s.b.clock.AfterFunc(next.Sub(now), s.b.timerFunc(s.expire))
		return
	}
	s.timer.Reset(next.Sub(now))
}

func (s *Subscription) expire() {
	err := s.applyChange(false, func(now time.Time, _ *store.Batch) {
		s.timerAt = time.Time{}
		s.backlog.Expire(now)
	})
	s.b.logError("expire leases", err)
}

// end stops the delivery for good. Called with s.mu held.
func (s *Subscription) endDelivery(cause error) {
	s.endErr = cause
	close(s.done)
	if s.timer != nil {
		s.timer.Stop()
	}
}

// stop ends the delivery because the broker closes.
func (s *Subscription) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.endErr == nil {
		s.endDelivery(errShuttingDown)
	}
}

func (s *Subscription) record() store.Subscription {
	return store.Subscription{ID: s.id, Topic: s.topic.id, Config: s.config}
}
