package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"github.com/airlock-run/airlock/client"
)

// addFilesToLines returns the lines of a batch, each with these files in addition to its own. The caller closes it.
func addFilesToLines(lines io.Reader, files []client.InputFile) io.ReadCloser {
	reader, writer := io.Pipe()
	go func() { // ends with the lines, or when the reader is closed
		buffered := bufio.NewReader(lines)
		for {
			line, err := buffered.ReadBytes('\n')
			if line = bytes.TrimSpace(line); len(line) > 0 {
				if _, writeErr := writer.Write(append(addFilesToLine(line, files), '\n')); writeErr != nil {
					return
				}
			}
			switch {
			case errors.Is(err, io.EOF):
				_ = writer.Close() // always nil
				return
			case err != nil:
				_ = writer.CloseWithError(err) // always nil
				return
			}
		}
	}()
	return reader
}

// addFilesToLine adds files to a line. A line that is neither a text nor an object with an input stays as it is: the
// server says what is wrong with it.
func addFilesToLine(line []byte, files []client.InputFile) []byte {
	var object struct {
		Input json.RawMessage    `json:"input"`
		Files []client.InputFile `json:"files"`
	}
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	switch {
	case line[0] == '"' && json.Valid(line):
		object.Input = line
	case decoder.Decode(&object) != nil || object.Input == nil:
		return line
	}
	object.Files = append(object.Files, files...)
	encoded, err := json.Marshal(object)
	if err != nil {
		return line
	}
	return encoded
}
