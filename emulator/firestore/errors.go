package firestore

import (
	"context"
	"errors"

	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/internal/firestore/store"
)

// answer turns an error into what a client may see. Errors with a status of their own pass; what went wrong inside
// is logged, not told.
func (s *Server) statusError(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	switch {
	case errors.Is(err, store.ErrInFuture):
		return status.Error(codes.InvalidArgument, "The read_time is in the future.")
	case errors.Is(err, store.ErrTooOld):
		return status.Error(codes.FailedPrecondition, "The read_time is too old.")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	}
	s.log.Error("firestore emulator", zap.Error(err))
	return status.Error(codes.Internal, "Internal error.")
}

// engineLog passes on what the storage engine reports; its daily work only at debug level.
type pebbleLogger struct{ *zap.SugaredLogger }

func (l pebbleLogger) Infof(format string, args ...any) { l.Debugf(format, args...) }
