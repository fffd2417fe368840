package gateway

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// ask is what the gateway has to know of a request's body.
type requestInfo struct {
	model     string
	maxTokens int64
	bytes     int64
}

// inlineSources are the kinds of sources that carry their data with them.
var inlineSources = []string{"base64", "text", "content"}

// inspect reads a body once, from front to back, without building anything from
// it, so that a body costs little more memory than its bytes. The decoder refuses
// duplicate names and invalid UTF-8, on which two readers could disagree.
func inspect(body []byte, d apiSpec) (requestInfo, error) {
	in := inspector{spec: d, dec: jsontext.NewDecoder(bytes.NewBuffer(body)), info: requestInfo{bytes: int64(len(body))}}
	if err := in.request(); err != nil {
		var refused denialError
		if errors.As(err, &refused) {
			return requestInfo{}, refused
		}
		return requestInfo{}, invalidRequest("the request is not one JSON object that every reader would understand alike")
	}
	if in.info.model == "" {
		return requestInfo{}, invalidRequest("the request names no model")
	}
	return in.info, nil
}

type inspector struct {
	spec   apiSpec
	dec    *jsontext.Decoder // reads the body in place
	info   requestInfo
	tokens int
}

// mostTokens bounds the JSON tokens of a body: the decoder remembers the names
// of each open object, which came to 500 MiB for 32 MiB of short names. What
// agents send has a few thousand.
const maxJSONTokens = 1 << 19

var errUnexpectedJSON = errors.New("unexpected JSON")

func (in *inspector) next() (jsontext.Token, error) {
	if in.tokens++; in.tokens > maxJSONTokens {
		return jsontext.Token{}, invalidRequest("the request has too many parts")
	}
	return in.dec.ReadToken()
}

// skip reads over a value.
func (in *inspector) skip() error {
	for depth := in.dec.StackDepth(); ; {
		if _, err := in.next(); err != nil {
			return err
		}
		if in.dec.StackDepth() <= depth {
			return nil
		}
	}
}

func (in *inspector) request() error {
	err := in.object(func(name string) error {
		switch {
		case !slices.Contains(in.spec.parameters, name):
			return forbidden("the parameter " + quote(name) + " is not allowed")
		case name == "model":
			return in.text(&in.info.model)
		case name == in.spec.maxTokensField:
			return in.number(&in.info.maxTokens)
		case name == "tools":
			return in.array(in.tool)
		case slices.Contains(in.spec.contentFields, name):
			return in.content()
		default:
			return in.skip()
		}
	})
	if err != nil {
		return err
	}
	if _, err := in.next(); !errors.Is(err, io.EOF) {
		return errUnexpectedJSON
	}
	return nil
}

func (in *inspector) tool() error {
	kind := ""
	err := in.object(func(name string) error {
		switch name {
		case "type":
			return in.textOrNull(&kind)
		case "tools":
			return in.array(in.tool)
		default:
			return in.skip()
		}
	})
	if err == nil && !in.spec.isClientTool(kind) {
		return forbidden("the tool " + quote(kind) + " runs at the provider and is not allowed")
	}
	return err
}

// content looks through messages and their blocks at any depth, but not into
// the input of tool calls, which is the agent's own data.
func (in *inspector) content() error {
	switch in.dec.PeekKind() {
	case jsontext.KindBeginArray:
		return in.array(in.content)
	case jsontext.KindBeginObject:
		hasID, kind := false, ""
		err := in.object(func(name string) error {
			switch name {
			case "id":
				hasID = true
				return in.skip()
			case "type", "role":
				return in.readKind(&kind)
			case "input":
				return in.skip()
			case "file_id":
				return forbidden("files of the provider are not allowed")
			case "file_url":
				return forbidden("sources by URL or file are not allowed")
			case "image_url":
				return in.image()
			case "source":
				return in.source()
			default:
				return in.content()
			}
		})
		// A name alone stands for an item that is kept at the provider, perhaps of
		// somebody else who uses the operator's key.
		if err == nil && (kind == "item_reference" || hasID && kind == "") {
			return forbidden("items that are kept at the provider are not allowed")
		}
		return err
	default:
		return in.skip()
	}
}

// label reads what sort of thing an object is; of two labels one is enough.
func (in *inspector) readKind(kind *string) error {
	if in.dec.PeekKind() != jsontext.KindString {
		return in.content()
	}
	value := ""
	if err := in.text(&value); err != nil {
		return err
	}
	if *kind != "item_reference" {
		*kind = value
	}
	return nil
}

// image lets an image pass that carries its data with it.
func (in *inspector) image() error {
	if in.dec.PeekKind() == jsontext.KindNull {
		return in.skip()
	}
	imageURL := ""
	if err := in.text(&imageURL); err != nil {
		return err
	}
	if !strings.HasPrefix(imageURL, "data:") {
		return forbidden("sources by URL or file are not allowed")
	}
	return nil
}

func (in *inspector) source() error {
	if in.dec.PeekKind() != jsontext.KindBeginObject {
		return in.skip() // a search result's source is a string that nobody fetches
	}
	kind := ""
	err := in.object(func(name string) error {
		switch name {
		case "type":
			return in.text(&kind)
		case "content":
			return in.content()
		case "url", "file_id":
			return forbidden("sources by URL or file are not allowed")
		default:
			return in.skip()
		}
	})
	if err == nil && !slices.Contains(inlineSources, kind) {
		return forbidden("sources of type " + quote(kind) + " are not allowed")
	}
	return err
}

// object calls member for each name; it has to consume the value.
func (in *inspector) object(member func(name string) error) error {
	if in.dec.PeekKind() != jsontext.KindBeginObject {
		return errUnexpectedJSON
	}
	if _, err := in.next(); err != nil {
		return err
	}
	for in.dec.PeekKind() != jsontext.KindEndObject {
		name, err := in.next()
		if err != nil {
			return err
		}
		if err := member(name.String()); err != nil {
			return err
		}
	}
	_, err := in.next()
	return err
}

// array calls element for each; it has to consume it.
func (in *inspector) array(element func() error) error {
	if in.dec.PeekKind() != jsontext.KindBeginArray {
		return errUnexpectedJSON
	}
	if _, err := in.next(); err != nil {
		return err
	}
	for in.dec.PeekKind() != jsontext.KindEndArray {
		if err := element(); err != nil {
			return err
		}
	}
	_, err := in.next()
	return err
}

func (in *inspector) text(to *string) error {
	if in.dec.PeekKind() != jsontext.KindString {
		return errUnexpectedJSON
	}
	return in.textOrNull(to)
}

func (in *inspector) textOrNull(to *string) error {
	token, err := in.next()
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

func (in *inspector) number(to *int64) error {
	token, err := in.next()
	switch {
	case err != nil:
		return err
	case token.Kind() == jsontext.KindNull:
		return nil
	case token.Kind() != jsontext.KindNumber:
		return errUnexpectedJSON
	}
	if *to, err = token.Int(); err != nil || *to < 0 {
		return invalidRequest(in.spec.maxTokensField + " is not a count")
	}
	return nil
}

const maxQuoteSize = 100

// quote shows a name out of a request in an error, shortened.
func quote(name string) string {
	if len(name) > maxQuoteSize {
		name = strings.ToValidUTF8(name[:maxQuoteSize], "") + "…"
	}
	return "\"" + name + "\""
}
