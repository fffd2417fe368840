package store

import (
	"context"
	"time"

	"cloud.google.com/go/firestore"
)

// leadership names the janitor that leads, and when its lease expires by Firestore's clock.
type leadership struct {
	Leader  string    `firestore:"leader"`
	Expires time.Time `firestore:"expires"`
}

// AcquireLeadership makes the janitor of this name the leader for the time of the lease, or renews its lease, unless
// another janitor leads. It reports whether this one leads, and Firestore's time.
func (s *Store) AcquireLeadership(ctx context.Context, name string, lease time.Duration) (isLeader bool, now time.Time, err error) {
	// Janitors that do not lead call this as often as the leader. They must not lock the document, so they read it
	// first.
	if isLeader, now, err = s.mayLead(withoutTransaction(ctx), name); err != nil || !isLeader {
		return isLeader, now, err
	}
	err = s.runTransaction(ctx, func(tx *firestore.Transaction) error {
		if isLeader, now, err = s.mayLead(tx.Get, name); err != nil || !isLeader {
			return err
		}
		return tx.Set(s.leadershipDoc(), leadership{Leader: name, Expires: now.Add(lease)})
	})
	return isLeader && err == nil, now, err
}

// ReleaseLeadership ends the leadership of this janitor, if it leads. Another janitor can then lead at once.
func (s *Store) ReleaseLeadership(ctx context.Context, name string) error {
	return s.runTransaction(ctx, func(tx *firestore.Transaction) error {
		if isLeader, _, err := s.mayLead(tx.Get, name); err != nil || !isLeader {
			return err
		}
		return tx.Delete(s.leadershipDoc())
	})
}

// mayLead reports whether no other janitor leads.
func (s *Store) mayLead(get documentGetter, name string) (bool, time.Time, error) {
	var l leadership
	now, err := read(get, s.leadershipDoc(), &l)
	if isNotFound(err) {
		return true, now, nil
	}
	return err == nil && (l.Leader == name || !now.Before(l.Expires)), now, err
}
