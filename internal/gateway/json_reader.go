package gateway

import (
	"errors"

	"github.com/go-json-experiment/json/jsontext"
)

// maxJSONTokens bounds the JSON tokens of a body. The decoder remembers the names of every open object, which took
// 500 MiB for a body of 32 MiB with short names. The requests of agents have a few thousand tokens.
const maxJSONTokens = 1 << 19

var (
	errUnexpectedJSON = errors.New("unexpected JSON")
	errNotCount       = errors.New("not a non-negative integer")
)

// jsonReader walks through a JSON document token by token. It returns errUnexpectedJSON if a value has another type
// than the one that is read.
type jsonReader struct {
	dec    *jsontext.Decoder // reads the body in place
	tokens int
}

func (r *jsonReader) next() (jsontext.Token, error) {
	if r.tokens++; r.tokens > maxJSONTokens {
		return jsontext.Token{}, invalidRequest("the request has too many JSON tokens")
	}
	return r.dec.ReadToken()
}

// skip reads a value of any type and ignores it.
func (r *jsonReader) skip() error {
	for depth := r.dec.StackDepth(); ; {
		if _, err := r.next(); err != nil {
			return err
		}
		if r.dec.StackDepth() <= depth {
			return nil
		}
	}
}

// object reads an object. It calls field after each name; field must read the value.
func (r *jsonReader) object(field func(name string) error) error {
	if r.dec.PeekKind() != jsontext.KindBeginObject {
		return errUnexpectedJSON
	}
	if _, err := r.next(); err != nil {
		return err
	}
	for r.dec.PeekKind() != jsontext.KindEndObject {
		name, err := r.next()
		if err != nil {
			return err
		}
		if err := field(name.String()); err != nil {
			return err
		}
	}
	_, err := r.next()
	return err
}

// array reads an array. It calls element before each element; element must read it.
func (r *jsonReader) array(element func() error) error {
	if r.dec.PeekKind() != jsontext.KindBeginArray {
		return errUnexpectedJSON
	}
	if _, err := r.next(); err != nil {
		return err
	}
	for r.dec.PeekKind() != jsontext.KindEndArray {
		if err := element(); err != nil {
			return err
		}
	}
	_, err := r.next()
	return err
}

func (r *jsonReader) readString(to *string) error {
	if r.dec.PeekKind() != jsontext.KindString {
		return errUnexpectedJSON
	}
	return r.readStringOrNull(to)
}

func (r *jsonReader) readStringOrNull(to *string) error {
	token, err := r.next()
	switch {
	case err != nil:
		return err
	case token.Kind() == jsontext.KindString:
		*to = token.String()
		return nil
	case token.Kind() == jsontext.KindNull:
		return nil
	default:
		return errUnexpectedJSON
	}
}

func (r *jsonReader) readBoolOrNull(to *bool) error {
	token, err := r.next()
	switch {
	case err != nil:
		return err
	case token.Kind() == jsontext.KindTrue, token.Kind() == jsontext.KindFalse:
		*to = token.Bool()
		return nil
	case token.Kind() == jsontext.KindNull:
		return nil
	default:
		return errUnexpectedJSON
	}
}

// readCountOrNull reads an integer of at least 0. It returns errNotCount for another number.
func (r *jsonReader) readCountOrNull(to *int64) error {
	token, err := r.next()
	switch {
	case err != nil:
		return err
	case token.Kind() == jsontext.KindNull:
		return nil
	case token.Kind() != jsontext.KindNumber:
		return errUnexpectedJSON
	}
	if *to, err = token.Int(); err != nil || *to < 0 {
		return errNotCount
	}
	return nil
}
