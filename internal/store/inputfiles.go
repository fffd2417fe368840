package store

import (
	"context"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// given is the document of the files that a run is given.
type inputFiles struct {
	Files []execution.InputFile `firestore:"files"`
}

// Given returns the files that an execution is given, which has some: its task
// lists them.
func (s *Store) InputFiles(ctx context.Context, ref execution.Ref) ([]execution.InputFile, error) {
	return s.readInputFiles(withoutTransaction(ctx), ref)
}

func (s *Store) readInputFiles(get documentGetter, ref execution.Ref) ([]execution.InputFile, error) {
	snap, err := get(s.inputFilesDoc(ref))
	if status.Code(err) == codes.NotFound {
		return nil, &NotFoundError{Resource: "document of the files given to", ID: ref.ID}
	}
	if err != nil {
		return nil, translateError(err)
	}
	var doc inputFiles
	return doc.Files, snap.DataTo(&doc)
}

// keepGiven stores the files with their execution.
func (s *Store) storeInputFiles(tx *firestore.Transaction, ref execution.Ref, files []execution.InputFile) error {
	if len(files) == 0 {
		return nil
	}
	return tx.Create(s.inputFilesDoc(ref), &inputFiles{Files: files})
}

// copyGiven gives a repetition the files of the execution that it repeats, for
// that may be deleted first. It reads, and so comes before what else is written.
func (s *Store) copyInputFiles(tx *firestore.Transaction, from *execution.Execution, to execution.Ref) error {
	if len(from.Task.InputFileList) == 0 {
		return nil
	}
	files, err := s.readInputFiles(tx.Get, from.Ref())
	if err != nil {
		return err
	}
	return s.storeInputFiles(tx, to, files)
}

// given is one document, apart from the execution's, which every heartbeat reads.
func (s *Store) inputFilesDoc(ref execution.Ref) *firestore.DocumentRef {
	return s.collection(ref.Tenant, executions).Doc(ref.ID).Collection("inputFiles").Doc("files")
}
