package write

import (
	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
)

func validatePrecondition(c *pb.Precondition) error {
	t, ok := c.GetConditionType().(*pb.Precondition_UpdateTime)
	if !ok {
		return nil
	}
	if err := t.UpdateTime.CheckValid(); err != nil {
		return status.Errorf(codes.InvalidArgument, "The update_time of a precondition is not valid: %v.", err)
	}
	if t.UpdateTime.GetNanos()%1000 != 0 {
		return status.Error(codes.InvalidArgument, "The update_time of a precondition must be in whole microseconds.")
	}
	return nil
}

// checkPrecondition checks the precondition of the write against the current document.
func (w Write) checkPrecondition(old *document.Document) error {
	switch c := w.precondition.GetConditionType().(type) {
	case *pb.Precondition_Exists:
		switch {
		case c.Exists && old == nil:
			return status.Errorf(codes.NotFound, "No document to update: %s", w.Path)
		case !c.Exists && old != nil:
			return status.Errorf(codes.AlreadyExists, "Document already exists: %s", w.Path)
		}
	case *pb.Precondition_UpdateTime:
		switch {
		case old == nil:
			return status.Errorf(codes.FailedPrecondition, "The document %s does not exist; the write requires a version of it.", w.Path)
		case old.UpdateTime != document.ParseTime(c.UpdateTime):
			return status.Errorf(codes.FailedPrecondition, "The stored version of %s does not match the required base version.", w.Path)
		}
	}
	return nil
}
