package api

import (
	"bufio"
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/livesteps"
	"github.com/airlock-run/airlock/internal/store"
)

// receivedEvent is a server-sent event.
type receivedEvent struct{ id, event, data string }

// streamEvents opens an event stream. The channel is closed when the stream ends, or after a minute, so that a test
// that waits for an event fails if none comes.
func (s server) streamEvents(path string, header ...string) <-chan receivedEvent {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	s.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
	require.NoError(s.t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := contractClient.Do(req)
	require.NoError(s.t, err)
	require.Equal(s.t, http.StatusOK, res.StatusCode)
	require.Equal(s.t, "text/event-stream", res.Header.Get("Content-Type"))
	events := make(chan receivedEvent, 100)
	go func() {
		defer close(events)
		defer res.Body.Close()
		var event receivedEvent
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "id":
				event.id = value
			case "event":
				event.event = value
			case "data":
				event.data = value
			case "":
				if event != (receivedEvent{}) {
					events <- event
				}
				event = receivedEvent{}
			}
		}
	}()
	return events
}

func (s server) apply(ref execution.Ref, ev execution.Event) {
	s.t.Helper()
	ch, err := s.store.Apply(s.t.Context(), ref, ev)
	require.NoError(s.t, err)
	require.NoError(s.t, s.queue.Publish(s.t.Context(), ch))
}

func step(n int, text string) execution.Step {
	return execution.NewStep(n, execution.StepOutput, text)
}

func TestEventStreamFromQueuedToFinished(t *testing.T) {
	s := startServer(t)
	e := s.runAgent(s.createAgent().Id)
	ref := execution.Ref{Tenant: defaultTenant, ID: e.ExecutionId}
	events := s.streamEvents(e.Urls.Events)
	require.Equal(t, receivedEvent{"0-0-queued", "status", `{"attempt":0,"status":"queued"}`}, <-events)
	s.apply(ref, execution.Claimed{Executor: "x"})
	require.Equal(t, receivedEvent{"1-0-running", "status", `{"attempt":1,"status":"running"}`}, <-events)
	// At the end come the steps, then the status, and the stream closes.
	ending := execution.Ending{Status: execution.Succeeded, Result: &execution.Result{Text: "done"}}
	ending.Steps = []execution.Step{step(1, "one\ntwo"), execution.NewStep(2, execution.StepProgress, "uses Bash")}
	s.apply(ref, execution.JobEnded{Attempt: 1, Ending: ending})
	require.Equal(t, receivedEvent{"1-1-running", "output", `{"attempt":1,"number":1,"text":"one\ntwo"}`}, <-events)
	require.Equal(t, receivedEvent{"1-2-running", "progress", `{"attempt":1,"number":2,"text":"uses Bash"}`}, <-events)
	require.Equal(t, receivedEvent{"1-2-succeeded", "status", `{"attempt":1,"status":"succeeded"}`}, <-events)
	_, more := <-events
	require.False(t, more)

	// The stream can be read again from any event.
	again := s.streamEvents(e.Urls.Events, "Last-Event-ID", "1-1-running")
	require.Equal(t, "1-2-running", (<-again).id)
	require.Equal(t, "1-2-succeeded", (<-again).id)
	_, more = <-again
	require.False(t, more)
	require.Equal(t, http.StatusNoContent, s.do(http.MethodGet, e.Urls.Events, "", "Last-Event-ID", "1-2-succeeded").StatusCode)
}

// liveSteps is what an executor knows of its only attempt. Every reader gets what it does not have.
type liveSteps struct {
	mu      sync.Mutex
	changed chan struct{} // closed at the next change
	news    livesteps.News
	ended   bool
}

func newLiveSteps() *liveSteps { return &liveSteps{changed: make(chan struct{})} }

func (l *liveSteps) change(edit func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	edit()
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *liveSteps) add(s execution.Step) {
	l.change(func() {
		l.news.Steps = append(l.news.Steps, s)
		l.news.Saying = livesteps.Saying{Version: l.news.Saying.Version + 1}
	})
}

func (l *liveSteps) say(text string) {
	l.change(func() { l.news.Saying = livesteps.Saying{Text: text, Version: l.news.Saying.Version + 1} })
}

func (l *liveSteps) result(tool, text string) {
	l.change(func() { l.news.Result = livesteps.Result{Tool: tool, Text: text, Version: l.news.Result.Version + 1} })
}

