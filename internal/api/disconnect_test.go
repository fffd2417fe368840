package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/supervise"
)

// Only what follows from the disconnection counts as one: a failure of the server at the same time is the server's.
func TestClientDisconnected(t *testing.T) {
	grpcCanceled := status.Error(codes.Canceled, "context canceled")
	for name, tc := range map[string]struct {
		err  error
		want bool
	}{
		"canceled":               {context.Canceled, true},
		"wrapped":                {fmt.Errorf("a: %w", errors.Join(errors.New("b"), fmt.Errorf("c: %w", context.Canceled))), true},
		"deadline":               {fmt.Errorf("a: %w", context.DeadlineExceeded), true},
		"of gRPC":                {grpcCanceled, true},
		"of gRPC, wrapped":       {fmt.Errorf("a: %w", fmt.Errorf("b: %w", grpcCanceled)), true},
		"of gRPC, deadline":      {fmt.Errorf("%w: %w", store.ErrUnavailable, status.Error(codes.DeadlineExceeded, "")), true},
		"of gRPC, with clean-up": {errors.Join(grpcCanceled, errors.New("clean-up")), true},
		"a wrong request":        {invalidField("body", "cannot be read"), true},
		"unavailable":            {store.ErrUnavailable, false},
		"of gRPC, unavailable":   {fmt.Errorf("%w: %w", store.ErrUnavailable, status.Error(codes.Unavailable, "")), false},
		"of gRPC, internal":      {status.Error(codes.Internal, "context canceled"), false},
		"another":                {errors.New("disk on fire"), false},
		"a panic":                {&supervise.PanicError{Value: context.Canceled}, false},
	} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		c := echo.New().NewContext(req, httptest.NewRecorder())
		require.False(t, clientDisconnected(c, tc.err), "%s, while the client waits", name)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		c.SetRequest(req.WithContext(ctx))
		require.Equal(t, tc.want, clientDisconnected(c, tc.err), name)
	}
}

// requestLog is the log of a server. ended receives each line about a request that has ended.
type requestLog struct {
	*observer.ObservedLogs
	ended chan map[string]any
}

func newRequestLog() (requestLog, func(*Config, *store.Store)) {
	core, lines := observer.New(zap.DebugLevel)
	l := requestLog{ObservedLogs: lines, ended: make(chan map[string]any, 100)}
	hooked := zapcore.RegisterHooks(core, func(e zapcore.Entry) error {
		if e.Message == "request" {
			all := lines.FilterMessage("request").All()
			l.ended <- all[len(all)-1].ContextMap()
		}
		return nil
	})
	return l, func(c *Config, _ *store.Store) { c.Log = zap.New(hooked) }
}

// requireClientClosed waits for the end of a request and requires that it counts as one whose client disconnected.
func (l requestLog) requireClientClosed(t *testing.T) {
	t.Helper()
	require.EqualValues(t, statusClientClosedRequest, (<-l.ended)["status"])
	for _, line := range l.All() {
		require.Less(t, line.Level, zap.WarnLevel, "%s %v", line.Message, line.ContextMap())
		if line.Message == "call" {
			require.EqualValues(t, statusClientClosedRequest, line.ContextMap()["status"], "in the audit log")
		}
	}
	l.TakeAll()
}

// hangingStore hangs. When the request's context ends it fails like a client of Google, not with the context's error.
type hangingStore struct {
	*store.Store
	reading chan struct{} // receives when a read waits for the end of its context
}

func (s *hangingStore) await(ctx context.Context) error {
	s.reading <- struct{}{}
	<-ctx.Done()
	return fmt.Errorf("read: %w", status.FromContextError(ctx.Err()).Err())
}

func (s *hangingStore) Execution(ctx context.Context, _ execution.Ref) (execution.Execution, error) {
	return execution.Execution{}, s.await(ctx)
}

func (s *hangingStore) ExecutionVersion(ctx context.Context, _ execution.Ref) (execution.Execution, time.Time, error) {
	return execution.Execution{}, time.Time{}, s.await(ctx)
}

func (s *hangingStore) Now(ctx context.Context) (time.Time, error) { return time.Time{}, s.await(ctx) }

// hangingSubmitter hangs when a run is submitted.
type hangingSubmitter struct {
	Submitter
	store *hangingStore
}

func (s hangingSubmitter) SubmitRun(ctx context.Context, r store.RunRequest) (execution.Change, error) {
	return s.store.SubmitRun(ctx, r)
}

func (s *hangingStore) SubmitRun(ctx context.Context, _ store.RunRequest) (execution.Change, error) {
	return execution.Change{}, s.await(ctx)
}

func (s *hangingStore) Apply(ctx context.Context, _ execution.Ref, _ execution.Event) (execution.Change, error) {
	return execution.Change{}, s.await(ctx)
}

// A request whose client disconnects is no failure of the server: not in the metrics, on which an alert counts 5xx, nor
// in the log.
func TestDisconnectedClientIsNoFailure(t *testing.T) {
	log, logged := newRequestLog()
	hanging := &hangingStore{reading: make(chan struct{})}
	s := startServer(t, logged, func(c *Config, real *store.Store) {
		hanging.Store = real
		c.Stores.Executions, c.Stores.Clock, c.Submitter = hanging, hanging, hangingSubmitter{c.Submitter, hanging}
	})
	agent := s.createAgent()
	<-log.ended
	log.TakeAll()
	path := "/executions/" + id.New(id.Execution)
	for _, route := range []string{
		"GET " + path, "GET " + path + "?wait=30s", "GET " + path + "/events", "GET " + path + "/result", "POST " + path + "/retry",
		"POST " + path + "/cancel", "POST /agents/" + agent.Id + "/run", "GET /readyz",
	} {
		t.Run(route, func(t *testing.T) {
			method, path, _ := strings.Cut(route, " ")
			ctx, disconnect := context.WithCancel(t.Context())
			defer disconnect()
			body := ""
			if strings.HasSuffix(path, "/run") {
				body = `{"input":"x"}`
			}
			req, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
			require.NoError(t, err)
			req.Header.Set("Content-Type", "application/json")
			ended := make(chan error)
			go func() {
				res, err := http.DefaultClient.Do(req)
				if err == nil {
					err = res.Body.Close()
				}
				ended <- err
			}()
			<-hanging.reading
			disconnect()
			require.ErrorIs(t, <-ended, context.Canceled)
			log.requireClientClosed(t)
		})
	}
}

// A client may also disconnect in the middle of its body.
func TestClientDisconnectsDuringBody(t *testing.T) {
	log, logged := newRequestLog()
	s := startOnSocket(t, func(c *Config) { logged(c, nil) })
	agent := s.createAgent()
	<-log.ended
	log.TakeAll()
	for name, request := range map[string]string{
		"read":     "POST /agents HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
		"streamed": "POST /agents/" + agent.Id + "/batches HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/jsonl\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n\"a\"\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := s.dial(t)
			_, err := io.WriteString(c, request)
			require.NoError(t, err)
			require.NoError(t, c.Close())
			log.requireClientClosed(t)
		})
	}
	batches := call[contract.BatchList](s, "GET /batches", http.StatusOK, "")
	require.Empty(t, batches.Batches, "an incomplete body is no batch")

	// A complete body that is wrong still has its answer.
	<-log.ended
	c := s.dial(t)
	_, err := io.WriteString(c, "POST /agents HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n{")
	require.NoError(t, err)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, http.StatusBadRequest, res.StatusCode)
}
