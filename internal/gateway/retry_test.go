package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/test/modelstub"
)

// announcedWait is what the listener of an endpoint is told.
type announcedWait struct {
	status int
	delay  time.Duration
}

// waitingEndpoint is an endpoint whose calls wait for the provider.
type waitingEndpoint struct {
	*testEndpoint
	announced chan announcedWait
}

func openWaitingEndpoint(t *testing.T, upstream *modelstub.Server, change func(*gateway.Config)) *waitingEndpoint {
	t.Helper()
	w := openEndpoint(t, upstream, func(s *gateway.Config) {
		s.MaxWait, s.Backoff = time.Hour, 10*time.Millisecond
		if change != nil {
			change(s)
		}
	})
	announced := make(chan announcedWait, 1000)
	w.OnWait(func(status int, delay time.Duration) { announced <- announcedWait{status, delay} })
	return &waitingEndpoint{w, announced}
}

// busyModel fails with a status and these headers, so many times. Then it answers.
func busyModel(t *testing.T, times, status int, header ...string) *modelstub.Server {
	t.Helper()
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	busy := modelstub.Raw(status, h, `{"type":"error","error":{"type":"overloaded_error","message":"busy"}}`)
	responses := make([]modelstub.Response, times, times+1)
	for i := range responses {
		responses[i] = busy
	}
	return startModel(t, modelstub.Sequence(append(responses, modelstub.Text("hello"))...))
}

// A provider that fails three times costs the agent only time.
func TestFailedTriesAreRepeated(t *testing.T) {
	upstreams := map[string]*modelstub.Server{
		"reset": startModel(t, modelstub.Sequence(modelstub.Reset(), modelstub.Reset(), modelstub.Reset(), modelstub.Text("hello"))),
	}
	for _, status := range []int{429, 500, 502, 503, 504, 529} {
		upstreams[fmt.Sprint(status)] = busyModel(t, 3, status)
	}
	for name, upstream := range upstreams {
		for kind, stream := range map[string]bool{"stream": true, "body": false} {
			t.Run(name+", "+kind, func(t *testing.T) {
				upstream := upstream
				if !stream {
					upstream = busyModel(t, 3, 529)
				}
				w := openWaitingEndpoint(t, upstream, nil)
				body := requestBody(map[string]any{"stream": stream})
				before := len(upstream.Requests())
				got := w.post(body)
				require.Equal(t, http.StatusOK, got.status)
				require.Contains(t, got.body, "hello")
				require.Empty(t, got.header.Get("X-Should-Retry"))
				requests := upstream.Requests()[before:]
				require.Len(t, requests, 4)
				for _, r := range requests {
					require.Equal(t, body, string(r.Raw))
				}
				s := closeAndSummarize(t, w.testEndpoint)
				require.Equal(t, gateway.Tokens{Input: 100, Output: 20}, s.Tokens, "failed tries cost nothing")
				require.EqualValues(t, 1, s.Calls)
				require.Zero(t, s.EstimatedCalls)
				require.Equal(t, http.StatusOK, s.LastStatus)
				require.Greater(t, w.Waited(), 35*time.Millisecond/2, "the shortest back-offs")
			})
		}
	}
}

func TestProvidersDelayIsHonoured(t *testing.T) {
	for name, c := range map[string]struct {
		header []string
		delay  time.Duration
	}{
		"seconds":      {[]string{"Retry-After", "1"}, time.Second},
		"milliseconds": {[]string{"Retry-After-Ms", "300"}, 300 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			upstream := busyModel(t, 1, 429, c.header...)
			w := openWaitingEndpoint(t, upstream, nil)
			require.Equal(t, http.StatusOK, w.post(requestBody(nil)).status)
			require.Equal(t, announcedWait{429, c.delay}, <-w.announced)
			require.GreaterOrEqual(t, w.Waited(), c.delay)
		})
	}
}

// What the agent would repeat by itself comes after the limit, or at once if the limit does not allow another try.
func TestFailureIsPassedOnAfterLimit(t *testing.T) {
	for name, c := range map[string]struct {
		upstream *modelstub.Server
		status   int
		says     string
		least    int // requests
		most     int
	}{
		"overloaded":         {busyModel(t, 1000, 529), 529, "busy", 3, 100},
		"reset":              {startModel(t, modelstub.Always(modelstub.Reset())), 502, "could not be reached", 3, 100},
		"a delay beyond it":  {busyModel(t, 1000, 429, "Retry-After", "90"), 429, "busy", 1, 1},
		"asked not to retry": {busyModel(t, 1000, 429, "X-Should-Retry", "false"), 429, "busy", 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := openWaitingEndpoint(t, c.upstream, func(s *gateway.Config) { s.MaxWait = 300 * time.Millisecond })
			got := w.post(requestBody(nil))
			require.Equal(t, c.status, got.status)
			require.Equal(t, "false", got.header.Get("X-Should-Retry"))
			require.Contains(t, got.body, c.says)
			require.GreaterOrEqual(t, len(c.upstream.Requests()), c.least)
			require.LessOrEqual(t, len(c.upstream.Requests()), c.most)
			require.LessOrEqual(t, w.Waited(), 300*time.Millisecond)
			s := closeAndSummarize(t, w.testEndpoint)
			require.True(t, s.LastCallFailed())
		})
	}
}

