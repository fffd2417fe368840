package pubsub

import (
	"errors"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/internal/disk"
	"github.com/airlock-run/airlock/emulator/internal/pubsub/broker"
)

// diskFull gives a *disk.FullError a status; clients send such calls again. UNAVAILABLE means that the call may still
// have an effect.
func diskFull(err error) error {
	full, ok := errors.AsType[*disk.FullError](err)
	switch {
	case ok && full.Waiting:
		return status.Error(codes.Unavailable, "The disk is full, and the write waits for space.")
	case ok:
		return status.Error(codes.ResourceExhausted, "The disk is full, so nothing is written until there is space.")
	}
	return err
}

func invalid(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, format, args...)
}

func unsupported(what string) error {
	return status.Errorf(codes.Unimplemented, "This emulator does not support %s.", what)
}

// Parts of the ErrorInfo in which Google's clients read the ack IDs that failed with exactly-once delivery.
const (
	errorDomain   = "pubsub.googleapis.com"
	invalidAckID  = "PERMANENT_FAILURE_INVALID_ACK_ID"
	failureReason = "EXACTLY_ONCE_ACKID_FAILURE"
	// The clients send an ack ID again if its failure has the prefix TRANSIENT_. They treat ack IDs that the error
	// does not mention as failed, although those succeeded.
	transientFailure = "TRANSIENT_FAILURE_OTHER_ACK_IDS_INVALID"
	failureMessage   = "Some acknowledgement IDs in the request were invalid. This could be because the acknowledgement IDs have expired or the acknowledgement IDs were malformed."
)

// ackFailure returns the error that names the invalid ack IDs; nil if there are none, or if the subscription has no
// exactly-once delivery.
func ackFailure(r broker.AckResult) error {
	if !r.ExactlyOnce || len(r.Invalid) == 0 {
		return nil
	}
	info := &errdetails.ErrorInfo{Reason: failureReason, Domain: errorDomain, Metadata: make(map[string]string)}
	for _, id := range r.Invalid {
		info.Metadata[id] = invalidAckID
	}
	for _, id := range r.Succeeded {
		info.Metadata[id] = transientFailure
	}
	st, err := status.New(codes.FailedPrecondition, failureMessage).WithDetails(info)
	if err != nil {
		return err
	}
	return st.Err()
}
