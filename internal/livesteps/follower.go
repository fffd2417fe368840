package livesteps

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/go-json-experiment/json"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/supervise"
)

const (
	// minInterval is the least time between two requests for one attempt: what happens in between comes together.
	minInterval = 200 * time.Millisecond
	// maxBackoff bounds the time until an executor that cannot be reached is asked again.
	maxBackoff = 30 * time.Second
	// callTimeout bounds a read of a session, and each step of a connection; requestTimeout bounds a request.
	callTimeout    = 5 * time.Second
	requestTimeout = maxWait + 10*time.Second
	// maxAnswerBytes is far more than all steps that an executor keeps of an attempt.
	maxAnswerBytes = 1 << 20
)

// errNoEndpoint means that an executor serves no steps, because of its settings or its version.
var errNoEndpoint = errors.New("the executor serves no live steps")

// SessionReader reads sessions. The error is fleet.ErrSessionLost if there is none of this ID.
type SessionReader interface {
	Session(ctx context.Context, sessionID string) (fleet.Session, error)
}

// attempt names what is followed.
type attempt struct {
	execution.Ref
	session string
	number  int
}

// Follower follows attempts that run in other processes. All who follow the same attempt share one connection. It is
// safe for concurrent use. Nil is a follower without live steps.
type Follower struct {
	sessions SessionReader
	log      *zap.Logger

	mu    sync.Mutex
	feeds map[attempt]*feed
}

// NewFollower returns a follower that follows nothing yet.
func NewFollower(sessions SessionReader, log *zap.Logger) *Follower {
	return &Follower{sessions: sessions, log: log, feeds: map[attempt]*feed{}}
}

// feed is one attempt that is followed.
type feed struct {
	stop        context.CancelFunc
	subscribers int // guarded by Follower.mu

	mu      sync.Mutex
	steps   []execution.Step // the newest ones
	saying  Saying
	result  Result
	changed chan struct{} // closed and replaced when something arrives
}

// Subscription is the interest of one client in the steps of an attempt. The zero value has no steps.
type Subscription struct {
	follower *Follower
	attempt  attempt
	feed     *feed
}

// Follow subscribes to the steps of a running execution. Of another one there are no live steps. The caller must call
// Close.
func (f *Follower) Follow(e *execution.Execution) *Subscription {
	if f == nil || e.Status != execution.Running || e.Lease == nil {
		return &Subscription{}
	}
	s := &Subscription{follower: f, attempt: attempt{Ref: e.Ref(), session: e.Lease.Session, number: e.Attempt}}
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.feed = f.feeds[s.attempt]; s.feed == nil {
		ctx, stop := context.WithCancel(context.Background())
		s.feed = &feed{stop: stop, changed: make(chan struct{})}
		f.feeds[s.attempt] = s.feed
		go f.run(ctx, s.attempt, s.feed)
	}
	s.feed.subscribers++
	return s
}

// Of reports whether the subscription is to the attempt that an execution is in.
func (s *Subscription) Of(e *execution.Execution) bool {
	return s.feed != nil && e.Status == execution.Running && e.Lease != nil &&
		s.attempt == attempt{Ref: e.Ref(), session: e.Lease.Session, number: e.Attempt}
}

// News returns the newest steps that are known, what the agent is saying, and a channel that is closed when there is
// more. It is nil if there will be nothing.
func (s *Subscription) News() (News, <-chan struct{}) {
	if s.feed == nil {
		return News{}, nil
	}
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	return News{Steps: s.feed.steps, Saying: s.feed.saying, Result: s.feed.result}, s.feed.changed
}

// Close ends the subscription. Only the first call has an effect.
func (s *Subscription) Close() {
	if s.feed == nil {
		return
	}
	f := s.follower
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.feed.subscribers--; s.feed.subscribers == 0 {
		s.feed.stop()
		delete(f.feeds, s.attempt)
	}
	s.feed = nil
}

