package store

import (
	"context"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/fleet"
)

// ExecutorPage is a part of the list of executors, which is ordered by their names.
type ExecutorPage struct {
	AfterName, AfterSession string // of the last session of the page before; empty: the first page
	Limit                   int
}

// Executors returns the sessions of executors, also the expired ones, and Firestore's time. The time is zero if there
// is no session.
func (s *Store) Executors(ctx context.Context, p ExecutorPage) (sessions []fleet.Session, now time.Time, err error) {
	// Only executors have names.
	q := s.client.Collection(sessionsCollection).Where("name", ">", "").
		OrderBy("name", firestore.Asc).OrderBy(firestore.DocumentID, firestore.Asc).Limit(p.Limit)
	if p.AfterSession != "" {
		q = q.StartAfter(p.AfterName, p.AfterSession)
	}
	return readSessions(ctx, q)
}
