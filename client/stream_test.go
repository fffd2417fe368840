package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// fakeServer is a transport without a network, so that synctest can be used. It serves the results of a batch. Each
// response has as many results as its entry in responses says, and is then interrupted; a negative entry is a failure.
// After the last entry, the response has all other results.
type fakeServer struct {
	total     int
	responses []int
	closes    bool // the responses are closed instead of interrupted
	requests  []time.Time
}

// Failures that a fakeServer answers with.
const (
	forbidden   = -1
	unavailable = -2
	refused     = -3 // there is no connection
)

func (s *fakeServer) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.URL.Path, "/results") {
		return s.respond(r, http.StatusOK, strings.NewReader(fmt.Sprintf(`{"total":%d}`, s.total))), nil
	}
	s.requests = append(s.requests, time.Now())
	first := 0
	if after := r.URL.Query().Get("after"); after != "" {
		index, err := strconv.Atoi(after)
		if err != nil {
			return nil, err
		}
		first = index + 1
	}
	if len(s.responses) == 0 {
		return s.respond(r, http.StatusOK, strings.NewReader(s.results(first, s.total))), nil
	}
	n := s.responses[0]
	s.responses = s.responses[1:]
	switch n {
	case forbidden:
		return s.respond(r, http.StatusForbidden, strings.NewReader(`{"code":"forbidden","detail":"refused"}`)), nil
	case unavailable:
		return s.respond(r, http.StatusServiceUnavailable, strings.NewReader(`{"code":"unavailable","detail":"full"}`)), nil
	case refused:
		return nil, errors.New("connection refused")
	}
	results := strings.NewReader(s.results(first, first+n))
	if s.closes {
		return s.respond(r, http.StatusOK, results), nil
	}
	return s.respond(r, http.StatusOK, io.MultiReader(results, interrupted{})), nil
}

func (s *fakeServer) results(first, end int) string {
	var lines strings.Builder
	for i := first; i < end; i++ {
		fmt.Fprintf(&lines, `{"index":%d}`+"\n", i)
	}
	return lines.String()
}

func (s *fakeServer) respond(r *http.Request, status int, body io.Reader) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(body), Request: r}
}

// interrupted is a connection that breaks.
type interrupted struct{}

func (interrupted) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

// collect reads results until the end, an error, or the result with the index stop.
func (s *fakeServer) collect(ctx context.Context, t *testing.T, stop int) (got []int, failed error) {
	t.Helper()
	c, err := New("http://server", WithHTTPClient(&http.Client{Transport: s}))
	require.NoError(t, err)
	for r, err := range c.Results(ctx, "bat_1", true) {
		if err != nil {
			return got, err
		}
		if got = append(got, r.Index); r.Index == stop {
			break
		}
	}
	return got, nil
}

const never = -1

func TestStreamResumesWhileItMakesProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{total: 6, responses: []int{2, 1, 0, 0, 1, 1, 0, 1}}
		got, err := s.collect(t.Context(), t, never)
		require.NoError(t, err)
		require.Equal(t, []int{0, 1, 2, 3, 4, 5}, got)
		require.Len(t, s.requests, 9)
		for i, seconds := range []float64{2, 2, 4, 8, 2, 2, 4, 2} { // with jitter
			require.InDelta(t, seconds, s.requests[i+1].Sub(s.requests[i]).Seconds(), seconds/2)
		}
	})
}

func TestStreamStopsAfterMaxTriesWithoutProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{total: 1, responses: []int{0, 0, 0, 0, 1}}
		got, err := s.collect(t.Context(), t, never)
		require.ErrorIs(t, err, errStreamInterrupted)
		require.Empty(t, got)
		require.Len(t, s.responses, 1, "it was tried as often as a request is")
	})
}

// A server that is down refuses connections. The stream continues when it is back, and waits as after an interruption.
func TestStreamResumesAfterRefusedConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{total: 3, responses: []int{1, refused, unavailable, 1, refused, refused}}
		got, err := s.collect(t.Context(), t, never)
		require.NoError(t, err)
		require.Equal(t, []int{0, 1, 2}, got)
		require.Len(t, s.requests, 7)
		for i, seconds := range []float64{2, 4, 8, 2, 4, 8} { // with jitter
			require.InDelta(t, seconds, s.requests[i+1].Sub(s.requests[i]).Seconds(), seconds/2)
		}
	})
}

