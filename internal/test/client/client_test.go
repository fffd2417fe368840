package client_test

import (
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/watch"

	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"github.com/airlock-run/airlock/client"
	"github.com/airlock-run/airlock/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	"github.com/airlock-run/airlock/internal/api"
	"github.com/airlock-run/airlock/internal/api/contract/contracttest"
	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/quota/quotatest"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/test/strict"
)

func TestMain(m *testing.M) { emulatortest.Main(m) }

// testServer is a real API over a real store, without an executor: the tests end the executions. Every response is
// checked against the OpenAPI document.
type testServer struct {
	*client.Client
	store     *store.Store
	blobs     *blob.Store
	url       string
	intercept func(http.ResponseWriter, *http.Request) bool // answers instead of the server if it returns true
}

type noopQueue struct{}

func (noopQueue) Ensure(context.Context, ...string) error         { return nil }
func (noopQueue) Check(context.Context) error                     { return nil }
func (noopQueue) Publish(context.Context, execution.Change) error { return nil }

func startTestServer(t *testing.T, options ...client.Option) *testServer {
	t.Helper()
	a := &testServer{store: store.New(strict.StartFirestore(t, firestoreemulator.Options{}).Client)}
	var err error
	a.blobs, err = blob.Open(t.Context(), "file://"+t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.blobs.Close()) })
	srv := api.New(api.Config{
		Stores: api.StoresOf(a.store), Submitter: quotatest.Unlimited{Store: a.store}, Queue: noopQueue{}, Log: zaptest.NewLogger(t),
		Version: "test", Artifacts: a.blobs, Runtimes: []string{"offline"}, DefaultRuntime: "offline", WebUI: http.NotFoundHandler(), Auth: api.DevAuthenticator{BelieveOperator: true},
		Watch: watch.New(a.store, id.New(id.Process), zaptest.NewLogger(t)),
	})
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.intercept == nil || !a.intercept(w, r) {
			srv.Handler().ServeHTTP(w, r)
		}
	}))
	t.Cleanup(web.Close)
	a.url = web.URL
	a.Client, err = client.New(web.URL+"/", append(options, client.WithHTTPClient(&http.Client{Transport: contracttest.Transport{}}))...)
	require.NoError(t, err)
	return a
}

func (a *testServer) endExecution(t *testing.T, executionID string) {
	t.Helper()
	_, err := a.store.Apply(t.Context(), execution.Ref{Tenant: "local", ID: executionID}, execution.CancelRequested{})
	require.NoError(t, err)
}

var counterAgent = client.CreateAgent{Name: "Counter", Instructions: "Count the words"}

func TestAgents(t *testing.T) {
	a := startTestServer(t)
	ctx := t.Context()
	created, err := a.CreateAgent(ctx, counterAgent)
	require.NoError(t, err)
	changed, err := a.UpdateAgent(ctx, created.Id, client.Patch{"name": "Other", "model": nil})
	require.NoError(t, err)
	require.Equal(t, "Other", changed.Name)
	read, err := a.Agent(ctx, created.Id)
	require.NoError(t, err)
	require.Equal(t, changed, read)
	require.NoError(t, a.DeleteAgent(ctx, created.Id))
	_, err = a.Agent(ctx, created.Id)
	require.True(t, client.IsNotFound(err))
}

func TestListsFollowAllPages(t *testing.T) {
	t.Parallel()
	a := startTestServer(t)
	ctx := t.Context()
	const many = 101 // more than a page
	agent, err := a.CreateAgent(ctx, counterAgent)
	require.NoError(t, err)
	for range many {
		_, err := a.Run(ctx, agent.Id, client.RunAgent{Input: "x", Labels: client.Labels{"env": "test"}})
		require.NoError(t, err)
	}
	n := 0
	for e, err := range a.Executions(ctx, client.Filter{AgentID: agent.Id, Label: "env=test", Status: client.StatusQueued, Kind: client.KindRun}) {
		require.NoError(t, err)
		require.Equal(t, agent.Id, e.AgentId)
		n++
	}
	require.Equal(t, many, n)
	for _, err := range a.Executions(ctx, client.Filter{AgentID: "rubbish"}) {
		var p *client.Problem
		require.ErrorAs(t, err, &p)
		require.Equal(t, "agentId", p.Errors[0].Field)
	}
	for _, err := range a.Agents(ctx) {
		require.NoError(t, err)
		break // the caller may stop at any item
	}
}

