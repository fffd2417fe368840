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

	background sync.WaitGroup // active calls of inBackground
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
	b.sweepTimer = clock.AfterFunc(sweepInterval, func() { b.inBackground(b.sweepAll) })
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
	b.background.Wait()
	var err error
	if b.CheckSpace() == nil {
		err = b.saveLastUsed()
	}
	return errors.Join(err, b.store.Close())
}

// CheckSpace returns a *disk.FullError if the disk is full. Reading works in the meantime.
func (b *Broker) CheckSpace() error { return b.store.CheckSpace() }

// inBackground calls f, for which no call waits. It does nothing after the broker is closed, and Close waits for it.
func (b *Broker) inBackground(f func()) {
	if !b.beginBackground() {
		return
	}
	defer b.background.Done()
	b.recovered("work in the background", f)
}

func (b *Broker) beginBackground() bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return false
	}
	b.background.Add(1)
	return true
}

// withLock calls f with the mutex locked. It unlocks the mutex also if f panics: the panic ends one call, and the
// others must not wait for the lock.
func withLock(mu sync.Locker, f func()) {
	mu.Lock()
	defer mu.Unlock()
	f()
}

// recovered calls f and logs its panic: the next message, subscription or call must not suffer from it. It reports
// whether f returned.
func (b *Broker) recovered(action string, f func()) (returned bool) {
	defer func() {
		if p := recover(); p != nil {
			b.log.Error("panic: failed to "+action, zap.Any("panic", p), zap.Stack("stack"))
		}
	}()
	f()
	return true
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
