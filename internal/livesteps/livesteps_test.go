package livesteps

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const awaitTimeout = time.Minute // only a failing test waits this long

func running(session string) *execution.Execution {
	return &execution.Execution{
		Tenant: "ada", ID: "exe_1", Status: execution.Running, Attempt: 2, Lease: &execution.Lease{Session: session},
	}
}

// source is an executor that runs attempt 2 of ada's exe_1 as soon as there are steps.
type source struct {
	asked atomic.Int64

	mu      sync.Mutex
	count   int
	saying  Saying
	changed chan struct{}
}

func newSource() *source { return &source{changed: make(chan struct{})} }

func (s *source) add(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count += n
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *source) say(saying Saying) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saying = saying
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *source) StepsAfter(ctx context.Context, ref execution.Ref, attempt int, have Position) (news News, err error) {
	s.asked.Add(1)
	for {
		s.mu.Lock()
		count, saying, changed := s.count, s.saying, s.changed
		s.mu.Unlock()
		if count == 0 || attempt != 2 || ref != (execution.Ref{Tenant: "ada", ID: "exe_1"}) {
			return news, ErrNotRunning
		}
		for n := have.Step + 1; n <= count; n++ {
			news.Steps = append(news.Steps, execution.NewStep(n, execution.StepOutput, fmt.Sprint("step ", n)))
		}
		news.Saying = saying
		if len(news.Steps) > 0 || saying.Version != have.Saying {
			return news, nil
		}
		select {
		case <-ctx.Done():
			return news, nil
		case <-changed:
		}
	}
}

// sessions are the executors by session; one that is missing is lost.
type sessions struct {
	mu        sync.Mutex
	endpoints map[string]*fleet.Endpoint
	err       error // of the next read
}

func (s *sessions) Session(_ context.Context, sessionID string) (fleet.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.err; err != nil {
		s.err = nil
		return fleet.Session{}, err
	}
	e, ok := s.endpoints[sessionID]
	if !ok {
		return fleet.Session{}, fleet.ErrSessionLost
	}
	return fleet.Session{ID: sessionID, Executor: &fleet.Executor{Endpoint: e}}, nil
}

// serve serves a source, on the given address or any, until stop is called or the test ends.
func serve(t *testing.T, s Source, addr string) (_ *fleet.Endpoint, stop func()) {
	t.Helper()
	server, err := Listen(t.Context(), addr, "")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var serving errgroup.Group
	serving.Go(func() error { return server.Serve(ctx, s) })
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, serving.Wait())
	})
	t.Cleanup(stop)
	return server.Endpoint(), stop
}

func newTestFollower(endpoint *fleet.Endpoint) (*Follower, *sessions) {
	s := &sessions{endpoints: map[string]*fleet.Endpoint{"prc_1.1": endpoint}}
	return NewFollower(s, zap.NewNop()), s
}

// awaitSteps waits until the newest step has this number, and returns all that are known.
func awaitSteps(t *testing.T, s *Subscription, number int) []execution.Step {
	t.Helper()
	timeout := time.After(awaitTimeout)
	for {
		news, more := s.News()
		steps := news.Steps
		if len(steps) > 0 && steps[len(steps)-1].Number == number {
			return steps
		}
		select {
		case <-more:
		case <-timeout:
			t.Fatalf("no step %d; there are %v", number, steps)
		}
	}
}

func TestFollowersShareSteps(t *testing.T) {
	t.Parallel()
	s := newSource()
	s.add(2)
	endpoint, _ := serve(t, s, "127.0.0.1:0")
	f, _ := newTestFollower(endpoint)
	first, second := f.Follow(running("prc_1.1")), f.Follow(running("prc_1.1"))
	defer second.Close()
	require.Len(t, awaitSteps(t, first, 2), 2)
	require.Equal(t, "step 1", awaitSteps(t, second, 2)[0].Text)
	require.EqualValues(t, 1, s.asked.Load(), "one request for both")
	first.Close()
	first.Close()
	news, more := first.News()
	require.Empty(t, news)
	require.Nil(t, more)
	s.add(1)
	require.Len(t, awaitSteps(t, second, 3), 3)
	s.add(100)
	require.Len(t, awaitSteps(t, second, 103), execution.MaxSteps, "only the newest are kept")
}

// What the agent is saying arrives as it grows, and goes when it is a step.
func TestFollowersSeeWhatIsSaid(t *testing.T) {
	t.Parallel()
	s := newSource()
	s.add(1)
	endpoint, _ := serve(t, s, "127.0.0.1:0")
	f, _ := newTestFollower(endpoint)
	sub := f.Follow(running("prc_1.1"))
	defer sub.Close()
	for version, text := range []string{"I", "I look", ""} {
		s.say(Saying{Text: text, Version: version + 1})
		timeout := time.After(awaitTimeout)
		for news, more := sub.News(); news.Saying.Version <= version; news, more = sub.News() {
			select {
			case <-more:
			case <-timeout:
				t.Fatalf("the text %q does not arrive", text)
			}
		}
		news, _ := sub.News()
		require.Equal(t, Saying{Text: text, Version: version + 1}, news.Saying)
		require.Len(t, news.Steps, 1)
	}
}

