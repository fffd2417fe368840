package store

import (
	"context"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// leadership says which of the janitors sweeps, and until when by Firestore's clock.
type leadership struct {
	Leader  string    `firestore:"leader"`
	Expires time.Time `firestore:"expires"`
}

// Lead makes the janitor of this name the leader for the time of the lease, or
// renews its lease, unless another one leads. It reports whether this one
// leads, and Firestore's time.
func (s *Store) AcquireLeadership(ctx context.Context, name string, lease time.Duration) (isLeader bool, now time.Time, err error) {
	// Those that do not lead ask as often as who does, and must not lock the document.
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

// Resign gives up the lead, if this janitor has it, so that another need not
// wait for its lease to run out.
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
	snap, err := get(s.leadershipDoc())
	if status.Code(err) == codes.NotFound {
		return true, snap.ReadTime, nil
	}
	if err != nil {
		return false, time.Time{}, translateError(err)
	}
	var l leadership
	err = snap.DataTo(&l)
	return l.Leader == name || !snap.ReadTime.Before(l.Expires), snap.ReadTime, err
}

func (s *Store) leadershipDoc() *firestore.DocumentRef {
	return s.client.Collection("system").Doc("janitor")
}
