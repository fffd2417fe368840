// Package contracttest holds the answers of a server against the contract, in tests.
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

// Transport is http.DefaultTransport, which fails where an answer is not one
// that the contract has for its request. It leaves alone what is streamed.
type Transport struct{}

// RoundTrip sends a request and checks what comes back.
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
	_ = res.Body.Close() // it has been read to its end, or not
	if err != nil {
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res, checkResponse(name, op, res, body)
}

// Find returns the operation that a request is for, and its name; nil where
// the contract has none.
func FindOperation(method, path string) (string, *contract.Operation) {
	for name, pattern := range pathPatterns() {
		if verb, _, _ := strings.Cut(name, " "); verb == method && pattern.MatchString(path) {
			return name, contract.Operations()[name]
		}
	}
	return "", nil
}

var pathParameter = regexp.MustCompile(`\\\{[a-zA-Z]+\\\}`)

// forms are what the paths of the operations look like.
var pathPatterns = sync.OnceValue(func() map[string]*regexp.Regexp {
	byName := map[string]*regexp.Regexp{}
	for name := range contract.Operations() {
		_, path, _ := strings.Cut(name, " ")
		form := strings.ReplaceAll(regexp.QuoteMeta(path), `\{path\}`, ".+") // whose slashes may stand as they are
		byName[name] = regexp.MustCompile("^" + pathParameter.ReplaceAllString(form, "[^/]+") + "$")
	}
	return byName
})

// check returns what is wrong with an answer. What the contract does not know
// can only be refused, with a problem.
func checkResponse(name string, op *contract.Operation, res *http.Response, body []byte) error {
	if op == nil {
		if res.StatusCode != http.StatusNotFound && res.StatusCode != http.StatusMethodNotAllowed && res.StatusCode >= 400 {
			return fmt.Errorf("%s %s is not in the contract and answers %d", res.Request.Method, res.Request.URL.Path, res.StatusCode)
		}
		return nil
	}
	response, ok := op.Responses[res.StatusCode]
	if !ok {
		return fmt.Errorf("%s answers %d, which the contract does not have: %s", name, res.StatusCode, body)
	}
	media, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	schema, ok := response[media]
	if len(response) > 0 && !ok {
		return fmt.Errorf("%s answers %d as %q, which the contract does not have", name, res.StatusCode, media)
	}
	if schema == nil {
		return nil
	}
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		return fmt.Errorf("%s answers %d with what is no JSON: %w", name, res.StatusCode, err)
	}
	if err := schema.Validate(value); err != nil {
		return fmt.Errorf("%s answers %d with what the contract does not have: %w\n%s", name, res.StatusCode, err, body)
	}
	return nil
}
