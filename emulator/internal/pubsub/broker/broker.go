// Package broker contains the topics, subscriptions and snapshots of the Pub/Sub emulator, on top of a store.
//
// It receives checked requests and messages, and returns the IDs of durable messages, deliveries, and errors with the
// status codes of the API. It does not check requests against the limits of the API and does not speak gRPC.
//
// Locks are taken in the order Broker.adminMu, Topic.mu, Subscription.mu, Broker.mu. No goroutine waits for an fsync
// while it holds a lock other than the first.
package broker

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/emulator/internal/grpcserver"
	"github.com/airlock-run/airlock/emulator/internal/pubsub/backlog"
	"github.com/airlock-run/airlock/emulator/internal/pubsub/store"
)

// epochBits is the number of bits of an ID below its epoch: 2^40 IDs in each of 2^23 epochs.
const epochBits = 40

// Broker owns the store and everything in it. It is safe for concurrent use.
type Broker struct {
	store *store.Store
	cache *messageCache
	clock Clock
	log   *zap.Logger

	// lastID is the newest ID of a message, topic or subscription.
	lastID atomic.Uint64

	adminMu sync.Mutex // held while a resource is created, changed or deleted

	mu     sync.RWMutex
	topics map[string]*Topic
	subs   map[string]*Subscription
	snaps  map[string]*Snapshot
	closed bool

	timerCalls sync.WaitGroup // active calls of timer functions
	sweepTimer Timer
}

// Open opens the folder, or a store in memory if dir is "", and recovers its state.
func Open(dir string, clock Clock, log *zap.Logger) (*Broker, error) {
	st, err := store.Open(dir, log)
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

// Close ends the readers of all subscriptions, then flushes and closes the store. All other calls must have returned.
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

// timerFunc wraps f for use in a timer: it does nothing after the broker is closed, and Close waits for it.
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

// releaseMessage removes one reference to the message. With the last reference it deletes the body.
func releaseMessage(batch *store.Batch, m *backlog.Message) {
	if m.RefCount.Add(-1) == 0 {
		batch.DeleteMessage(m.Seq)
	}
}

func (b *Broker) releaseMessages(messages []*backlog.Message) {
	batch := b.store.NewBatch()
	for _, m := range messages {
		releaseMessage(batch, m)
	}
	b.commitNoSync(batch)
}

func (b *Broker) commitNoSync(batch *store.Batch) {
	b.logError("write", b.store.CommitNoSync(batch))
}

// logError logs the failure of something that no caller waits for.
func (b *Broker) logError(action string, err error) {
	if err != nil && !errors.Is(err, grpcserver.ErrShuttingDown) {
		b.log.Error("failed to "+action, zap.Error(err))
	}
}
