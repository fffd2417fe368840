package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Error says what the server refused, in its own words.
func (p *Problem) Error() string {
	if p.Code == "" {
		return p.Title
	}
	return fmt.Sprintf("%s (%s)", p.Detail, p.Code)
}

// IsNotFound reports whether err says that there is no such resource.
func IsNotFound(err error) bool {
	var p *Problem
	return errors.As(err, &p) && p.Status == http.StatusNotFound
}

// maxProblem bounds what is read of a refusal, in bytes.
const maxProblemBytes = 1 << 20

// problemOf reads a refusal. One that is not in the form of Airlock's comes
// from something else in between, and has a status and a title only.
func parseProblem(res *http.Response) *Problem {
	p := new(Problem)
	err := json.NewDecoder(io.LimitReader(res.Body, maxProblemBytes)).Decode(p)
	if err != nil || p.Code == "" {
		p = &Problem{Title: fmt.Sprintf("%s %s was answered %s", res.Request.Method, res.Request.URL.Path, res.Status)}
	}
	p.Status = res.StatusCode
	return p
}
