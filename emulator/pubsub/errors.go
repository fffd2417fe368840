package pubsub

import (
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/internal/pubsub/broker"
)

func invalid(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, format, args...)
}

func unsupported(what string) error {
	return status.Errorf(codes.Unimplemented, "This emulator does not support %s.", what)
}

func invalidName(err error) error {
	if err == nil {
		return nil
	}
	return status.Error(codes.InvalidArgument, err.Error())
}

// Where clients look for the ack IDs that failed with exactly-once delivery.
const (
	errorDomain   = "pubsub.googleapis.com"
	invalidAckID  = "PERMANENT_FAILURE_INVALID_ACK_ID"
	failureReason = "EXACTLY_ONCE_ACKID_FAILURE"
	// Clients settle an ID once more that failed with the prefix TRANSIENT_. They
	// take one that is not mentioned for failed, although it is not.
	transientFailure = "TRANSIENT_FAILURE_OTHER_ACK_IDS_INVALID"
	failureMessage   = "Some acknowledgement IDs in the request were invalid. This could be because the acknowledgement IDs have expired or the acknowledgement IDs were malformed."
)

// ackFailure is the error that tells which ack IDs were not valid, if that
// matters to the caller.
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
