package quota

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/airlock-run/airlock/internal/store"
)

const (
	// maxAgeToAdmit is the greatest age of a count by which a submission is admitted, so that few submissions count.
	maxAgeToAdmit = time.Second
	// maxAgeToReject is the greatest age of a count by which a submission is rejected: queued executions may have
	// started since.
	maxAgeToReject = 100 * time.Millisecond
	// maxRecounts bounds how often a submission counts again because the last count may contain admissions that are
	// added to it.
	maxRecounts = 3
	// commitSettles is the time after which a commit whose answer was lost has taken effect, or never will.
	commitSettles = 10 * time.Second
)

// queueCounter counts the tenant's queued executions, without those of batches. A count stops at limit.
type queueCounter interface {
	CountQueued(ctx context.Context, tenant string, limit int) (int, error)
}

// Admissions admits submissions while fewer than a limit of the tenant's executions are queued. It is safe for
// concurrent use.
//
// What it assumes to be queued is the last count, and every admission that this count does not contain for certain. A
// count contains for certain only what was confirmed before the count began. So one process never admits more than the
// limit, however long a commit takes: a count does not lower what was admitted since it began.
//
// Several processes do not know of each other's admissions until they count.
type Admissions struct {
	counter queueCounter

	mu      sync.Mutex
	queues  map[string]*tenantQueue // of the tenants that have submitted lately
	sweepAt int                     // size of queues at which those without information are removed
}

// minSweep is the least number of tenants at which Admissions forgets those that have not submitted lately.
const minSweep = 1024

// NewAdmissions returns an Admissions that knows nothing but what it counts.
func NewAdmissions(counter queueCounter) *Admissions {
	return &Admissions{counter: counter, queues: map[string]*tenantQueue{}, sweepAt: minSweep}
}

// Admission is a place in the queue of a tenant. Its holder makes one write, and then calls Settle, Confirm or Release,
// exactly one of them. The methods of a nil Admission do nothing.
type Admission struct{ queue *tenantQueue }

// Settle ends the admission by the error of its write, as package store defines the outcomes.
func (a *Admission) Settle(err error) {
	switch {
	case err == nil:
		a.Confirm()
	case errors.Is(err, store.ErrOutcomeUnknown):
		if a != nil {
			a.queue.settleUnknown()
		}
	default:
		a.Release()
	}
}

// Confirm says that the write was committed: a count that begins from now on contains it.
func (a *Admission) Confirm() {
	if a != nil {
		a.queue.confirm()
	}
}

// Release says that the write was certainly refused, so its place is free.
func (a *Admission) Release() {
	if a != nil {
		a.queue.release()
	}
}

// Admit admits one submission of the tenant. If limit executions are queued already, the error is a QueueFullError; 0
// means no limit. Any other error is that of a count.
func (a *Admissions) Admit(ctx context.Context, tenant string, limit int) (*Admission, error) {
	if limit == 0 {
		return nil, nil //nolint:nilnil // a nil Admission does nothing
	}
	q := a.enter(tenant)
	defer a.leave(q)
	recounts := 0
	for arrived := q.countsBegun(); ; {
		switch q.admit(limit, arrived) {
		case admitted:
			return &Admission{queue: q}, nil
		case full:
			return nil, &QueueFullError{Limit: limit}
		case unclear:
			if recounts++; recounts > maxRecounts {
				return nil, &QueueFullError{Limit: limit}
			}
			arrived = q.countsBegun()
			fallthrough
		case mustCount:
			if err := q.count(ctx, a.counter, tenant, limit, arrived); err != nil {
				return nil, err
			}
		}
	}
}

// enter returns the queue of a tenant, which stays known at least until leave.
func (a *Admissions) enter(tenant string) *tenantQueue {
	a.mu.Lock()
	defer a.mu.Unlock()
	q := a.queues[tenant]
	if q == nil {
		if len(a.queues) >= a.sweepAt {
			maps.DeleteFunc(a.queues, func(_ string, q *tenantQueue) bool { return q.users == 0 && q.idle() })
			a.sweepAt = max(minSweep, 2*len(a.queues))
		}
		q = &tenantQueue{counting: semaphore.NewWeighted(1)}
		a.queues[tenant] = q
	}
	q.users++
	return q
}