func TestConversations(t *testing.T) {
	a := startTestServer(t)
	ctx := t.Context()
	first, err := a.SendMessage(ctx, client.SendMessage{Message: "one"})
	require.NoError(t, err)
	_, err = a.SendMessage(ctx, client.SendMessage{Message: "two", ConversationId: first.ConversationId})
	require.NoError(t, err)
	detail, err := a.Conversation(ctx, first.ConversationId)
	require.NoError(t, err)
	require.Len(t, detail.Pending, 2)
	var texts []string
	for m, err := range a.Messages(ctx, first.ConversationId) {
		require.NoError(t, err)
		texts = append(texts, m.Text)
	}
	require.Equal(t, []string{"two", "one"}, texts)
	for c, err := range a.Conversations(ctx) {
		require.NoError(t, err)
		require.Equal(t, "one", c.Title)
	}
	require.NoError(t, a.DeleteConversation(ctx, first.ConversationId))
}

func TestWaitReturnsWhenExecutionEnds(t *testing.T) {
	t.Parallel()
	a := startTestServer(t)
	agent, err := a.CreateAgent(t.Context(), counterAgent)
	require.NoError(t, err)
	accepted, err := a.Run(t.Context(), agent.Id, client.RunAgent{Input: "x"})
	require.NoError(t, err)
	ended := make(chan client.Execution)
	go func() {
		e, err := a.Wait(t.Context(), accepted.ExecutionId)
		if err == nil {
			ended <- e
		}
		close(ended)
	}()
	_, err = a.Cancel(t.Context(), accepted.ExecutionId)
	require.NoError(t, err)
	require.Equal(t, client.StatusCanceled, (<-ended).Status)
}

func TestWaitReturnsContextCause(t *testing.T) {
	a := startTestServer(t)
	agent, err := a.CreateAgent(t.Context(), counterAgent)
	require.NoError(t, err)
	accepted, err := a.Run(t.Context(), agent.Id, client.RunAgent{Input: "x"})
	require.NoError(t, err)
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	a.intercept = func(http.ResponseWriter, *http.Request) bool { cancel(enough); return false }
	_, err = a.Wait(ctx, accepted.ExecutionId)
	require.ErrorIs(t, err, enough)
}

func (a *testServer) submitEndedBatch(t *testing.T, inputs int) client.Batch {
	t.Helper()
	agent, err := a.CreateAgent(t.Context(), counterAgent)
	require.NoError(t, err)
	b, err := a.SubmitBatch(t.Context(), agent.Id, strings.NewReader(strings.Repeat("\"x\"\n", inputs)))
	require.NoError(t, err)
	_, dispatched, err := a.store.DispatchBatch(t.Context(), batch.Ref{Tenant: "local", ID: b.Id})
	require.NoError(t, err)
	for _, ref := range dispatched {
		a.endExecution(t, ref.ID)
	}
	return b
}

func TestResultsResumeAfterInterruption(t *testing.T) {
	t.Parallel()
	a := startTestServer(t)
	b := a.submitEndedBatch(t, 5)
	var after []string
	a.intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/results") {
			return false
		}
		after = append(after, r.URL.Query().Get("after"))
		if len(after) > 1 {
			return false
		}
		w.Header().Set("Content-Type", "application/jsonl")
		_, _ = io.WriteString(w, `{"index":0,"status":"canceled"}`+"\n"+`{"index":1,"status":"canceled"}`+"\n"+`{"index":2,"sta`)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	var got []int
	for r, err := range a.Results(t.Context(), b.Id, true) {
		require.NoError(t, err)
		got = append(got, r.Index)
	}
	require.Equal(t, []int{0, 1, 2, 3, 4}, got)
	require.Equal(t, []string{"", "1"}, after)

	var batches []string
	for one, err := range a.Batches(t.Context()) {
		require.NoError(t, err)
		batches = append(batches, one.Id)
	}
	require.Equal(t, []string{b.Id}, batches)
	stopped, err := a.CancelBatch(t.Context(), b.Id)
	require.NoError(t, err)
	require.Equal(t, 5, stopped.Progress.Canceled)
}

