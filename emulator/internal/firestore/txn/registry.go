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
	maxIdle = 60 * time.Second
	maxLife = 270 * time.Second
)

// ErrGone says that a transaction is not open, in the words that client libraries look for.
var ErrGone = status.Error(codes.InvalidArgument, "The referenced transaction has expired or is no longer valid.")

// Registry holds the open transactions. It is safe for concurrent use.
type Registry struct {
	now   func() time.Time
	turns *turns

	mu   sync.Mutex
	open map[string]*lifetime
}

type lifetime struct {
	tx          *Transaction
	begun, used time.Time
}

// NewRegistry makes an empty registry.
func NewRegistry(now func() time.Time) *Registry {
	return &Registry{now: now, turns: newTurns(), open: map[string]*lifetime{}}
}

// Begin opens a transaction: read-only on a snapshot, which it takes over, or read-write where that is nil.
func (r *Registry) Begin(db name.Database, snapshot *store.Snapshot) *Transaction {
	t := &Transaction{ID: rand.Text(), Database: db, Snapshot: snapshot, turns: r.turns, documents: map[string]seen{}}
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open[t.ID] = &lifetime{tx: t, begun: now, used: now}
	return t
}

// Use finds an open transaction and keeps it from being idle.
func (r *Registry) Use(db name.Database, id []byte) (*Transaction, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.open[string(id)]
	if l == nil || l.tx.Database != db || l.expired(r.now()) {
		return nil, ErrGone
	}
	l.used = r.now()
	return l.tx, nil
}

// End closes a transaction, if it is open.
func (r *Registry) End(id []byte) {
	r.mu.Lock()
	l := r.open[string(id)]
	delete(r.open, string(id))
	r.mu.Unlock()
	if l != nil {
		l.tx.end()
	}
}

// Expire closes the transactions that have been idle, or open, for too long.
func (r *Registry) Expire() {
	now := r.now()
	r.endWhere(func(l *lifetime) bool { return l.expired(now) })
}

// Close closes all of them.
func (r *Registry) Close() {
	r.endWhere(func(*lifetime) bool { return true })
}

func (r *Registry) endWhere(which func(*lifetime) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, l := range r.open {
		if which(l) {
			delete(r.open, id)
			l.tx.end()
		}
	}
}

func (l *lifetime) expired(now time.Time) bool {
	return now.Sub(l.used) > maxIdle || now.Sub(l.begun) > maxLife
}
