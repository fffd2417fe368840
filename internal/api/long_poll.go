package api

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/contract"
)

// maxWait bounds a long poll.
const maxWait = time.Minute

// maxPollReadsPerSecond bounds the reads of one process by all that wait for a change.
const maxPollReadsPerSecond = 500

var errShuttingDown = errors.New("the server is shutting down")

// pollInterval is how often a watched execution is read without a signal, so it is the delay that a lost signal causes:
// 2 s, or longer if very many wait.
func (s *Server) pollInterval() time.Duration {
	return max(2*time.Second, time.Duration(s.watchers.Len())*time.Second/maxPollReadsPerSecond)
}

// waitForChange returns nil when it is time to read a watched execution again: after a signal, or at the latest after
// timeout. It returns errShuttingDown when the server shuts down, the error of the request's context when the client
// has disconnected, and another error as soon as the client's credentials are not valid any more. Every response that
// waits does so here or in waitForEither.
func (s *Server) waitForChange(c echo.Context, notified <-chan struct{}, timeout time.Duration) error {
	_, err := s.waitForEither(c, notified, nil, timeout)
	return err
}

// waitForEither is waitForChange for two reasons to go on. It reports whether it was other that has received, or was
// closed.
func (s *Server) waitForEither(c echo.Context, notified, other <-chan struct{}, timeout time.Duration) (wasOther bool, err error) {
	for {
		changed := true
		step := min(timeout, reauthenticateInterval)
		timeout -= step
		select {
		case <-notified:
		case <-other:
			wasOther = true
		case <-time.After(step):
			changed = timeout <= 0
		case <-s.shutdown:
			return false, errShuttingDown
		case <-c.Request().Context().Done():
			return false, c.Request().Context().Err()
		}
		if err := s.reauthenticate(c); err != nil || changed {
			return wasOther, err
		}
	}
}

// endsQuietly reports whether a stream that was interrupted in waitForChange ends without an error: the client has
// disconnected, or it reconnects and continues after the last item.
func endsQuietly(c echo.Context, err error) bool {
	return errors.Is(err, errShuttingDown) || c.Request().Context().Err() != nil
}

// requestedWait returns how long a request wants to wait for the end of an execution. applied is the value of
// Preference-Applied; empty if the request has no preference.
func requestedWait(params contract.GetExecutionParams, header http.Header) (d time.Duration, applied string, err error) {
	if params.Wait != "" {
		if d, err = time.ParseDuration(params.Wait); err != nil || d < 0 || d > maxWait {
			return 0, "", invalidField("wait", "must be a duration up to 60s, such as 30s")
		}
		return d, "", nil
	}
	if d, ok := preferredWait(header.Values(headerPrefer)); ok {
		return d, fmt.Sprintf("wait=%d", int(d.Seconds())), nil
	}
	return 0, "", nil
}

// preferredWait finds wait=N among preferences (RFC 7240). It ignores a malformed one: a preference is never an error.
func preferredWait(preferences []string) (time.Duration, bool) {
	for _, header := range preferences {
		for preference := range strings.SplitSeq(header, ",") {
			preference, _, _ = strings.Cut(preference, ";")
			name, value, _ := strings.Cut(preference, "=")
			if !strings.EqualFold(strings.TrimSpace(name), "wait") {
				continue
			}
			seconds, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 31)
			if err != nil {
				return 0, false
			}
			return min(time.Duration(seconds)*time.Second, maxWait), true
		}
	}
	return 0, false
}