// A request that creates something is sent again with the same Idempotency-Key and the same body.
func TestTransientErrorsAreRetriedWithSameKey(t *testing.T) {
	t.Parallel()
	a := startTestServer(t, client.WithUserAgent("test/1"), client.WithAPIKey("alk_x"), client.WithTenant("local"))
	var keys, bodies []string
	a.intercept = func(w http.ResponseWriter, r *http.Request) bool {
		body, _ := io.ReadAll(r.Body) // compared below
		keys, bodies = append(keys, r.Header.Get("Idempotency-Key")), append(bodies, string(body))
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		require.Equal(t, "test/1 airlock-go", r.UserAgent())
		require.Equal(t, "Bearer alk_x", r.Header.Get("Authorization"))
		if len(keys) > 2 {
			return false
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"type":"about:blank","title":"x","status":503,"code":"unavailable"}`)
		return true
	}
	_, err := a.CreateAgent(t.Context(), counterAgent)
	require.NoError(t, err)
	require.Len(t, keys, 3)
	require.NotEmpty(t, keys[0])
	require.Len(t, slices.Compact(keys), 1)
	require.Len(t, slices.Compact(bodies), 1)
}

// Of a request whose outcome is unknown, only one that cannot take effect twice is sent again. The test fails for a
// method that it does not call.
func TestOnlyRepeatableRequestsAreRetried(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	type sent struct {
		tries   int
		withKey bool
	}
	repeated := map[string]func(*client.Client) error{
		"CreateAgent": func(c *client.Client) error { _, err := c.CreateAgent(ctx, counterAgent); return err },
		"CreateEnvironment": func(c *client.Client) error {
			_, err := c.CreateEnvironment(ctx, client.CreateEnvironment{Name: "x"})
			return err
		},
		"Run": func(c *client.Client) error { _, err := c.Run(ctx, "agt_1", client.RunAgent{Input: "x"}); return err },
		"SendMessage": func(c *client.Client) error {
			_, err := c.SendMessage(ctx, client.SendMessage{Message: "x"})
			return err
		},
		"Retry":         func(c *client.Client) error { _, err := c.Retry(ctx, "exe_1"); return err },
		"RetryBatch":    func(c *client.Client) error { _, err := c.RetryBatch(ctx, "bat_1"); return err },
		"Cancel":        func(c *client.Client) error { _, err := c.Cancel(ctx, "exe_1"); return err },
		"CancelBatch":   func(c *client.Client) error { _, err := c.CancelBatch(ctx, "bat_1"); return err },
		"DrainExecutor": func(c *client.Client) error { _, err := c.DrainExecutor(ctx, "x"); return err },
	}
	once := map[string]func(*client.Client) error{
		"IssueAPIKey": func(c *client.Client) error { _, err := c.IssueAPIKey(ctx, client.IssueAPIKey{Name: "x"}); return err },
		"SubmitBatch": func(c *client.Client) error {
			_, err := c.SubmitBatch(ctx, "agt_1", io.MultiReader(strings.NewReader("\"x\"\n")))
			return err
		},
		"UploadFile": func(c *client.Client) error {
			_, err := c.UploadFile(ctx, "a.txt", io.MultiReader(strings.NewReader("x")))
			return err
		},
	}
	call := func(t *testing.T, f func(*client.Client) error, fail http.HandlerFunc) (s sent) {
		t.Parallel()
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.tries++
			s.withKey = r.Header.Get("Idempotency-Key") != ""
			fail(w, r)
		}))
		defer server.Close()
		c, err := client.New(server.URL)
		require.NoError(t, err)
		require.Error(t, f(c))
		return s
	}
	for failure, fail := range map[string]http.HandlerFunc{
		"unavailable": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"lost":        func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, // the response
	} {
		for name, f := range repeated {
			t.Run(name+" "+failure, func(t *testing.T) {
				s := call(t, f, fail)
				require.Equal(t, 4, s.tries)
				require.Equal(t, !strings.HasPrefix(name, "Cancel") && name != "DrainExecutor", s.withKey, "to cancel or drain again changes nothing")
			})
		}
		for name, f := range once {
			t.Run(name+" "+failure, func(t *testing.T) { require.Equal(t, 1, call(t, f, fail).tries) })
		}
	}

	posts := 0
	for _, file := range clientSources(t) {
		posts += strings.Count(file, "http.MethodPost, path:")
	}
	require.Equal(t, len(repeated)+len(once), posts, "the test calls every method with a POST")
}

// clientSources returns the sources of the client.
func clientSources(t *testing.T) (sources []string) {
	t.Helper()
	files, err := filepath.Glob("../../../client/*.go")
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		sources = append(sources, string(text))
	}
	return sources
}

func TestPermanentErrorsAreNotRetried(t *testing.T) {
	a := startTestServer(t)
	var requests atomic.Int32
	a.intercept = func(http.ResponseWriter, *http.Request) bool { requests.Add(1); return false }
	_, err := a.CreateAgent(t.Context(), client.CreateAgent{Name: "A"})
	var p *client.Problem
	require.ErrorAs(t, err, &p)
	require.Equal(t, http.StatusBadRequest, p.Status)
	require.Equal(t, "instructions: must contain text. (invalid_request)", err.Error())
	require.EqualValues(t, 1, requests.Load())
}

func TestErrorsOfOtherServers(t *testing.T) {
	t.Parallel()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusForbidden) }))
	defer proxy.Close()
	c, err := client.New(proxy.URL)
	require.NoError(t, err)
	_, err = c.Agent(t.Context(), "agt_1")
	require.EqualError(t, err, "GET /agents/agt_1: the server answered 403 Forbidden")

	proxy.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = c.Agent(ctx, "agt_1")
	require.ErrorIs(t, err, client.ErrUnreachable)

	for _, address := range []string{"", "localhost:8000", "http://", "ftp://x", "http://a b"} {
		_, err := client.New(address)
		require.ErrorIs(t, err, client.ErrInvalidAddress, address)
	}
}