func TestStreamStopsAfterRefusedConnections(t *testing.T) {
	for response, want := range map[int]any{refused: new(*url.Error), unavailable: new(*Problem)} {
		synctest.Test(t, func(t *testing.T) {
			s := &fakeServer{total: 1, responses: slices.Repeat([]int{response}, maxTries+1)}
			got, err := s.collect(t.Context(), t, never)
			require.ErrorAs(t, err, want)
			require.Equal(t, response == refused, errors.Is(err, ErrUnreachable))
			require.Empty(t, got)
			require.Len(t, s.requests, maxTries)
			for i, seconds := range []float64{2, 4, 8} { // with jitter
				require.InDelta(t, seconds, s.requests[i+1].Sub(s.requests[i]).Seconds(), seconds/2)
			}
		})
	}
}

// A server that shuts down ends a response before the last result, without breaking the connection.
func TestStreamResumesAfterIncompleteResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{total: 2, responses: []int{1}, closes: true}
		got, err := s.collect(t.Context(), t, never)
		require.NoError(t, err)
		require.Equal(t, []int{0, 1}, got)
		require.Len(t, s.requests, 2)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestRefusalEndsStream(t *testing.T) {
	s := &fakeServer{total: 1, responses: []int{forbidden, 1}}
	got, err := s.collect(t.Context(), t, never)
	var refused *Problem
	require.ErrorAs(t, err, &refused)
	require.Equal(t, http.StatusForbidden, refused.Status)
	require.Empty(t, got)
	require.Len(t, s.requests, 1)
}

func TestStreamEndsWhenReaderStops(t *testing.T) {
	s := &fakeServer{total: 6, responses: []int{3, 3}}
	got, err := s.collect(t.Context(), t, 1)
	require.NoError(t, err)
	require.Equal(t, []int{0, 1}, got)
}

func TestStreamEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		enough := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(500*time.Millisecond, func() { cancel(enough) })
		got, err := (&fakeServer{total: 2, responses: []int{1, 1}}).collect(ctx, t, never)
		require.ErrorIs(t, err, enough)
		require.Equal(t, []int{0}, got)
	})
}

func TestRequestIsRetriedWithGrowingPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests []time.Time
		c, err := New("http://server", WithHTTPClient(&http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
			requests = append(requests, time.Now())
			return nil, errors.New("connection refused")
		})}))
		require.NoError(t, err)
		_, err = c.Agent(t.Context(), "agt_1")
		require.ErrorIs(t, err, ErrUnreachable)
		require.Len(t, requests, maxTries)
		for i, seconds := range []float64{0.2, 0.4, 0.8} { // with jitter
			require.InDelta(t, seconds, requests[i+1].Sub(requests[i]).Seconds(), seconds/2)
		}
	})
}

func TestRetryAfterIsRespectedUpToMaximum(t *testing.T) {
	for header, pause := range map[string]time.Duration{"3": 3 * time.Second, "3600": maxRetryDelay} {
		synctest.Test(t, func(t *testing.T) {
			var requests []time.Time
			c, err := New("http://server", WithHTTPClient(&http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				requests = append(requests, time.Now())
				return &http.Response{
					StatusCode: http.StatusTooManyRequests, Status: "429 Too Many Requests", Header: http.Header{"Retry-After": {header}},
					Body: http.NoBody, Request: r,
				}, nil
			})}))
			require.NoError(t, err)
			_, err = c.Agent(t.Context(), "agt_1")
			var limited *Problem
			require.ErrorAs(t, err, &limited)
			require.Equal(t, http.StatusTooManyRequests, limited.Status)
			require.Len(t, requests, maxTries)
			for i := range requests[1:] {
				require.Equal(t, pause, requests[i+1].Sub(requests[i]))
			}
		})
	}
}