// An error that another try would only repeat is passed on at once, and so is every error if nobody is to wait.
func TestOtherFailuresAreNotRepeated(t *testing.T) {
	for _, status := range []int{400, 401, 403, 404, 413, 529} {
		upstream := busyModel(t, 1000, status)
		w := openWaitingEndpoint(t, upstream, func(s *gateway.Config) {
			if status == 529 {
				s.MaxWait = 0
			}
		})
		require.Equal(t, status, w.post(requestBody(nil)).status)
		require.Len(t, upstream.Requests(), 1)
		require.Zero(t, w.Waited())
	}
	upstream := modelstub.StartTLS(modelstub.Always(modelstub.Text("hi")))
	t.Cleanup(upstream.Close)
	require.Equal(t, http.StatusBadGateway, openWaitingEndpoint(t, upstream, nil).post(requestBody(nil)).status, "the certificate is rejected")
}

// The time-out of a call is that of each try.
func TestWaitDoesNotCountAsCall(t *testing.T) {
	upstream := busyModel(t, 2, 529, "Retry-After-Ms", "700")
	w := openWaitingEndpoint(t, upstream, func(s *gateway.Config) { s.CallTimeout = time.Second })
	require.Equal(t, http.StatusOK, w.post(requestBody(nil)).status)
	require.GreaterOrEqual(t, w.Waited(), 1400*time.Millisecond)
}

// While a call waits, it holds what it may use of the budget. Its wait ends with the sandbox and with the endpoint, and
// costs nothing.
func TestWaitEndsWithSandboxAndEndpoint(t *testing.T) {
	for name, end := range map[string]func(w *waitingEndpoint, disconnect func()){
		"the sandbox":  func(_ *waitingEndpoint, disconnect func()) { disconnect() },
		"the endpoint": func(w *waitingEndpoint, _ func()) { require.NoError(w.t, w.Close()) },
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan struct{}, 10)
			core := zapcore.NewNopCore()
			upstream := busyModel(t, 1000, 529, "Retry-After", "3000")
			w := openWaitingEndpoint(t, upstream, func(s *gateway.Config) {
				s.Budget.Tokens = 900
				s.Log = zap.New(alwaysEnabled{core}, zap.Hooks(func(e zapcore.Entry) error {
					if e.Message == "egress" {
						ended <- struct{}{}
					}
					return nil
				}))
			})
			ctx, disconnect := context.WithCancel(t.Context())
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://sandbox"+target, strings.NewReader(requestBody(nil)))
			require.NoError(t, err)
			var calls sync.WaitGroup
			calls.Go(func() {
				if got, err := w.client.Do(request); err == nil {
					_ = got.Body.Close()
				}
			})
			require.Equal(t, announcedWait{529, 3000 * time.Second}, <-w.announced)
			require.Equal(t, http.StatusTooManyRequests, w.post(requestBody(nil)).status, "the budget is reserved")
			<-ended
			end(w, disconnect)
			<-ended
			disconnect()
			calls.Wait()
			s := closeAndSummarize(t, w.testEndpoint)
			require.Len(t, upstream.Requests(), 1)
			require.Zero(t, s.Tokens)
			require.Zero(t, s.EstimatedCalls)
			require.Equal(t, 529, s.LastStatus)
			require.Less(t, w.Waited(), patience)
		})
	}
}

// alwaysEnabled makes the hooks of a log run.
type alwaysEnabled struct{ zapcore.Core }

func (alwaysEnabled) Enabled(zapcore.Level) bool { return true }

func (c alwaysEnabled) With([]zapcore.Field) zapcore.Core { return c }

func (c alwaysEnabled) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return checked.AddCore(e, c)
}

// Calls that wait at the same time wait one time.
func TestConcurrentWaitsCountOnce(t *testing.T) {
	upstream := startModel(t, func(r modelstub.Request) modelstub.Response {
		if r.Number <= 5 {
			return modelstub.Raw(529, http.Header{"Retry-After-Ms": {"1000"}}, "")
		}
		return modelstub.Text("hello")
	})
	w := openWaitingEndpoint(t, upstream, nil)
	began := time.Now()
	var calls sync.WaitGroup
	for range 5 {
		calls.Go(func() {
			got, err := w.client.Post("http://sandbox"+target, "application/json", strings.NewReader(requestBody(nil)))
			if err == nil {
				_ = got.Body.Close()
			}
		})
	}
	calls.Wait()
	require.Len(t, upstream.Requests(), 10)
	require.GreaterOrEqual(t, w.Waited(), time.Second)
	require.LessOrEqual(t, w.Waited(), time.Since(began))
	require.Less(t, w.Waited(), 5*time.Second)
	require.Equal(t, announcedWait{529, time.Second}, <-w.announced)
	require.Empty(t, w.announced, "one wait is announced")
}
