// Package contracttest tests a server against the contract.
//
// In: the contract, and the responses of a server. Out: an error for a response that the contract does not have, and
// random requests that the contract has, or almost has. It is for tests only.
package contracttest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"strings"
	"sync"

	"github.com/airlock-run/airlock/internal/api/contract"
)

// Transport is http.DefaultTransport, but fails if the contract does not have the response. It does not check the body
// of a stream.
type Transport struct{}

// RoundTrip sends a request and checks the response.
func (Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return res, err
	}
	name, op := FindOperation(r.Method, r.URL.Path)
	media, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if media != "application/json" && media != "application/problem+json" {
		return res, checkResponse(name, op, res, nil)
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close() // the error of the read counts
	if err != nil {
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res, checkResponse(name, op, res, body)
}

// FindOperation returns the operation of a request and its name; nil if the contract has none.
func FindOperation(method, path string) (string, *contract.Operation) {
	for name, pattern := range pathPatterns() {
		if verb, _, _ := strings.Cut(name, " "); verb == method && pattern.MatchString(path) {
			return name, contract.Operations()[name]
		}
	}
	return "", nil
}

var pathParameter = regexp.MustCompile(`\\\{[a-zA-Z]+\\\}`)

// pathPatterns match the paths of the operations.
var pathPatterns = sync.OnceValue(func() map[string]*regexp.Regexp {
	byName := map[string]*regexp.Regexp{}
	for name := range contract.Operations() {
		_, path, _ := strings.Cut(name, " ")
		form := strings.ReplaceAll(regexp.QuoteMeta(path), `\{path\}`, ".+") // its slashes may be unescaped
		byName[name] = regexp.MustCompile("^" + pathParameter.ReplaceAllString(form, "[^/]+") + "$")
	}
	return byName
})

// checkResponse returns what is wrong with a response. A request outside the contract may only get 404 or 405.
func checkResponse(name string, op *contract.Operation, res *http.Response, body []byte) error {
	if op == nil {
		if res.StatusCode != http.StatusNotFound && res.StatusCode != http.StatusMethodNotAllowed && res.StatusCode >= 400 {
			return fmt.Errorf("%s %s is not in the contract, but the response has status %d", res.Request.Method, res.Request.URL.Path, res.StatusCode)
		}
		return nil
	}
	response, ok := op.Responses[res.StatusCode]
	if !ok {
		return fmt.Errorf("%s: the contract does not have status %d: %s", name, res.StatusCode, body)
	}
	media, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	schema, ok := response[media]
	if len(response) > 0 && !ok {
		return fmt.Errorf("%s: for status %d the contract does not have the media type %q", name, res.StatusCode, media)
	}
	if schema == nil {
		return nil
	}
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		return fmt.Errorf("%s: the body with status %d is not JSON: %w", name, res.StatusCode, err)
	}
	if err := schema.Validate(value); err != nil {
		return fmt.Errorf("%s: the body with status %d does not match the contract: %w\n%s", name, res.StatusCode, err, body)
	}
	return nil
}
