package api

import (
	"encoding/base64"
	"fmt"
	"path"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// parseInputFiles reads the input files of a run and reports every wrong one.
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
		data := []byte(f.Content)
		if f.Encoding == contract.Base64 {
			var err error
			if data, err = base64.StdEncoding.DecodeString(f.Content); err != nil {
				fieldErrors = append(fieldErrors, fieldError(fmt.Sprintf("files.%d.content", i), "is not base64"))
			}
		}
		size += len(f.Path) + len(data)
		inputFiles = append(inputFiles, execution.InputFile{Path: f.Path, Data: data})
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
			detail: fmt.Sprintf("The files have %d bytes; at most %d are accepted.", size, execution.MaxInputFilesBytes),
			fields: []contract.FieldError{fieldError("files", fmt.Sprintf("must have at most %d bytes together", execution.MaxInputFilesBytes))},
		}
	}
	return inputFiles, nil
}
