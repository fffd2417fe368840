package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"github.com/cenkalti/backoff/v5"
)

// Transcript returns all that the agent of an execution said and did, one attempt after another. While the execution
// runs, that is what is stored so far; with follow it goes on until the execution has finished. After an interruption
// it continues with the next item. IsTranscriptDeleted says of the error that the transcript was deleted.
func (c *Client) Transcript(ctx context.Context, executionID string, follow bool) iter.Seq2[TranscriptItem, error] {
	return func(yield func(TranscriptItem, error) bool) {
		var offset int64
		all := stream[transcriptLine]{
			request: func() request {
				query := url.Values{}
				if follow {
					query = url.Values{"follow": {"true"}, "offset": {strconv.FormatInt(offset, 10)}}
				}
				return request{method: http.MethodGet, path: executionPath(executionID) + "/transcript", query: query}
			},
			decode:   func(body io.Reader) func() (transcriptLine, error) { return decodeTranscript(body, offset, follow) },
			received: func(l transcriptLine) { offset = l.end },
			complete: func() bool { return true }, // a response that is interrupted does not end properly
		}.items(ctx, c)
		for line, err := range all {
			if !yield(line.item, err) {
				return
			}
		}
	}
}

// transcriptLine is an item, and where its line ends in the transcript.
type transcriptLine struct {
	item TranscriptItem
	end  int64
}

// decodeTranscript reads the items of a response. Without follow a response starts with the first item, so those that
// end before offset are skipped.
func decodeTranscript(body io.Reader, offset int64, follow bool) func() (transcriptLine, error) {
	lines := bufio.NewReader(body)
	end := int64(0)
	if follow {
		end = offset
	}
	return func() (transcriptLine, error) {
		for {
			line, err := lines.ReadBytes('\n')
			if errors.Is(err, io.EOF) && len(line) > 0 {
				err = io.ErrUnexpectedEOF
			}
			if err != nil {
				return transcriptLine{}, err
			}
			if len(bytes.TrimSpace(line)) == 0 {
				continue // it keeps the connection open
			}
			if end += int64(len(line)); end <= offset {
				continue
			}
			l := transcriptLine{end: end}
			if err := json.Unmarshal(line, &l.item); err != nil {
				return l, backoff.Permanent(fmt.Errorf("cannot read an item of the transcript: %w", err))
			}
			return l, nil
		}
	}
}
