package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Error returns what the server says about the problem.
func (p *Problem) Error() string {
	if p.Code == "" {
		return p.Title
	}
	return fmt.Sprintf("%s (%s)", p.Detail, p.Code)
}

// IsNotFound reports whether err says that a resource does not exist.
func IsNotFound(err error) bool {
	var p *Problem
	return errors.As(err, &p) && p.Status == http.StatusNotFound
}

// IsTranscriptDeleted reports whether err says that there is no transcript any more, because its retention is over.
func IsTranscriptDeleted(err error) bool {
	var p *Problem
	return errors.As(err, &p) && p.Code == ProblemTranscriptDeleted
}

// maxProblemBytes bounds how much of an error response is read.
const maxProblemBytes = 1 << 20

// parseProblem reads an error response. A response that is not in Airlock's format comes from a proxy or another
// server; the Problem then has only a status and a title.
func parseProblem(res *http.Response) *Problem {
	p := new(Problem)
	err := json.NewDecoder(io.LimitReader(res.Body, maxProblemBytes)).Decode(p)
	if err != nil || p.Code == "" {
		p = &Problem{Title: fmt.Sprintf("%s %s: the server answered %s", res.Request.Method, res.Request.URL.Path, res.Status)}
	}
	p.Status = res.StatusCode
	return p
}
