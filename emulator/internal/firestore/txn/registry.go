package txn

import (
	"crypto/rand"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/store"
)

// Documented limits of a transaction.
const (
	maxIdle     = 60 * time.Second
	maxLifetime = 270 * time.Second
)

// ErrNotOpen reports a transaction that is not open. Client libraries look for these words.
var ErrNotOpen = status.Error(codes.InvalidArgument, "The referenced transaction has expired or is no longer valid.")

// Registry holds the open transactions. It is safe for concurrent use.
type Registry struct {
	now        func() time.Time
	contention *contention

	mu           sync.Mutex
	transactions map[string]*openTransaction
}

type openTransaction struct {
	tx                *Transaction
	beganAt, lastUsed time.Time
}

// NewRegistry returns an empty registry. Transactions expire by the clock now.
func NewRegistry(now func() time.Time) *Registry {
	return &Registry{now: now, contention: newContention(), transactions: map[string]*openTransaction{}}
}

// Begin opens a transaction: a read-only one, which takes ownership of the snapshot, or a read-write one if it is nil.
func (r *Registry) Begin(db name.Database, snapshot *store.Snapshot) *Transaction {
	t := &Transaction{ID: rand.Text(), Database: db, Snapshot: snapshot, contention: r.contention, documents: map[string]documentRead{}}
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.transactions[t.ID] = &openTransaction{tx: t, beganAt: now, lastUsed: now}
	return t
}

// Use returns an open transaction and restarts its idle time.
func (r *Registry) Use(db name.Database, id []byte) (*Transaction, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.transactions[string(id)]
	if o == nil || o.tx.Database != db || o.expired(r.now()) {
		return nil, ErrNotOpen
	}
	o.lastUsed = r.now()
	return o.tx, nil
}

// End ends a transaction, if it is open.
func (r *Registry) End(id []byte) {
	r.mu.Lock()
	o := r.transactions[string(id)]
	delete(r.transactions, string(id))
	r.mu.Unlock()
	if o != nil {
		o.tx.end()
	}
}

// Expire ends the transactions that have been idle, or open, for too long.
func (r *Registry) Expire() {
	now := r.now()
	r.endWhere(func(o *openTransaction) bool { return o.expired(now) })
}

// Close ends all transactions.
func (r *Registry) Close() {
	r.endWhere(func(*openTransaction) bool { return true })
}

func (r *Registry) endWhere(match func(*openTransaction) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, o := range r.transactions {
		if match(o) {
			delete(r.transactions, id)
			o.tx.end()
		}
	}
}

func (o *openTransaction) expired(now time.Time) bool {
	return now.Sub(o.lastUsed) > maxIdle || now.Sub(o.beganAt) > maxLifetime
}
