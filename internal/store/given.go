package store

import (
	"context"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// given is the document of the files that a run is given.
type given struct {
	Files []execution.Given `firestore:"files"`
}

// Given returns the files that an execution is given, which has some: its task
// lists them.
func (s *Store) Given(ctx context.Context, ref execution.Ref) ([]execution.Given, error) {
	return s.readGiven(outside(ctx), ref)
}

func (s *Store) readGiven(get reader, ref execution.Ref) ([]execution.Given, error) {
	snap, err := get(s.given(ref))
	if status.Code(err) == codes.NotFound {
		return nil, &NotFoundError{Resource: "document of the files given to", ID: ref.ID}
	}
	if err != nil {
		return nil, translate(err)
	}
	var g given
	return g.Files, snap.DataTo(&g)
}

// keepGiven stores the files with their execution.
func (s *Store) keepGiven(tx *firestore.Transaction, ref execution.Ref, files []execution.Given) error {
	if len(files) == 0 {
		return nil
	}
	return tx.Create(s.given(ref), &given{Files: files})
}

// copyGiven gives a repetition the files of the execution that it repeats, for
// that may be deleted first. It reads, and so comes before what else is written.
func (s *Store) copyGiven(tx *firestore.Transaction, from *execution.Execution, to execution.Ref) error {
	if len(from.Task.Files) == 0 {
		return nil
	}
	files, err := s.readGiven(tx.Get, from.Ref())
	if err != nil {
		return err
	}
	return s.keepGiven(tx, to, files)
}

// given is one document, apart from the execution's, which every heartbeat reads.
func (s *Store) given(ref execution.Ref) *firestore.DocumentRef {
	return s.collection(ref.Owner, executions).Doc(ref.ID).Collection("given").Doc("files")
}
