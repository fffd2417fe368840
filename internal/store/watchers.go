package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// WatchKind says which changes of an execution a process wants to know of.
type WatchKind string

// The kinds, which are the names of the fields of execution.Watchers.
const (
	WatchEnds    WatchKind = "ends"
	WatchChanges WatchKind = "changes"
)

// maxWatchers bounds the processes that watch one execution. Others learn of a change when they read again.
const maxWatchers = 32

// ErrChanged means that a document is not any more as the caller has read it.
var ErrChanged = errors.New("the document has changed since it was read")

// ExecutionVersion returns the tenant's execution and what AddWatcher needs to know that it has not changed; or a
// NotFoundError.
func (s *Store) ExecutionVersion(ctx context.Context, ref execution.Ref) (e execution.Execution, version time.Time, err error) {
	_, version, err = readVersion(withoutTransaction(ctx), s.executionDoc(ref), &e)
	return e, version, err
}

// AddWatcher makes a process a watcher of an execution, if that has not changed since it was read. So no change is
// missed between the read and the registration. Otherwise the error is ErrChanged, and the caller reads again. It
// writes nothing if the process watches already, if the execution has finished, or if too many watch.
func (s *Store) AddWatcher(ctx context.Context, e *execution.Execution, version time.Time, kind WatchKind, process string) error {
	watching := e.Watchers.Changes // they learn of the end, too
	if kind == WatchEnds {
		watching = slices.Concat(watching, e.Watchers.Ends)
	}
	if e.Status.Terminal() || slices.Contains(watching, process) || len(e.Watchers.Changes)+len(e.Watchers.Ends) >= maxWatchers {
		return nil
	}
	update := firestore.Update{FieldPath: firestore.FieldPath{"watchers", string(kind)}, Value: firestore.ArrayUnion(process)}
	_, err := s.executionDoc(e.Ref()).Update(ctx, []firestore.Update{update}, firestore.LastUpdateTime(version))
	switch status.Code(err) {
	case codes.FailedPrecondition, codes.NotFound:
		return ErrChanged
	default:
		return translateCommitError(err)
	}
}
