package store

import (
	"context"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// inputFilesDocument holds the input files of one execution.
type inputFilesDocument struct {
	Files []execution.InputFile `firestore:"files"`
}

// InputFiles returns the input files that are stored with an execution, see execution.Task.StoresInputFiles.
func (s *Store) InputFiles(ctx context.Context, ref execution.Ref) ([]execution.InputFile, error) {
	return s.readInputFiles(withoutTransaction(ctx), ref)
}

func (s *Store) readInputFiles(get documentGetter, ref execution.Ref) ([]execution.InputFile, error) {
	var doc inputFilesDocument
	_, err := read(get, s.inputFilesDoc(ref), &doc)
	if isNotFound(err) {
		return nil, &NotFoundError{Resource: "input files of execution", ID: ref.ID}
	}
	return doc.Files, err
}

// storeInputFiles stores the input files that have Data.
func (s *Store) storeInputFiles(tx *firestore.Transaction, ref execution.Ref, files []execution.InputFile) error {
	var doc inputFilesDocument
	for _, f := range files {
		if f.FileID == "" {
			doc.Files = append(doc.Files, f)
		}
	}
	if len(doc.Files) == 0 {
		return nil
	}
	return tx.Create(s.inputFilesDoc(ref), &doc)
}

// inputFilesForRetry reads the input files that a retry copies, because the first execution may be deleted before it.
func (s *Store) inputFilesForRetry(tx *firestore.Transaction, from *execution.Execution) ([]execution.InputFile, error) {
	if !from.Task.StoresInputFiles() {
		return nil, nil
	}
	return s.readInputFiles(tx.Get, from.Ref())
}
