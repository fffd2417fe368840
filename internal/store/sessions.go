package store

import (
	"context"
	"errors"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/internal/domain/fleet"
)

// BeginSession stores a new session. Its times become Firestore's. It is safe to repeat until it succeeds, but not
// later: it would bring back a session that has been lost.
func (s *Store) BeginSession(ctx context.Context, session fleet.Session) error {
	session.StartedAt, session.RenewedAt = time.Time{}, time.Time{} // Firestore fills in its time
	_, err := s.sessionDoc(session.ID).Set(ctx, session)
	return translateCommitError(err)
}

// RenewSession renews a session in one write, without a read. It also stores what the executor says about itself,
// unless that is nil. The error is fleet.ErrSessionLost if the session does not exist any more.
func (s *Store) RenewSession(ctx context.Context, sessionID string, executor *fleet.Executor) error {
	updates := []firestore.Update{{Path: "renewedAt", Value: firestore.ServerTimestamp}}
	if executor != nil {
		updates = append(updates, firestore.Update{Path: "executor", Value: executor})
	}
	return s.updateSession(ctx, sessionID, updates)
}

// EndSession lets a session expire at once. The leader then queues what may be left of it, and deletes it. So an
// executor whose last hand-back got no answer leaves nothing behind. It is no error if the session does not exist.
func (s *Store) EndSession(ctx context.Context, sessionID string) error {
	err := s.updateSession(ctx, sessionID, []firestore.Update{{Path: "renewedAt", Value: time.Unix(0, 0)}})
	if errors.Is(err, fleet.ErrSessionLost) {
		return nil
	}
	return err
}

func (s *Store) updateSession(ctx context.Context, sessionID string, updates []firestore.Update) error {
	_, err := s.sessionDoc(sessionID).Update(ctx, updates)
	if status.Code(err) == codes.NotFound {
		return fleet.ErrSessionLost
	}
	return translateCommitError(err)
}

// DeleteSession deletes a session of which nothing is left.
func (s *Store) DeleteSession(ctx context.Context, sessionID string) error {
	return remove(ctx, s.sessionDoc(sessionID))
}

// Session returns a session, or fleet.ErrSessionLost.
func (s *Store) Session(ctx context.Context, sessionID string) (session fleet.Session, err error) {
	_, err = read(withoutTransaction(ctx), s.sessionDoc(sessionID), &session)
	if isNotFound(err) {
		err = fleet.ErrSessionLost
	}
	return session, err
}

// Sessions returns all sessions, also the expired ones, and Firestore's time. The time is zero if there is no session.
// It reads one document for each.
func (s *Store) Sessions(ctx context.Context) (sessions []fleet.Session, now time.Time, err error) {
	return readSessions(ctx, s.client.Collection(sessionsCollection).Query)
}

// ExpiredSessions returns the sessions that have expired at now, which is a time of Firestore.
func (s *Store) ExpiredSessions(ctx context.Context, now time.Time) ([]fleet.Session, error) {
	expired, _, err := readSessions(ctx, s.client.Collection(sessionsCollection).Where("renewedAt", "<=", now.Add(-fleet.SessionLease)))
	return expired, err
}

// readSessions returns of a document that it cannot decode at least the ID, so that such a document hides no other and
// can be deleted.
func readSessions(ctx context.Context, q firestore.Query) (found []fleet.Session, now time.Time, err error) {
	snaps, err := q.Documents(ctx).GetAll()
	if err != nil {
		return nil, now, translateError(err)
	}
	found = make([]fleet.Session, len(snaps))
	for i, snap := range snaps {
		_ = snap.DataTo(&found[i])
		found[i].ID, now = snap.Ref.ID, snap.ReadTime
		found[i].Process = fleet.ProcessOf(snap.Ref.ID)
	}
	return found, now, nil
}

// SetDraining tells the executor of this name to take no more executions, or to take them again. It returns the
// sessions that it has changed: those of this name that have not expired. The caller sends each a signal. The error is
// a NotFoundError if there is none.
func (s *Store) SetDraining(ctx context.Context, name string, drain bool) (changed []fleet.Session, err error) {
	named, now, err := readSessions(ctx, s.client.Collection(sessionsCollection).Where("name", "==", name))
	if err != nil {
		return nil, err
	}
	for _, session := range named {
		if session.Kind != fleet.KindExecutor || session.Expired(now) {
			continue
		}
		err := s.updateSession(ctx, session.ID, []firestore.Update{{Path: "drain", Value: drain}})
		if errors.Is(err, fleet.ErrSessionLost) {
			continue
		}
		if err != nil {
			return changed, err
		}
		session.Drain = drain
		changed = append(changed, session)
	}
	if len(changed) == 0 {
		return nil, &NotFoundError{Resource: "executor", ID: name}
	}
	return changed, nil
}
