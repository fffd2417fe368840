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
	defer b.sweepTimer.Reset(sweepInterval)
	now := b.now()
	for _, s := range b.allSubscriptions() {
		if s.expired(now) {
			b.log.Info("subscription expired", zap.String("subscription", s.name))
			b.logError("delete expired subscription", b.DeleteSubscription(s.name))
			continue
		}
		s.dropExpiredMessages()
	}
	b.deleteExpiredSnapshots(now)
	b.mu.RLock()
	topics := make([]*Topic, 0, len(b.topics))
	for _, t := range b.topics {
		topics = append(topics, t)
	}
	b.mu.RUnlock()
	for _, t := range topics {
		batch := b.store.NewBatch()
		t.mu.Lock()
		t.trimLog(now, batch)
		t.mu.Unlock()
		b.commitNoSync(batch)
	}
	b.logError("save times of last use", b.saveLastUsed())
}

// dropOld drops the messages that have outlived the subscription's retention.
func (s *Subscription) dropExpiredMessages() {
	err := s.applyChange(false, func(now time.Time, batch *store.Batch) {
		before := now.Add(-s.config.MessageRetentionDuration.AsDuration())
		for _, m := range s.backlog.DropBefore(before) {
			s.deleteMessage(batch, m)
		}
	})
	s.b.logError("drop old messages", err)
}

// expired tells whether nobody used the subscription for so long that it is to
// be deleted. One that a reader is attached to is in use.
func (s *Subscription) expired(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.readers) > 0 {
		s.lastUsed = now
	}
	ttl := s.config.GetExpirationPolicy().GetTtl()
	return ttl != nil && now.Sub(s.lastUsed) >= ttl.AsDuration()
}

// saveActivity stores when each subscription was last in use. It is stored
// rarely, so that using a subscription costs no write.
func (b *Broker) saveLastUsed() error {
	batch := b.store.NewBatch()
	for _, s := range b.allSubscriptions() {
		s.mu.Lock()
		if !s.lastUsed.Equal(s.savedLastUsed) {
			batch.PutLastUsed(s.id, s.lastUsed)
			s.savedLastUsed = s.lastUsed
		}
		s.mu.Unlock()
	}
	return b.store.CommitNoSync(batch)
}

func (b *Broker) commitNoSync(batch *store.Batch) {
	b.logError("write", b.store.CommitNoSync(batch))
}

// report logs the failure of something that no caller waits for.
func (b *Broker) logError(what string, err error) {
	if err != nil && !errors.Is(err, errShuttingDown) {
		b.log.Error("failed to "+what, zap.Error(err))
	}
}
