package broker

import (
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/emulator/internal/pubsub/store"
)

// sweepInterval is how late at most retention, expiry and the time of last use
// are seen to; all of them are counted in minutes to days.
const sweepInterval = time.Minute

// sweepAll drops what has outlived its retention, and deletes subscriptions
// and snapshots that expired.
func (b *Broker) sweepAll() {
	defer b.sweep.Reset(sweepInterval)
	now := b.now()
	for _, s := range b.subscriptions() {
		if s.expired(now) {
			b.log.Info("subscription expired", zap.String("subscription", s.name))
			b.report("delete expired subscription", b.DeleteSubscription(s.name))
			continue
		}
		s.dropOld()
	}
	b.dropSnapshots(now)
	b.mu.RLock()
	topics := make([]*Topic, 0, len(b.topics))
	for _, t := range b.topics {
		topics = append(topics, t)
	}
	b.mu.RUnlock()
	for _, t := range topics {
		batch := b.store.NewBatch()
		t.mu.Lock()
		t.trim(now, batch)
		t.mu.Unlock()
		b.commitLazily(batch)
	}
	b.report("save times of last use", b.saveActivity())
}

// dropOld drops the messages that have outlived the subscription's retention.
func (s *Subscription) dropOld() {
	err := s.change(false, func(now time.Time, batch *store.Batch) {
		before := now.Add(-s.config.MessageRetentionDuration.AsDuration())
		for _, m := range s.queue.DropBefore(before) {
			s.free(batch, m)
		}
	})
	s.b.report("drop old messages", err)
}

// expired tells whether nobody used the subscription for so long that it is to
// be deleted. One that a reader is attached to is in use.
func (s *Subscription) expired(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.readers) > 0 {
		s.used = now
	}
	ttl := s.config.GetExpirationPolicy().GetTtl()
	return ttl != nil && now.Sub(s.used) >= ttl.AsDuration()
}

// saveActivity stores when each subscription was last in use. It is stored
// rarely, so that using a subscription costs no write.
func (b *Broker) saveActivity() error {
	batch := b.store.NewBatch()
	for _, s := range b.subscriptions() {
		s.mu.Lock()
		if !s.used.Equal(s.saved) {
			batch.PutActivity(s.id, s.used)
			s.saved = s.used
		}
		s.mu.Unlock()
	}
	return b.store.CommitLazily(batch)
}

func (b *Broker) commitLazily(batch *store.Batch) {
	b.report("write", b.store.CommitLazily(batch))
}

// report logs the failure of something that no caller waits for.
func (b *Broker) report(what string, err error) {
	if err != nil && !errors.Is(err, errClosed) {
		b.log.Error("failed to "+what, zap.Error(err))
	}
}
