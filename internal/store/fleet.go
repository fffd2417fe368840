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

// ErrFleetChanged means that another process has written the fleet document since it was read.
var ErrFleetChanged = errors.New("another process has written the fleet document")

// FleetSnapshot is the fleet document as it was read.
type FleetSnapshot struct {
	fleet.Fleet
	Version time.Time // of its newest change; zero if the document does not exist
	Now     time.Time // when Firestore read it
}

// ReadFleet reads the fleet document. It is no error if there is none.
func (s *Store) ReadFleet(ctx context.Context) (f FleetSnapshot, err error) {
	var d fleetDocument
	f.Now, f.Version, err = readVersion(withoutTransaction(ctx), s.fleetDoc(), &d)
	if isNotFound(err) {
		err = nil
	}
	f.Fleet = d.fleet()
	return f, err
}

// WriteFleet replaces what has been read as this version. It returns the new version, which is also Firestore's time of
// the write. RenewedAt becomes that time. The error is ErrFleetChanged if the document has another version now. That
// may be the caller's own write, whose answer was lost.
func (s *Store) WriteFleet(ctx context.Context, f fleet.Fleet, version time.Time) (written time.Time, err error) {
	f.RenewedAt = time.Time{} // Firestore fills in its time
	var result *firestore.WriteResult
	if version.IsZero() {
		result, err = s.fleetDoc().Create(ctx, newFleetDocument(f))
	} else {
		result, err = s.fleetDoc().Update(ctx, fleetUpdates(newFleetDocument(f)), firestore.LastUpdateTime(version))
	}
	switch status.Code(err) {
	case codes.OK:
		return result.UpdateTime, nil
	case codes.AlreadyExists, codes.FailedPrecondition, codes.NotFound:
		return time.Time{}, ErrFleetChanged
	default:
		return time.Time{}, translateCommitError(err)
	}
}

// fleetUpdates has every field, so that fields that a newer version of Airlock has added stay.
func fleetUpdates(f fleetDocument) []firestore.Update {
	return []firestore.Update{
		{Path: "leader", Value: f.Leader},
		{Path: "renewedAt", Value: firestore.ServerTimestamp},
		{Path: "owners", Value: f.Owners},
		{Path: "slots", Value: f.Slots},
		{Path: "pools", Value: f.Pools},
		{Path: "executors", Value: f.Executors},
		{Path: "apis", Value: f.APIs},
	}
}