func (l *liveSteps) end() { l.change(func() { l.ended = true }) }

func (l *liveSteps) StepsAfter(ctx context.Context, _ execution.Ref, _ int, have livesteps.Position) (livesteps.News, error) {
	for {
		l.mu.Lock()
		news, ended, changed := l.news, l.ended, l.changed
		l.mu.Unlock()
		if ended {
			return livesteps.News{}, livesteps.ErrNotRunning
		}
		news.Steps = slices.Clone(news.Steps[min(have.Step, len(news.Steps)):])
		if len(news.Steps) > 0 || news.Saying.Version != have.Saying || news.Result.Version != have.Result {
			return news, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return news, nil
		}
	}
}

// startSteps serves steps for the session of an executor, which it begins.
func (s server) startSteps(session string, steps livesteps.Source) {
	s.t.Helper()
	l, err := livesteps.Listen(s.t.Context(), "127.0.0.1:0", "")
	require.NoError(s.t, err)
	require.NoError(s.t, s.store.BeginSession(s.t.Context(), fleet.Session{
		ID: session, Process: fleet.ProcessOf(session), Kind: fleet.KindExecutor, Executor: &fleet.Executor{Endpoint: l.Endpoint()},
	}))
	ctx, cancel := context.WithCancel(context.Background())
	var serving errgroup.Group
	serving.Go(func() error { return l.Serve(ctx, steps) })
	s.t.Cleanup(func() {
		cancel()
		require.NoError(s.t, serving.Wait())
	})
}

// While an attempt runs, its steps come from the executor. They cost no read and no write of the execution.
func TestEventStreamOfRunningExecution(t *testing.T) {
	s := startServer(t, func(c *Config, st *store.Store) { c.LiveSteps = livesteps.NewFollower(st, zap.NewNop()) })
	steps := newLiveSteps()
	s.startSteps("prc_x.1", steps)
	e := s.runAgent(s.createAgent().Id)
	ref := execution.Ref{Tenant: defaultTenant, ID: e.ExecutionId}
	s.apply(ref, execution.Claimed{Executor: "x", Session: "prc_x.1"})
	events := s.streamEvents(e.Urls.Events)
	require.Equal(t, receivedEvent{"1-0-running", "status", `{"attempt":1,"status":"running"}`}, <-events)
	steps.add(step(1, "one"))
	require.Equal(t, receivedEvent{"1-1-running", "output", `{"attempt":1,"number":1,"text":"one"}`}, <-events)
	steps.say("It is")
	require.Equal(t, receivedEvent{"", "partial", `{"attempt":1,"text":"It is"}`}, <-events)
	steps.result("Bash", "ok")
	require.Equal(t, receivedEvent{"", "tool_result", `{"attempt":1,"isError":false,"text":"ok","tool":"Bash"}`}, <-events)
	// Another client sees from its start what is known, and takes nothing from the first.
	another := s.streamEvents(e.Urls.Events, "Last-Event-ID", "0-0-queued")
	require.Equal(t, "1-0-running", (<-another).id)
	require.Equal(t, "1-1-running", (<-another).id)
	require.Equal(t, "tool_result", (<-another).event)
	require.Equal(t, "partial", (<-another).event)
	steps.add(step(2, "two"))
	require.Equal(t, "1-2-running", (<-events).id)
	steps.end()
	ending := execution.Ending{Status: execution.Succeeded, Result: &execution.Result{Text: "done"}}
	ending.Steps = []execution.Step{step(1, "one"), step(2, "two"), step(3, "three")}
	s.apply(ref, execution.JobEnded{Session: "prc_x.1", Attempt: 1, Ending: ending})
	require.Equal(t, "1-3-running", (<-events).id, "no step comes twice")
	require.Equal(t, "1-3-succeeded", (<-events).id)
	_, more := <-events
	require.False(t, more)
}

func TestEventStreamRestartsForNewAttempt(t *testing.T) {
	s := startServer(t)
	e := s.runAgent(s.createAgent().Id)
	ref := execution.Ref{Tenant: defaultTenant, ID: e.ExecutionId}
	s.apply(ref, execution.Claimed{Executor: "x"})
	s.apply(ref, execution.HandedBack{Attempt: 1})
	s.apply(ref, execution.Claimed{Executor: "y"})
	events := s.streamEvents(e.Urls.Events, "Last-Event-ID", "1-7-running")
	require.Equal(t, "2-0-running", (<-events).id)
	ending := execution.NewCanceledFailure().Ending(execution.Usage{})
	ending.Steps = []execution.Step{step(1, "second")}
	s.apply(ref, execution.JobEnded{Attempt: 2, Ending: ending})
	require.Contains(t, (<-events).data, "second")
	require.Contains(t, (<-events).data, `"canceled"`)
}

