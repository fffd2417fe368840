package gateway

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// requestInfo is what the gateway has to know about a request body.
type requestInfo struct {
	model     string
	maxTokens int64 // the most output tokens; at most maxOutputTokens
	bytes     int64
	stream    bool // the response is to be a stream
}

// maxOutputTokens bounds the limit that a request sets, which may be any number. No model writes more in one response.
const maxOutputTokens = 1 << 20

// inlineSources are the kinds of sources that contain their data.
var inlineSources = []string{"base64", "text", "content"}

// inspect decides whether a request body is allowed. It reads the body once, from front to back, and builds nothing
// from it, so that a body costs little more memory than its bytes. The decoder rejects duplicate names and invalid
// UTF-8, which two readers could interpret differently.
func inspect(body []byte, spec apiSpec) (requestInfo, error) {
	in := inspector{
		jsonReader: jsonReader{dec: jsontext.NewDecoder(bytes.NewBuffer(body))},
		spec:       spec, info: requestInfo{bytes: int64(len(body))},
	}
	if err := in.request(); err != nil {
		var denied denialError
		if errors.As(err, &denied) {
			return requestInfo{}, denied
		}
		return requestInfo{}, invalidRequest("the request is not a single, unambiguous JSON object")
	}
	if in.info.model == "" {
		return requestInfo{}, invalidRequest("the request has no model")
	}
	if in.info.maxTokens == 0 {
		in.info.maxTokens = spec.defaultMaxTokens
	}
	in.info.maxTokens = min(in.info.maxTokens, maxOutputTokens)
	return in.info, nil
}

// inspector reads one request body.
type inspector struct {
	jsonReader
	spec apiSpec
	info requestInfo
}

func (in *inspector) request() error {
	err := in.object(func(name string) error {
		switch {
		case !slices.Contains(in.spec.parameters, name):
			return forbidden("the parameter " + quote(name) + " is not allowed")
		case name == "model":
			return in.readString(&in.info.model)
		case name == in.spec.maxTokensField:
			return in.maxTokens()
		case name == "stream":
			return in.stream()
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

func (in *inspector) maxTokens() error {
	err := in.readCountOrNull(&in.info.maxTokens)
	if errors.Is(err, errNotCount) {
		return invalidRequest(in.spec.maxTokensField + " must be an integer of at least 0")
	}
	return err
}

func (in *inspector) stream() error {
	err := in.readBoolOrNull(&in.info.stream)
	if errors.Is(err, errUnexpectedJSON) {
		return invalidRequest("stream must be true or false")
	}
	return err
}

func (in *inspector) tool() error {
	kind := ""
	err := in.object(func(name string) error {
		switch name {
		case "type":
			return in.readStringOrNull(&kind)
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

// content inspects messages and their blocks at any depth. It skips the input of tool calls, which is the agent's own
// data.
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
		// An object with only an ID refers to an item that is stored at the provider. It may belong to another tenant,
		// because all use the operator's key.
		if err == nil && (kind == "item_reference" || hasID && kind == "") {
			return forbidden("items stored at the provider are not allowed")
		}
		return err
	default:
		return in.skip()
	}
}

// readKind reads the type or the role of an object. If it has both, item_reference takes precedence.
func (in *inspector) readKind(kind *string) error {
	if in.dec.PeekKind() != jsontext.KindString {
		return in.content()
	}
	value := ""
	if err := in.readString(&value); err != nil {
		return err
	}
	if *kind != "item_reference" {
		*kind = value
	}
	return nil
}

// image allows only an image that contains its data.
func (in *inspector) image() error {
	if in.dec.PeekKind() == jsontext.KindNull {
		return in.skip()
	}
	imageURL := ""
	if err := in.readString(&imageURL); err != nil {
		return err
	}
	if !strings.HasPrefix(imageURL, "data:") {
		return forbidden("sources by URL or file are not allowed")
	}
	return nil
}

func (in *inspector) source() error {
	if in.dec.PeekKind() != jsontext.KindBeginObject {
		return in.skip() // the source of a search result is a string, which the provider does not fetch
	}
	kind := ""
	err := in.object(func(name string) error {
		switch name {
		case "type":
			return in.readString(&kind)
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

const maxQuoteSize = 100 // bytes

// quote quotes a name from a request for an error message, and truncates it.
func quote(name string) string {
	if len(name) > maxQuoteSize {
		name = strings.ToValidUTF8(name[:maxQuoteSize], "") + "…"
	}
	return "\"" + name + "\""
}
