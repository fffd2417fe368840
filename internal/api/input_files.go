package api

import (
	"encoding/base64"
	"errors"
	"fmt"
	"path"
	"slices"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/store"
)

// parseInputFiles reads the input files of a run or message and reports every wrong one. Whether the uploaded ones
// exist is for the store to say.
func parseInputFiles(files []contract.InputFile) ([]execution.InputFile, error) {
	var (
		inputFiles  []execution.InputFile
		fieldErrors []contract.FieldError
		size        int
		seen        = map[string]bool{}
	)
	for i, f := range files {
		if reason := agent.CheckFilePath(f.Path, execution.MaxInputPathBytes); reason != "" {
			fieldErrors = append(fieldErrors, fieldError(fmt.Sprintf("files.%d.path", i), reason))
		} else if seen[f.Path] {
			fieldErrors = append(fieldErrors, fieldError(fmt.Sprintf("files.%d.path", i), "is repeated"))
		}
		seen[f.Path] = true
		input, field, reason := parseInputContent(f)
		if reason != "" {
			fieldErrors = append(fieldErrors, fieldError(fmt.Sprintf("files.%d.%s", i, field), reason))
		}
		if input.FileID == "" {
			size += len(f.Path) + len(input.Data)
		}
		inputFiles = append(inputFiles, input)
	}
	for i, f := range files {
		for dir := path.Dir(f.Path); dir != "." && dir != "/"; dir = path.Dir(dir) {
			if seen[dir] {
				fieldErrors = append(fieldErrors, fieldError(fmt.Sprintf("files.%d.path", i), fmt.Sprintf("is below %q, which is a file", dir)))
			}
		}
	}
	if err := invalidFields(fieldErrors); err != nil {
		return nil, err
	}
	if size > execution.MaxInputFilesBytes {
		return nil, &contentTooLargeError{
			detail: fmt.Sprintf("The files have %d bytes; at most %d are accepted in a request. Upload larger ones with POST /files, and name them by fileId.",
				size, execution.MaxInputFilesBytes),
			fields: []contract.FieldError{fieldError("files", fmt.Sprintf("must have at most %d bytes together", execution.MaxInputFilesBytes))},
		}
	}
	return inputFiles, nil
}

// parseInputContent reads what says the content of an input file: the content itself, or the ID of an uploaded file. A
// reason says what is wrong with a field.
func parseInputContent(f contract.InputFile) (input execution.InputFile, field, reason string) {
	input = execution.InputFile{Path: f.Path, FileID: f.FileId}
	switch {
	case f.Content != nil && f.FileId != "":
		return input, "fileId", "must be absent if there is content"
	case f.Content == nil && f.FileId == "":
		return input, "content", "is required, or fileId of an uploaded file"
	case f.FileId != "" && f.Encoding != "":
		return input, "encoding", "must be absent if there is no content"
	case f.FileId != "" && !id.Valid(id.File, f.FileId):
		return input, "fileId", noSuchFile
	case f.FileId != "":
		return input, "", ""
	}
	input.Data = []byte(*f.Content)
	if f.Encoding == contract.Base64 {
		var err error
		if input.Data, err = base64.StdEncoding.DecodeString(*f.Content); err != nil {
			return input, "content", "is not base64"
		}
	}
	return input, "", ""
}

const noSuchFile = "is not a file of the tenant; it may have been deleted, or have expired"

// explainMissing says which field of a submission names a file or an environment that the tenant does not have. It
// returns other errors unchanged.
func explainMissing(err error, inputFiles []execution.InputFile) error {
	var missing *store.MissingFilesError
	if !errors.As(err, &missing) {
		return explainMissingEnvironment(err)
	}
	var fieldErrors []contract.FieldError
	for i, f := range inputFiles {
		if slices.Contains(missing.IDs, f.FileID) {
			fieldErrors = append(fieldErrors, fieldError(fmt.Sprintf("files.%d.fileId", i), noSuchFile))
		}
	}
	return invalidFields(fieldErrors)
}
