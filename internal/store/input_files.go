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

// InputFiles returns the input files of an execution whose task lists some.
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

func (s *Store) storeInputFiles(tx *firestore.Transaction, ref execution.Ref, files []execution.InputFile) error {
	if len(files) == 0 {
		return nil
	}
	return tx.Create(s.inputFilesDoc(ref), &inputFilesDocument{Files: files})
}

// copyInputFiles copies the input files to a retry, because the first execution may be deleted before the retry. It
// reads in the transaction, so it must come before the transaction's writes.
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
