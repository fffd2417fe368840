package store

import (
	"context"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/internal/execution"
)

// given is the document of the files that a run is given.
type given struct {
	Files []execution.Given `firestore:"files"`
}

// Given returns the files that an execution is given; none where it has none.
func (s *Store) Given(ctx context.Context, ref execution.Ref) ([]execution.Given, error) {
	return s.readGiven(outside(ctx), ref)
}

func (s *Store) readGiven(get reader, ref execution.Ref) ([]execution.Given, error) {
	snap, err := get(s.given(ref))
	if status.Code(err) == codes.NotFound {
		return nil, nil
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

// given is one document, apart from the execution's, which every heartbeat reads.
func (s *Store) given(ref execution.Ref) *firestore.DocumentRef {
	return s.collection(ref.Owner, executions).Doc(ref.ID).Collection("given").Doc("files")
}
