// Package strictjson reads JSON that comes out of a sandbox. It takes only what
// every reader understands alike: one document, in valid UTF-8, without a member
// that stands twice, and not so deep that a reader could run out of stack.
package strictjson

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// MaxDepth bounds how deeply a document may nest.
const MaxDepth = 128

// Errors of Check and Unmarshal.
var (
	ErrTooDeep   = fmt.Errorf("nested more than %d deep", MaxDepth)
	ErrMalformed = errors.New("not one JSON document")
)

// Check says whether data is such a document. It needs little memory besides,
// whatever it is given. Options may allow what is known to be harmless.
func Validate(data []byte, opts ...jsontext.Options) error {
	d := jsontext.NewDecoder(bytes.NewBuffer(data), opts...)
	for {
		switch _, err := d.ReadToken(); {
		case err != nil:
			return fmt.Errorf("%w: %w", ErrMalformed, err)
		case d.StackDepth() > MaxDepth:
			return ErrTooDeep
		case d.StackDepth() == 0:
			if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
				return fmt.Errorf("%w: it goes on after its end", ErrMalformed)
			}
			return nil
		}
	}
}

// Unmarshal reads such a document into a value. Members that the value does not
// have are skipped; names are compared to the letter.
func Unmarshal(data []byte, v any, opts ...jsontext.Options) error {
	if err := Validate(data, opts...); err != nil {
		return err
	}
	if err := json.Unmarshal(data, v, opts...); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}
