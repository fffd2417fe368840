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
)

const (
	// maxBatch bounds the lines of a batch together, in bytes, after decompression.
	maxBatchBytes = 256 << 20
	// shownErrors is how many wrong lines are named before the rest is not read.
	maxLineErrors = 20
)

var errLineTooLong = errors.New("line too long")

// lines reads one input a line from a request's body.
type lineReader struct {
	body *bufio.Reader
}

// readLines looks at the headers of a request of JSON Lines.
func newLineReader(c echo.Context) (*lineReader, error) {
	r := c.Request()
	mediaType, _, err := mime.ParseMediaType(r.Header.Get(echo.HeaderContentType))
	if err != nil || mediaType != mediaTypeJSONLines && mediaType != "application/x-ndjson" {
		return nil, &problem{Status: http.StatusUnsupportedMediaType, Code: contract.ProblemUnsupportedMediaType,
			Detail: "Send one input a line, with the header Content-Type: application/jsonl."}
	}
	var body io.Reader = http.MaxBytesReader(c.Response(), r.Body, maxBatchBytes)
	switch encoding := r.Header.Get(echo.HeaderContentEncoding); encoding {
	case "":
	case "gzip":
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			return nil, invalidRequest(fieldError("body", "is not gzip, though Content-Encoding says so"))
		}
		// A few bytes of gzip can become any number of lines.
		body = http.MaxBytesReader(c.Response(), io.NopCloser(unzipped), maxBatchBytes)
	default:
		return nil, &problem{Status: http.StatusUnsupportedMediaType, Code: contract.ProblemUnsupportedMediaType,
			Detail: fmt.Sprintf("The Content-Encoding %q is not known; send gzip, or none.", encoding)}
	}
	return &lineReader{body: bufio.NewReaderSize(body, 64<<10)}, nil
}

// mediaLines is the media type of JSON Lines.
const mediaTypeJSONLines = "application/jsonl"

// each calls add for every input. Blank lines are passed over. All wrong lines
// are read, up to a bound, so that they can be mended at once.
func (l *lineReader) forEach(add func(batch.Input) error) error {
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
		if len(line) == 0 && number <= 2*batch.MaxInputs { // gzip makes any number of them of nothing
			continue
		}
		if count++; count > batch.MaxInputs || len(line) == 0 {
			return &problem{Status: http.StatusRequestEntityTooLarge, Code: contract.ProblemContentTooLarge,
				Detail: fmt.Sprintf("A batch has at most %d inputs. Send several.", batch.MaxInputs)}
		}
		text, reason := decodeLine(line)
		if reason != "" {
			fieldErrors = append(fieldErrors, fieldError(fmt.Sprintf("line %d", number), reason))
			continue
		}
		if len(fieldErrors) > 0 {
			continue // nothing of it will be kept
		}
		if err := add(batch.Input{Text: text}); err != nil {
			return err
		}
	}
	switch {
	case len(fieldErrors) > 0:
		return invalidRequest(fieldErrors...)
	case count == 0:
		return invalidRequest(fieldError("body", "must hold at least one line"))
	default:
		return nil
	}
}

// next returns the next line without its end and without blanks around it.
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

// decodeLine returns the input of a line, or what is wrong with it.
func decodeLine(line []byte) (text, reason string) {
	var object struct {
		Input string `json:"input"`
	}
	var err error
	if line[0] == '"' {
		err = json.Unmarshal(line, &object.Input)
	} else {
		err = json.Unmarshal(line, &object, json.RejectUnknownMembers(true))
	}
	if err != nil {
		return "", `must be a JSON string, or an object such as {"input": "…"}`
	}
	var p *problem
	if errors.As(checkText("input", object.Input), &p) {
		return "", p.Errors[0].Field + " " + p.Errors[0].Detail
	}
	return object.Input, ""
}

func lineReadError(err error, number int) error {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge), errors.Is(err, errLineTooLong):
		return &problem{Status: http.StatusRequestEntityTooLarge, Code: contract.ProblemContentTooLarge,
			Detail: fmt.Sprintf("Line %d passes a limit: a line has at most %d bytes, and a batch %d.", number, maxBodyBytes, maxBatchBytes)}
	default:
		return invalidRequest(fieldError(fmt.Sprintf("line %d", number), "cannot be read: the body broke off, or is not gzip"))
	}
}
