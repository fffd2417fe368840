package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A write has one of three outcomes, and its error says which:
//
//   - committed: nil.
//   - unknown: an error that is ErrOutcomeUnknown. The commit was sent and got no answer. It may have taken effect, or
//     may take effect a moment later. A caller undoes nothing. It may repeat a write that is safe to repeat.
//   - refused: any other error. Certainly nothing happened, so a caller may undo what it had prepared.
//
// Google's client sends a commit again whose answer was lost. So each method recognizes its own earlier write.

var (
	// ErrUnavailable means that Firestore cannot serve a call at the moment. A later call may succeed. A write with
	// this error may have taken effect exactly if the error is also ErrOutcomeUnknown.
	ErrUnavailable = errors.New("firestore is unavailable")
	// ErrOutcomeUnknown means that a commit was sent whose answer was lost, or that its caller did not wait for the
	// answer.
	ErrOutcomeUnknown = errors.New("it is unknown whether firestore has committed the write")
)

// IsUnavailable reports whether an error is ErrUnavailable.
func IsUnavailable(err error) bool { return errors.Is(err, ErrUnavailable) }

// runTransaction runs f in a transaction, and again after a conflict with another transaction. f must create documents
// under names that were chosen before: if an earlier commit of f took effect without an answer, the next one then does
// not create everything twice.
func (s *Store) runTransaction(ctx context.Context, f func(tx *firestore.Transaction) error) error {
	commitSent := false
	err := s.client.RunTransaction(ctx, func(_ context.Context, tx *firestore.Transaction) error {
		err := f(tx)
		commitSent = err == nil
		return err
	})
	if !commitSent {
		return translateError(err)
	}
	return translateCommitError(err)
}

// create creates a document whose name was made for it. A document of that name that exists is its own: an earlier
// attempt of Google's client has stored it and lost the response.
func create(ctx context.Context, doc *firestore.DocumentRef, data any) error {
	_, err := doc.Create(ctx, data)
	if status.Code(err) == codes.AlreadyExists {
		return nil
	}
	return translateCommitError(err)
}

// remove deletes a document. It is no error if there is none.
func remove(ctx context.Context, doc *firestore.DocumentRef) error {
	_, err := doc.Delete(ctx)
	return translateCommitError(err)
}

// removeExisting deletes a document, or returns a NotFoundError if it does not exist. The deletion itself has no
// condition, so that a repeated one does not fail because the first one took effect.
func removeExisting(ctx context.Context, doc *firestore.DocumentRef) error {
	found, err := exists(ctx, doc)
	if err != nil {
		return err
	}
	if !found {
		return notFound(doc)
	}
	return remove(ctx, doc)
}

func exists(ctx context.Context, doc *firestore.DocumentRef) (bool, error) {
	_, err := doc.Get(ctx)
	if status.Code(err) == codes.NotFound {
		return false, nil
	}
	return err == nil, translateError(err)
}

// translateCommitError translates the error of a commit. Only the answers that Firestore gives after it has looked at
// the writes are refusals.
func translateCommitError(err error) error {
	switch status.Code(err) {
	case codes.OK, codes.NotFound, codes.AlreadyExists, codes.FailedPrecondition, codes.OutOfRange:
		return err
	case codes.InvalidArgument:
		if !transactionEnded(err) {
			return err
		}
		// Google's client sent the commit again after it had lost the response, or the transaction took too long.
	default:
	}
	return fmt.Errorf("%w: %w", ErrOutcomeUnknown, translateError(err))
}

// translateError turns errors that another attempt may not meet into ErrUnavailable.
func translateError(err error) error {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Aborted, codes.Internal:
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	default:
		if errors.Is(err, context.DeadlineExceeded) || transactionEnded(err) {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return err
	}
}

// transactionEnded reports whether Firestore does not know the transaction of a call any more. Any other
// InvalidArgument is a mistake of the caller, which no repetition repairs. Nothing but the message tells them apart;
// Google's clients in Java, Node and .NET compare the same words (googleapis/nodejs-firestore#1347).
func transactionEnded(err error) bool {
	return status.Code(err) == codes.InvalidArgument && strings.Contains(err.Error(), "transaction has expired")
}
