package membership

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"github.com/airlock-run/airlock/internal/domain/fleet"
)

// faultySessions answers like the real store, but as the test says. Its clock is that of the synctest bubble, so the
// tests can tell to the nanosecond when a session ends; the real store is in the other tests.
type faultySessions struct {
	mu       sync.Mutex
	renew    func(ctx context.Context) error // nil: succeeds
	sessions map[string]time.Time            // when each was renewed
	sent     []time.Time                     // of renewals
	reported []*fleet.Executor
	ended    []string
}

func (f *faultySessions) BeginSession(_ context.Context, s fleet.Session) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sessions[s.ID] = time.Now()
	return nil
}

func (f *faultySessions) RenewSession(ctx context.Context, id string, x *fleet.Executor) error {
	f.mu.Lock()
	renew := f.renew
	f.sent = append(f.sent, time.Now())
	f.reported = append(f.reported, x)
	f.mu.Unlock()
	if renew != nil {
		if err := renew(ctx); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.sessions[id]; !ok {
		return fleet.ErrSessionLost
	}
	f.sessions[id] = time.Now()
	return nil
}

func (f *faultySessions) EndSession(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = append(f.ended, id)
	delete(f.sessions, id)
	return nil
}

func (*faultySessions) Session(context.Context, string) (fleet.Session, error) {
	return fleet.Session{}, errors.New("not used")
}

func (f *faultySessions) onRenew(renew func(context.Context) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.renew = renew
}

func hang(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

// inBubble runs a member against a faulty store, with virtual time.
func inBubble(t *testing.T, onLost func(ctx context.Context), test func(t *testing.T, m *Member, s *faultySessions)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &faultySessions{sessions: map[string]time.Time{}}
		m := NewMember(MemberConfig{
			Store: s, Process: "p", Kind: fleet.KindExecutor, Info: func() fleet.Executor { return fleet.Executor{Slots: 4} },
			OnLost: onLost, Log: zaptest.NewLogger(t),
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		synctest.Wait()
		defer func() {
			cancel()
			require.NoError(t, <-done)
		}()
		test(t, m, s)
	})
}

func TestSessionIsRenewed(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, m *Member, s *faultySessions) {
		began := time.Now()
		time.Sleep(time.Minute + time.Second)
		session, live := m.Current()
		require.True(t, live)
		require.Equal(t, "p.1", session.ID)
		require.Len(t, s.sent, int(time.Minute/fleet.RenewInterval))
		require.Equal(t, began.Add(fleet.RenewInterval), s.sent[0])
		for _, x := range s.reported {
			require.Nil(t, x, "what has not changed is not written again")
		}
	})
}

// One call that hangs does not use up the lease: the next one is sent after half of the interval.
func TestUnansweredRenewalIsRepeated(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, m *Member, s *faultySessions) {
		s.onRenew(hang)
		time.Sleep(fleet.RenewInterval + fleet.RenewInterval/2 - time.Millisecond)
		s.onRenew(nil)
		time.Sleep(time.Minute)
		_, live := m.Current()
		require.True(t, live)
		require.Equal(t, fleet.RenewInterval/2, s.sent[1].Sub(s.sent[0]))
		require.Equal(t, fleet.RenewInterval, s.sent[2].Sub(s.sent[1]))
	})
}

// The lease counts from when the last renewal that succeeded was sent. The next session begins only when the jobs are
// gone.
func TestSessionIsLostWithoutRenewal(t *testing.T) {
	t.Parallel()
	var jobsGone chan struct{}
	inBubble(t, func(context.Context) { <-jobsGone }, func(t *testing.T, m *Member, s *faultySessions) {
		jobsGone = make(chan struct{}) // of the bubble
		session, _ := m.Current()
		lastSent := time.Now().Add(fleet.RenewInterval)
		time.Sleep(fleet.RenewInterval + time.Millisecond) // one renewal succeeds
		s.onRenew(hang)
		<-session.Lost()
		require.Equal(t, lastSent.Add(fleet.SessionLease), time.Now())
		_, live := m.Current()
		require.False(t, live)
		s.onRenew(nil)
		time.Sleep(time.Minute)
		_, live = m.Current()
		require.False(t, live, "its jobs are not gone")
		require.Empty(t, s.ended)
		close(jobsGone)
		next, err := m.Await(t.Context())
		require.NoError(t, err)
		require.Equal(t, "p.2", next.ID)
		require.Equal(t, []string{"p.1"}, s.ended, "the leader need not wait for its expiry")
	})
}

// The answer of a renewal may come after the lease has ended here. The leader may have acted on the end, so the session
// stays lost, though it exists.
func TestLateAnswerDoesNotReviveSession(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, m *Member, s *faultySessions) {
		session, _ := m.Current()
		paused := fleet.SessionLease + time.Minute
		s.onRenew(func(context.Context) error { // as if the process was paused while it waits for the answer
			time.Sleep(paused)
			return nil
		})
		time.Sleep(fleet.RenewInterval + time.Millisecond)
		s.onRenew(nil)
		time.Sleep(paused)
		require.False(t, session.Live())
		next, err := m.Await(t.Context())
		require.NoError(t, err)
		require.Equal(t, "p.2", next.ID)
		require.Equal(t, []string{"p.1"}, s.ended)
	})
}

// The leader has reaped the session and deleted its document.
func TestReapedSessionIsLost(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, m *Member, s *faultySessions) {
		session, _ := m.Current()
		began := time.Now()
		require.NoError(t, s.EndSession(t.Context(), session.ID))
		<-session.Lost()
		require.Equal(t, began.Add(fleet.RenewInterval), time.Now(), "at the next renewal")
	})
}

// A bug in what the executor reports ends the session in the ordinary way: jobs are killed before the next one.
func TestPanicLosesSession(t *testing.T) {
	t.Parallel()
	lost := false
	inBubble(t, func(context.Context) { lost = true }, func(t *testing.T, m *Member, s *faultySessions) {
		session, _ := m.Current()
		s.onRenew(func(context.Context) error { panic("on purpose") })
		<-session.Lost()
		s.onRenew(nil)
		next, err := m.Await(t.Context())
		require.NoError(t, err)
		require.Equal(t, "p.2", next.ID)
		require.True(t, lost)
	})
}

func TestLeaseStaysLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLease(time.Now(), time.Second)
		time.Sleep(time.Second / 2)
		require.True(t, l.renew(time.Now()))
		time.Sleep(time.Second - 1)
		require.True(t, l.live())
		sentAt := time.Now()
		time.Sleep(time.Nanosecond)
		require.False(t, l.renew(sentAt), "the answer came too late")
		<-l.lost
		require.False(t, l.live())
	})
}
