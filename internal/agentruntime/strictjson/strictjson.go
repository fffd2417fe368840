// Package strictjson reads JSON that comes out of a sandbox. It accepts only documents that every reader interprets in
// the same way: a single document, in valid UTF-8, without duplicate names, and nested at most MaxDepth levels, so that
// no reader runs out of stack. It never repairs a document.
package strictjson

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// MaxDepth is the largest number of nested arrays and objects.
const MaxDepth = 128

// Errors of Validate and Unmarshal.
var (
	ErrTooDeep   = fmt.Errorf("the JSON has more than %d nested levels", MaxDepth)
	ErrMalformed = errors.New("not one JSON document")
)

// Validate returns an error if data is not such a document. It needs little memory, whatever the data. Options can
// relax the checks.
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
				return fmt.Errorf("%w: there is more data after its end", ErrMalformed)
			}
			return nil
		}
	}
}

// Unmarshal reads such a document into v. It skips fields that v does not have. Names are case-sensitive.
func Unmarshal(data []byte, v any, opts ...jsontext.Options) error {
	if err := Validate(data, opts...); err != nil {
		return err
	}
	if err := json.Unmarshal(data, v, opts...); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}
