package api

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// pace is how fast a body has to arrive in the long run, in bytes a second.
const minBodyRate = 16 << 10

// paced has bodies arrive at a pace. Only the reading of a body has a deadline:
// one for the whole connection would end long polls.
func (s *Server) limitBodyTime(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if r.Body == nil || r.Body == http.NoBody {
			return next(c)
		}
		b := &timedBody{ReadCloser: r.Body, controller: http.NewResponseController(c.Response()), remaining: s.config.Limits.clientTimeout()}
		b.setDeadline(time.Now()) // also where nobody reads it: the server then does, in part
		r.Body = b
		return next(c)
	}
}

// body is a request's body that arrives at a pace: its sender has the server's
// patience, and more for what has arrived. What the server itself takes
// between two readings is not counted.
type timedBody struct {
	io.ReadCloser
	controller *http.ResponseController
	remaining  time.Duration
}

func (b *timedBody) Read(p []byte) (int, error) {
	began := time.Now()
	b.setDeadline(began)
	n, err := b.ReadCloser.Read(p)
	b.remaining += time.Duration(n)*time.Second/minBodyRate - time.Since(began)
	if errors.Is(err, io.EOF) {
		_ = b.controller.SetReadDeadline(time.Time{})
	}
	return n, err
}

func (b *timedBody) setDeadline(now time.Time) {
	_ = b.controller.SetReadDeadline(now.Add(b.remaining)) // not supported by tests' recorders, which need none
}