func (a *Admissions) leave(q *tenantQueue) {
	a.mu.Lock()
	defer a.mu.Unlock()
	q.users--
}

// tenantQueue is what a process knows about the queue of one tenant.
type tenantQueue struct {
	users    int                 // calls of Admit; guarded by Admissions.mu
	counting *semaphore.Weighted // held by the one call that counts for all that wait

	mu         sync.Mutex // never held while counting
	begun      int        // counts that have begun
	lastCount  int        // number of the newest count that succeeded, in the order in which they began; 0: none
	countedAt  time.Time  // when that count began, by this machine's monotonic clock
	countLimit int        // where it stopped
	counted    int
	pending    int         // admissions whose writes have not ended
	confirmed  int         // confirmed ones that counted does not contain for certain
	unknown    []time.Time // ends of writes with an unknown outcome, in order; counted may not contain them
}

type decision int

const (
	mustCount decision = iota
	admitted
	full
	unclear // the count may contain some of the admissions that are added to it
)

func (q *tenantQueue) countsBegun() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.begun
}

// admit decides about a submission by what is known now. When it arrived, so many counts had begun.
func (q *tenantQueue) admit(limit, arrived int) decision {
	q.mu.Lock()
	defer q.mu.Unlock()
	age := time.Since(q.countedAt)
	countedSince := q.lastCount > arrived
	certain := q.counted + q.pending + len(q.unknown)
	switch {
	case !q.countReaches(limit), !countedSince && age >= maxAgeToAdmit:
		return mustCount
	case certain+q.confirmed < limit:
		q.pending++
		return admitted
	case countedSince && q.counted < limit && q.pending+len(q.unknown)+q.confirmed < limit:
		return unclear
	case countedSince, age < maxAgeToReject && (certain >= limit || q.confirmed == 0):
		return full
	default:
		return mustCount // the count is too old to reject, or may contain some of the confirmed ones already
	}
}

// countReaches reports whether the last count would have seen limit executions.
func (q *tenantQueue) countReaches(limit int) bool {
	return q.lastCount > 0 && (q.counted < q.countLimit || q.countLimit >= limit)
}

// count counts again, unless another call has begun a count since the submission arrived.
func (q *tenantQueue) count(ctx context.Context, counter queueCounter, tenant string, limit, arrived int) error {
	if err := q.counting.Acquire(ctx, 1); err != nil {
		return err
	}
	defer q.counting.Release(1)
	q.mu.Lock()
	if q.lastCount > arrived && q.countReaches(limit) {
		q.mu.Unlock()
		return nil
	}
	q.begun++
	number, began := q.begun, time.Now()
	confirmed, settled := q.confirmed, q.settledBefore(began)
	q.mu.Unlock()

	counted, err := counter.CountQueued(ctx, tenant, limit)
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lastCount, q.countedAt, q.countLimit, q.counted = number, began, limit, counted
	q.confirmed -= confirmed
	q.unknown = slices.Delete(q.unknown, 0, settled)
	return nil
}

// settledBefore returns how many of the unknown writes have taken effect before a time, or never will.
func (q *tenantQueue) settledBefore(t time.Time) int {
	n := slices.IndexFunc(q.unknown, func(ended time.Time) bool { return t.Sub(ended) < commitSettles })
	if n < 0 {
		return len(q.unknown)
	}
	return n
}

func (q *tenantQueue) confirm() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pending--
	q.confirmed++
}

func (q *tenantQueue) release() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pending--
}

func (q *tenantQueue) settleUnknown() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pending--
	q.unknown = append(q.unknown, time.Now())
}

// idle reports whether the next count will tell all that is known here.
func (q *tenantQueue) idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.pending == 0 && time.Since(q.countedAt) >= maxAgeToAdmit &&
		q.settledBefore(time.Now()) == len(q.unknown)
}
