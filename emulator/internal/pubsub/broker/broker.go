// Package broker is the emulator without its API: topics that fan messages
// out, subscriptions that deliver them, and snapshots, on top of a store.
//
// Locks are taken in the order Broker.admin, Topic.mu, Subscription.mu,
// Broker.mu. Nobody waits for an fsync while holding any but the first.
package broker

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/emulator/internal/pubsub/backlog"
	"github.com/airlock-run/airlock/emulator/internal/pubsub/store"
)

// epochBits leave room for 2^40 numbers in each of 2^23 epochs.
const epochBits = 40

// Broker owns the store and everything in it. Its methods may be called by
// several goroutines.
type Broker struct {
	store *store.Store
	cache *messageCache
	clock Clock
	log   *zap.Logger

	// numbers is the last one given to a message, topic or subscription.
	lastID atomic.Uint64

	adminMu sync.Mutex // held by whoever creates, changes or deletes resources

	mu     sync.RWMutex
	topics map[string]*Topic
	subs   map[string]*Subscription
	snaps  map[string]*Snapshot
	closed bool

	timerCalls sync.WaitGroup // calls of timers under way
	sweepTimer Timer
}

// Open opens the directory, or a store in memory if dir is "", and recovers
// what it holds.
func Open(dir string, clock Clock, log *zap.Logger) (*Broker, error) {
	st, err := store.Open(dir)
	if err != nil {
		return nil, err
	}
	b := &Broker{
		store:  st,
		cache:  newMessageCache(st),
		clock:  clock,
		log:    log,
		topics: make(map[string]*Topic),
		subs:   make(map[string]*Subscription),
		snaps:  make(map[string]*Snapshot),
	}
	b.lastID.Store(st.Epoch << epochBits)
	if err := b.recoverState(); err != nil {
		return nil, errors.Join(fmt.Errorf("recover: %w", err), st.Close())
	}
	b.sweepTimer = clock.AfterFunc(sweepInterval, b.timerFunc(b.sweepAll))
	return b, nil
}

// Close ends all subscriptions' readers, and flushes and closes the store. All
// other calls must have returned.
func (b *Broker) Close() error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.sweepTimer.Stop()
	for _, s := range b.allSubscriptions() {
		s.stop()
	}
	b.timerCalls.Wait()
	return errors.Join(b.saveLastUsed(), b.store.Close())
}

// guard makes f a function for a timer: it does nothing once the broker is
// closed, and Close waits for it.
func (b *Broker) timerFunc(f func()) func() {
	return func() {
		b.mu.RLock()
		if b.closed {
			b.mu.RUnlock()
			return
		}
		b.timerCalls.Add(1)
		b.mu.RUnlock()
		defer b.timerCalls.Done()
		f()
	}
}

func (b *Broker) nextID() uint64 { return b.lastID.Add(1) }

func (b *Broker) now() time.Time { return b.clock.Now() }

// release drops one holder of the message and, with the last, its body.
func releaseMessage(batch *store.Batch, m *backlog.Message) {
	if m.RefCount.Add(-1) == 0 {
		batch.DeleteMessage(m.Seq)
	}
}
