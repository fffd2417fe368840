package api

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// pace is how fast a body has to arrive in the long run, in bytes a second.
const pace = 16 << 10

// paced has bodies arrive at a pace. Only the reading of a body has a deadline:
// one for the whole connection would end long polls.
func (s *Server) paced(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if r.Body == nil || r.Body == http.NoBody {
			return next(c)
		}
		b := &body{ReadCloser: r.Body, connection: http.NewResponseController(c.Response()), left: s.config.Limits.patience()}
		b.hurry(time.Now()) // also where nobody reads it: the server then does, in part
		r.Body = b
		return next(c)
	}
}

// body is a request's body that arrives at a pace: its sender has the server's
// patience, and more for what has arrived. What the server itself takes
// between two readings is not counted.
type body struct {
	io.ReadCloser
	connection *http.ResponseController
	left       time.Duration
}

func (b *body) Read(p []byte) (int, error) {
	began := time.Now()
	b.hurry(began)
	n, err := b.ReadCloser.Read(p)
	b.left += time.Duration(n)*time.Second/pace - time.Since(began)
	if errors.Is(err, io.EOF) {
		_ = b.connection.SetReadDeadline(time.Time{})
	}
	return n, err
}

func (b *body) hurry(now time.Time) {
	_ = b.connection.SetReadDeadline(now.Add(b.left)) // not supported by tests' recorders, which need none
}
