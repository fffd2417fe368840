package store

import (
	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/tenant"
)

// Placement says how a new execution gets to an executor.
type Placement int

// The placements.
const (
	PublishDirectly Placement = iota // its creator publishes it
	AwaitDispatcher                  // its lane waits, so the dispatcher of the tenant finds it
	// WakeDispatcher: the creator calls MarkWaiting after the creation. If it dies before that, the execution is due
	// like one whose notification was lost.
	WakeDispatcher
)

// Placer decides the placement of a new execution of a tenant, or rejects it with an error, which the submission
// returns. It may be called again for the same submission.
type Placer func(t *tenant.Tenant, e *execution.Execution) (Placement, error)

// place applies a placement to a new execution. A nil Placer publishes directly.
func (p Placer) place(t *tenant.Tenant, e *execution.Execution) error {
	if p == nil {
		return nil
	}
	placement, err := p(t, e)
	switch placement {
	case AwaitDispatcher:
		e.AwaitDispatcher()
	case WakeDispatcher:
		e.Ready = false
	case PublishDirectly:
	}
	return err
}

// notificationOf returns the notification that a new execution needs from its creator.
func notificationOf(e *execution.Execution) []execution.Runnable {
	if !e.Ready {
		return nil
	}
	return []execution.Runnable{e.Runnable()}
}

// readWithTenant reads a document, and what is stored about the tenant as a whole, with one call. If the document does
// not exist, the error is a NotFoundError.
func (s *Store) readWithTenant(get documentsGetter, name string, ref *firestore.DocumentRef, doc any) (t Tenant, err error) {
	snaps, err := get([]*firestore.DocumentRef{ref, s.tenantDoc(name)})
	if err != nil {
		return t, translateError(err)
	}
	if t.Now, t.version, err = decode(snaps[1], &t.Tenant); err != nil && !isNotFound(err) {
		return t, err
	}
	s.watchedTenants.note(name, t.Watchers, t.Now)
	_, _, err = decode(snaps[0], doc)
	return t, err
}