func TestNothingToFollow(t *testing.T) {
	t.Parallel()
	f, _ := newTestFollower(nil)
	queued, claimedBefore := running("prc_1.1"), running("prc_1.1")
	queued.Status, queued.Lease, claimedBefore.Lease = execution.Queued, nil, nil
	for _, s := range []*Subscription{
		f.Follow(queued), f.Follow(claimedBefore), (*Follower)(nil).Follow(running("prc_1.1")),
	} {
		news, more := s.News()
		require.Empty(t, news)
		require.Nil(t, more)
		require.False(t, s.Of(running("prc_1.1")))
		s.Close()
	}
	require.Empty(t, f.feeds)
}

// A subscription is to one attempt under one session.
func TestSubscriptionOf(t *testing.T) {
	t.Parallel()
	f, _ := newTestFollower(nil)
	s := f.Follow(running("prc_1.1"))
	defer s.Close()
	require.True(t, s.Of(running("prc_1.1")))
	require.False(t, s.Of(running("prc_1.2")))
	other, ended := running("prc_1.1"), running("prc_1.1")
	other.Attempt = 3
	ended.Status, ended.Lease = execution.Succeeded, nil
	require.False(t, s.Of(other))
	require.False(t, s.Of(ended))
}

// Whatever fails while a client waits is tried again: a read of the session, an attempt that has not begun, and an
// executor that cannot be reached.
func TestFollowerTriesAgain(t *testing.T) {
	t.Parallel()
	s := newSource()
	endpoint, stop := serve(t, s, "127.0.0.1:0")
	f, readable := newTestFollower(endpoint)
	readable.err = errors.New("on purpose")
	subscription := f.Follow(running("prc_1.1"))
	defer subscription.Close()
	require.Eventually(t, func() bool { return s.asked.Load() > 0 }, awaitTimeout, time.Millisecond, "after the read failed")
	s.add(1)
	awaitSteps(t, subscription, 1)
	stop()
	s.add(1)
	// The next process of this name has a certificate and a token of its own.
	again, _ := serve(t, s, endpoint.Address)
	readable.mu.Lock()
	readable.endpoints["prc_1.1"] = again
	readable.mu.Unlock()
	require.Len(t, awaitSteps(t, subscription, 2), 2)
}

// Another program at the address of an executor learns nothing, and nobody else than the API gets steps.
func TestOnlyTheExecutorAndTheAPI(t *testing.T) {
	t.Parallel()
	s := newSource()
	s.add(1)
	endpoint, _ := serve(t, s, "127.0.0.1:0")
	other, _ := serve(t, s, "127.0.0.1:0")
	wrongAttempt := attempt{Ref: execution.Ref{Tenant: "ada", ID: "exe_1"}, number: 1}
	right := attempt{Ref: execution.Ref{Tenant: "ada", ID: "exe_1"}, number: 2}
	for name, test := range map[string]struct {
		endpoint fleet.Endpoint
		attempt  attempt
		err      string
	}{
		"right":             {*endpoint, right, ""},
		"wrong token":       {fleet.Endpoint{Address: endpoint.Address, Certificate: endpoint.Certificate, Token: other.Token}, right, "401"},
		"no token":          {fleet.Endpoint{Address: endpoint.Address, Certificate: endpoint.Certificate}, right, "401"},
		"wrong certificate": {fleet.Endpoint{Address: endpoint.Address, Certificate: other.Certificate, Token: endpoint.Token}, right, "certificate"},
		"wrong attempt":     {*endpoint, wrongAttempt, ErrNotRunning.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, err := newClient(&test.endpoint)
			require.NoError(t, err)
			defer client.CloseIdleConnections()
			news, err := ask(t.Context(), client, &test.endpoint, test.attempt, Position{})
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				return
			}
			require.NoError(t, err)
			require.Len(t, news.Steps, 1)
		})
	}
}

func TestInvalidRequest(t *testing.T) {
	t.Parallel()
	endpoint, _ := serve(t, newSource(), "127.0.0.1:0")
	client, err := newClient(endpoint)
	require.NoError(t, err)
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+endpoint.Address+"/steps?attempt=x", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+endpoint.Token)
	resp, err := client.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusBadRequest, resp.StatusCode)
}

func TestAdvertisedAddress(t *testing.T) {
	t.Parallel()
	for listen, advertise := range map[string]string{"127.0.0.1:0": "", "127.0.0.1:00": "executor-7:8090", ":0": ""} {
		s, err := Listen(t.Context(), listen, advertise)
		require.NoError(t, err)
		address := s.Endpoint().Address
		s.Close()
		if advertise != "" {
			require.Equal(t, advertise, address)
			continue
		}
		host, port, err := net.SplitHostPort(address)
		require.NoError(t, err)
		require.False(t, net.ParseIP(host).IsUnspecified(), address)
		require.NotEqual(t, "0", port)
	}
	_, err := Listen(t.Context(), "203.0.113.1:1", "") // no machine has this address (RFC 5737)
	require.ErrorContains(t, err, "for live steps")
	var none *Server
	require.Nil(t, none.Endpoint())
	require.NoError(t, none.Serve(t.Context(), nil))
	none.Close()
}