// run fills a feed until ctx ends.
func (f *Follower) run(ctx context.Context, a attempt, to *feed) {
	log := f.log.With(zap.String("execution", a.ID), zap.String("tenant", a.Tenant))
	defer supervise.RecoverLog(log, "following the steps of an attempt panicked; they are shown with its end")
	delays := backoff.NewExponentialBackOff()
	delays.MaxInterval = maxBackoff
	for ctx.Err() == nil {
		err := f.follow(ctx, a, to, delays.Reset)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errNoEndpoint), errors.Is(err, fleet.ErrSessionLost):
			log.Debug("there are no live steps", zap.Error(err))
			return
		case errors.Is(err, ErrNotRunning): // it is about to begin, or its end is about to be seen
		default:
			log.Info("could not ask the executor for the steps of an attempt; trying again", zap.Error(err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(delays.NextBackOff()):
		}
	}
}

// follow asks the executor again and again, until something fails. It calls onAnswer after each answer.
func (f *Follower) follow(ctx context.Context, a attempt, to *feed, onAnswer func()) error {
	readCtx, cancel := context.WithTimeout(ctx, callTimeout)
	session, err := f.sessions.Session(readCtx, a.session)
	cancel()
	if err != nil {
		return err
	}
	if session.Executor == nil || session.Executor.Endpoint == nil {
		return errNoEndpoint
	}
	client, err := newClient(session.Executor.Endpoint)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	for {
		news, err := ask(ctx, client, session.Executor.Endpoint, a, to.position())
		if err != nil {
			return err
		}
		onAnswer()
		to.add(news)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(minInterval):
		}
	}
}

func (f *feed) position() Position {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := Position{Saying: f.saying.Version, Result: f.result.Version}
	if len(f.steps) > 0 {
		p.Step = f.steps[len(f.steps)-1].Number
	}
	return p
}

func (f *feed) add(news News) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(news.Steps) == 0 && news.Saying == f.saying && news.Result == f.result {
		return
	}
	f.saying, f.result = news.Saying, news.Result
	all := slices.Concat(f.steps, news.Steps) // a new slice: readers have the old one
	f.steps = all[max(0, len(all)-execution.MaxSteps):]
	close(f.changed)
	f.changed = make(chan struct{})
}

// newClient returns a client that trusts this executor only.
func newClient(e *fleet.Endpoint) (*http.Client, error) {
	certificate, err := x509.ParseCertificate(e.Certificate)
	if err != nil {
		return nil, fmt.Errorf("certificate of the executor at %s: %w", e.Address, err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	return &http.Client{
		Timeout: requestTimeout,
		Transport: &http.Transport{ // without a proxy: executors are in the same network
			DialContext:     (&net.Dialer{Timeout: callTimeout}).DialContext,
			TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: serverName, MinVersion: tls.VersionTLS13}, TLSHandshakeTimeout: callTimeout,
		},
	}, nil
}

// ask waits for what is new after a position.
func ask(ctx context.Context, client *http.Client, e *fleet.Endpoint, a attempt, have Position) (news News, err error) {
	query := url.Values{
		"tenant": {a.Tenant}, "execution": {a.ID}, "attempt": {strconv.Itoa(a.number)}, "after": {strconv.Itoa(have.Step)},
		"saying": {strconv.Itoa(have.Saying)}, "result": {strconv.Itoa(have.Result)},
	}
	address := url.URL{Scheme: "https", Host: e.Address, Path: "/steps", RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return news, err
	}
	req.Header.Set("Authorization", "Bearer "+e.Token)
	resp, err := client.Do(req)
	if err != nil {
		return news, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return news, ErrNotRunning
	default:
		return news, fmt.Errorf("the executor at %s answered %s", e.Address, resp.Status)
	}
	err = json.UnmarshalRead(http.MaxBytesReader(nil, resp.Body, maxAnswerBytes), &news)
	return news, err
}