func TestEventStreamErrors(t *testing.T) {
	s := startServer(t)
	e := s.runAgent(s.createAgent().Id)
	require.Equal(t, http.StatusNotFound, s.do(http.MethodGet, e.Urls.Events, "", "X-User-Id", "bob").StatusCode)
	require.Equal(t, http.StatusNotFound, s.do(http.MethodGet, "/executions/exe_x/events", "").StatusCode)
	require.Equal(t, http.StatusBadRequest, s.do(http.MethodGet, e.Urls.Events, "", "Last-Event-ID", "no ID").StatusCode)
	require.True(t, s.streamSlots.all.TryAcquire(maxStreams))
	full := s.do(http.MethodGet, e.Urls.Events, "")
	require.Equal(t, http.StatusServiceUnavailable, full.StatusCode)
	require.NotEmpty(t, full.Header.Get("Retry-After"))
}

// A tenant has an eighth of the streams of a process. The streams of the others begin.
func TestTenantHasPartOfEventStreams(t *testing.T) {
	s := startServer(t)
	e := s.runAgent(s.createAgent().Id)
	for range maxTenantStreams - 1 {
		_, err := s.streamSlots.acquire(defaultTenant)
		require.NoError(t, err)
	}
	ctx, disconnect := context.WithCancel(t.Context())
	defer disconnect()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/events", http.NoBody)
	require.NoError(t, err)
	last, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer last.Body.Close()
	require.Equal(t, http.StatusOK, last.StatusCode)
	for _, path := range []string{"/events", e.Urls.Events} {
		refused := call[contract.Problem](s, "GET "+path, http.StatusTooManyRequests, "")
		require.Equal(t, contract.ProblemRateLimited, refused.Code)
		require.Contains(t, refused.Detail, "256 event streams")
	}
	awaitEvent(t, s.streamEvents("/events", "X-User-Id", "bob"))
	disconnect()
	require.Eventually(t, func() bool { // the server has noticed
		release, err := s.streamSlots.acquire(defaultTenant)
		if err == nil {
			release()
		}
		return err == nil
	}, keepAliveInterval/2, 10*time.Millisecond)
	awaitEvent(t, s.streamEvents("/events"))
}

// The server notices at once that a client has disconnected, whatever the client has sent, and not only when it writes.
func TestEventStreamEndsOnClientDisconnect(t *testing.T) {
	s := startServer(t)
	e := s.runAgent(s.createAgent().Id)
	require.True(t, s.streamSlots.all.TryAcquire(maxStreams-1))
	for _, body := range []string{"", strings.Repeat("x", 512<<10)} {
		ctx, disconnect := context.WithCancel(t.Context())
		defer disconnect()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+e.Urls.Events, strings.NewReader(body))
		require.NoError(t, err)
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, res.StatusCode)
		require.False(t, s.streamSlots.all.TryAcquire(1))
		disconnect()
		require.NoError(t, res.Body.Close())
		soon, cancel := context.WithTimeout(t.Context(), keepAliveInterval/2)
		defer cancel()
		require.NoError(t, s.streamSlots.all.Acquire(soon, 1), "with a body of %d bytes", len(body))
		s.streamSlots.all.Release(1)
	}
}

func TestEventStreamEndsOnShutdown(t *testing.T) {
	s := startServer(t)
	e := s.runAgent(s.createAgent().Id)
	events := s.streamEvents(e.Urls.Events)
	require.Equal(t, "0-0-queued", (<-events).id)
	s.beginShutdown()
	_, more := <-events
	require.False(t, more)
}

func FuzzEventID(f *testing.F) {
	for _, seed := range []string{"1-2-running", "", "--", "-1-0-x", "01-0-x", "9999999999999999999999-0-x", "1-0-a-b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, eventID string) {
		if s, ok := parseEventPosition(eventID); ok {
			require.Equal(t, eventID, s.String())
			require.GreaterOrEqual(t, s.attempt, 0)
			require.GreaterOrEqual(t, s.step, 0)
		}
	})
}
