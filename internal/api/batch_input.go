package api

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

const (
	// maxBatchBytes bounds the body of a batch, compressed and decompressed.
	maxBatchBytes = 256 << 20
	// maxLineErrors is how many wrong lines are reported before the rest is ignored.
	maxLineErrors = 20

	mediaTypeJSONLines = "application/jsonl"
)

var errLineTooLong = errors.New("line too long")

// lineReader reads the inputs of a batch, one per line, from the body of a request.
type lineReader struct {
	body *bufio.Reader
}

// newLineReader checks the headers of a request whose body is JSON Lines.
func newLineReader(c echo.Context) (*lineReader, error) {
	r := c.Request()
	mediaType, _, err := mime.ParseMediaType(r.Header.Get(echo.HeaderContentType))
	if err != nil || mediaType != mediaTypeJSONLines && mediaType != "application/x-ndjson" {
		return nil, &unsupportedMediaTypeError{"Send one input per line, with the header Content-Type: application/jsonl."}
	}
	var body io.Reader = http.MaxBytesReader(c.Response(), r.Body, maxBatchBytes)
	switch encoding := r.Header.Get(echo.HeaderContentEncoding); encoding {
	case "":
	case "gzip":
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			return nil, invalidField("body", "is not gzip, but Content-Encoding says so")
		}
		// A few bytes of gzip can become any number of lines.
		body = http.MaxBytesReader(c.Response(), io.NopCloser(unzipped), maxBatchBytes)
	default:
		return nil, &unsupportedMediaTypeError{fmt.Sprintf("The Content-Encoding %q is not supported; send gzip, or none.", encoding)}
	}
	return &lineReader{body: bufio.NewReaderSize(body, 64<<10)}, nil
}

// forEach calls add for every input and skips blank lines. It reports all wrong lines, up to maxLineErrors, so that a
// client can fix them at once.
func (l *lineReader) forEach(add func(batch.Input) error, resolve fileResolver) error {
	var fieldErrors []contract.FieldError
	count := 0
	for number := 1; len(fieldErrors) < maxLineErrors; number++ {
		line, err := l.readLine()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return lineReadError(err, number)
		}
		if len(line) == 0 && number <= 2*batch.MaxInputs { // gzip can make any number of blank lines
			continue
		}
		if count++; count > batch.MaxInputs || len(line) == 0 {
			return &contentTooLargeError{detail: fmt.Sprintf("A batch has at most %d inputs. Send several batches.", batch.MaxInputs)}
		}
		input, reason, err := decodeLine(line, resolve)
		if err != nil {
			return err
		}
		if reason != "" {
			fieldErrors = append(fieldErrors, fieldError(fmt.Sprintf("line %d", number), reason))
			continue
		}
		if len(fieldErrors) > 0 {
			continue // the batch is rejected; the rest is only checked
		}
		if err := add(input); err != nil {
			return err
		}
	}
	if len(fieldErrors) == 0 && count == 0 {
		return invalidField("body", "must contain at least one line")
	}
	return invalidFields(fieldErrors)
}

// readLine returns the next line without the white space around it.
func (l *lineReader) readLine() ([]byte, error) {
	var line []byte
	for {
		part, err := l.body.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxBodyBytes:
			return nil, errLineTooLong
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(line) > 0:
			return bytes.TrimSpace(line), nil
		case err != nil:
			return nil, err
		default:
			return bytes.TrimSpace(line), nil
		}
	}
}

// fileResolver returns the content of an uploaded file; nil if the tenant has no such file.
type fileResolver func(fileID string) (*execution.Content, error)

// decodeLine returns the input of a line, or what is wrong with the line. An error is one of the resolver.
func decodeLine(line []byte, resolve fileResolver) (input batch.Input, reason string, err error) {
	var object struct {
		Input string               `json:"input"`
		Files []contract.InputFile `json:"files"`
	}
	if line[0] == '"' {
		err = json.Unmarshal(line, &object.Input)
	} else {
		err = json.Unmarshal(line, &object, json.RejectUnknownMembers(true))
	}
	if err != nil {
		return input, `must be a JSON string, or an object such as {"input": "…"}`, nil
	}
	if err := checkText("input", object.Input); err != nil {
		return input, firstFieldError(err), nil
	}
	input.Text = object.Input
	if len(object.Files) > execution.MaxInputFiles {
		return input, fmt.Sprintf("files must have at most %d elements", execution.MaxInputFiles), nil
	}
	files, err := parseInputFiles(object.Files)
	if err != nil {
		return input, firstFieldError(err), nil
	}
	for i, f := range files {
		if f.FileID == "" {
			return input, fmt.Sprintf("files.%d.content is not accepted in a batch; upload the file with POST /files, and name it by fileId", i), nil
		}
		content, err := resolve(f.FileID)
		if err != nil {
			return input, "", err
		}
		if content == nil {
			return input, fmt.Sprintf("files.%d.fileId %s", i, noSuchFile), nil
		}
		input.Files = append(input.Files, execution.File{Path: f.Path, FileID: f.FileID, Content: *content})
	}
	return input, "", nil
}

func firstFieldError(err error) string {
	first := problemFor(err).Errors[0]
	return first.Field + " " + first.Detail
}

func lineReadError(err error, number int) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) || errors.Is(err, errLineTooLong) {
		return &contentTooLargeError{detail: fmt.Sprintf(
			"Line %d is too large: a line has at most %d bytes, a batch at most %d.", number, maxBodyBytes, maxBatchBytes)}
	}
	return invalidField(fmt.Sprintf("line %d", number), "cannot be read: the body is incomplete or not valid gzip")
}
