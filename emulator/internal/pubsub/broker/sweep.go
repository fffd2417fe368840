package broker

import (
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/emulator/internal/pubsub/store"
)

// sweepInterval is the time between two sweeps. Retention, expiry and the stored last-used times are late by at most
// this long, which is short compared with their minimum of ten minutes.
const sweepInterval = time.Minute

// sweepAll removes messages that are older than their retention, and deletes expired subscriptions and snapshots.
func (b *Broker) sweepAll() {
	defer b.sweepTimer.Reset(sweepInterval)
	if b.CheckSpace() != nil {
		return // the next sweep does it
	}
	now := b.now()
	for _, s := range b.allSubscriptions() {
		b.recovered("sweep "+s.name, func() { b.sweepSubscription(s, now) })
	}
	b.recovered("delete expired snapshots", func() { b.deleteExpiredSnapshots(now) })
	b.mu.RLock()
	topics := make([]*Topic, 0, len(b.topics))
	for _, t := range b.topics {
		topics = append(topics, t)
	}
	b.mu.RUnlock()
	for _, t := range topics {
		b.recovered("sweep "+t.name, func() { t.sweep(now) })
	}
	b.logError("save last-used times", b.saveLastUsed())
}

func (b *Broker) sweepSubscription(s *Subscription, now time.Time) {
	if s.expired(now) {
		b.log.Info("subscription expired", zap.String("subscription", s.name))
		b.logError("delete expired subscription", b.DeleteSubscription(s.name))
		return
	}
	s.dropExpiredMessages()
}

// sweep removes from the topic's log what nothing retains any more.
func (t *Topic) sweep(now time.Time) {
	batch := t.b.store.NewBatch()
	withLock(&t.mu, func() { t.trimLog(now, batch) })
	t.b.commitNoSync(batch)
}

// dropExpiredMessages removes the messages that are older than the subscription's retention.
func (s *Subscription) dropExpiredMessages() {
	err := s.applyChange(false, func(now time.Time, batch *store.Batch) {
		before := now.Add(-s.config.MessageRetentionDuration.AsDuration())
		for _, m := range s.backlog.DropBefore(before) {
			s.deleteMessage(batch, m)
		}
	})
	s.b.logError("drop expired messages", err)
}

// expired reports whether the subscription has been unused for longer than its expiration policy allows. A
// subscription with a reader is in use.
func (s *Subscription) expired(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.readers) > 0 {
		s.lastUsed = now
	}
	ttl := s.config.GetExpirationPolicy().GetTtl()
	return ttl != nil && now.Sub(s.lastUsed) >= ttl.AsDuration()
}

// saveLastUsed stores when each subscription was last used. Only the sweep and Close call it, so that the use of a
// subscription costs no write.
func (b *Broker) saveLastUsed() error {
	batch := b.store.NewBatch()
	for _, s := range b.allSubscriptions() {
		withLock(&s.mu, func() {
			if !s.lastUsed.Equal(s.savedLastUsed) {
				batch.PutLastUsed(s.id, s.lastUsed)
				s.savedLastUsed = s.lastUsed
			}
		})
	}
	return b.store.CommitNoSync(batch)
}
