package membership

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/option"
	"google.golang.org/grpc"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/test/faultproxy"
)

// These tests run in real time, because leases of processes are measured by the machine's clock. Firestore's clock is
// an hour behind it in all of them.

// slack is what a loaded machine may need besides the bound that a test states.
const slack = 5 * time.Second

// leaderBound is how long after the death of a leader another process leads: the lease that it renewed last, and a turn
// of a follower.
const leaderBound = fleet.SessionLease + pollSpacing

// expiryBound is how long after the death of a process its session is found.
const expiryBound = fleet.SessionLease + fleet.RenewInterval

func newFaultFixture(t *testing.T) *fixture {
	t.Helper()
	if testing.Short() {
		t.Skip("it waits for leases to expire")
	}
	f := newFixture(t)
	f.clock.Advance(-time.Hour)
	return f
}

// behindProxy gives a process a connection of its own to Firestore, which the test can disturb.
func (f *fixture) behindProxy() (*faultproxy.Proxy, func(*process)) {
	f.t.Helper()
	proxy, err := faultproxy.Listen("tcp", "127.0.0.1:0", f.firestore.Address())
	require.NoError(f.t, err)
	dial := grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", proxy.Addr())
	})
	options := append(f.firestore.ClientOptions(), option.WithGRPCDialOption(dial))
	client, err := firestore.NewClient(f.t.Context(), emulatortest.Project, options...)
	require.NoError(f.t, err)
	f.t.Cleanup(func() {
		proxy.Clear()
		require.NoError(f.t, client.Close())
		require.NoError(f.t, proxy.Close())
	})
	return proxy, func(p *process) { p.store = store.New(client) }
}

func (p *process) reaped() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.expired...)
}

// The leader dies. Another process leads within the bound, reaps the leader's session, and takes its partitions.
func TestDeadLeaderIsReplaced(t *testing.T) {
	t.Parallel()
	f := newFaultFixture(t)
	proxy, disturbed := f.behindProxy()
	a := f.start("a", disturbed)
	f.awaitOwners("a") // it leads
	b := f.start("b")
	c := f.start("c")
	f.awaitOwners("a", "b", "c")
	session, _ := a.Current()
	proxy.Set(faultproxy.Unreachable)
	died := time.Now()
	f.eventually(func() bool { return b.leader.Leads() || c.leader.Leads() })
	led := time.Since(died)
	require.False(t, a.leader.Leads())
	f.awaitOwners("b", "c")
	moved := time.Since(died)
	f.eventually(func() bool { return len(b.reaped())+len(c.reaped()) > 0 })
	t.Logf("a new leader after %s, the partitions moved after %s, the session reaped after %s", led, moved, time.Since(died))
	require.Less(t, led, leaderBound+slack)
	require.Less(t, moved, leaderBound+fleet.RenewInterval+slack)
	require.Contains(t, append(b.reaped(), c.reaped()...), session.ID)
	require.False(t, session.Live())
}

// A process dies that does not lead. Its session is found, and its partitions move, within the bound.
func TestPartitionsOfDeadProcessMove(t *testing.T) {
	t.Parallel()
	f := newFaultFixture(t)
	proxy, disturbed := f.behindProxy()
	a := f.start("a")
	f.awaitOwners("a") // it leads
	b := f.start("b", disturbed)
	f.awaitOwners("a", "b")
	session, _ := b.Current()
	proxy.Set(faultproxy.Unreachable)
	died := time.Now()
	f.awaitOwners("a")
	moved := time.Since(died)
	f.eventually(func() bool { return len(a.reaped()) > 0 })
	t.Logf("the partitions moved after %s, the session was reaped after %s", moved, time.Since(died))
	require.Less(t, moved, expiryBound+slack)
	require.Equal(t, []string{session.ID}, a.reaped())
	f.eventually(func() bool { // it is deleted when it has been reaped
		_, err := a.store.Session(t.Context(), session.ID)
		return errors.Is(err, fleet.ErrSessionLost)
	})
}

// A process is partitioned: what it sends arrives when the partition ends. Its old session stays lost, though a renewal
// of it arrives late, and it begins another one, which gets partitions again.
func TestPartitionedProcessBeginsAnotherSession(t *testing.T) {
	t.Parallel()
	f := newFaultFixture(t)
	proxy, disturbed := f.behindProxy()
	f.start("a")
	f.awaitOwners("a") // it leads
	b := f.start("b", disturbed)
	f.awaitOwners("a", "b")
	session, _ := b.Current()
	proxy.Set(faultproxy.BlackHole)
	cut := time.Now()
	<-session.Lost()
	require.Less(t, time.Since(cut), fleet.SessionLease+time.Second, "it knows before others act")
	require.Contains(t, f.published().Owners, "b", "they have not acted yet")
	f.awaitOwners("a")
	proxy.Clear()
	next, err := b.Await(t.Context())
	require.NoError(t, err)
	require.NotEqual(t, session.ID, next.ID)
	require.False(t, session.Live())
	f.awaitOwners("a", "b")
}

// A leader's writes are held back until another process leads. Both believe to lead for the time of one write at most;
// the write is refused, because the document has changed.
func TestLateWriteOfDeposedLeaderIsRefused(t *testing.T) {
	t.Parallel()
	f := newFaultFixture(t)
	proxy, disturbed := f.behindProxy()
	a := f.start("a", disturbed)
	f.awaitOwners("a") // it leads
	b := f.start("b")
	f.awaitOwners("a", "b")
	proxy.Set(faultproxy.BlackHole)
	f.eventually(func() bool {
		bothLead := a.leader.Leads() && b.leader.Leads()
		require.False(t, bothLead, "the lease of the old leader ends before that of the document")
		return b.leader.Leads()
	})
	f.awaitOwners("b")
	proxy.Clear() // the writes of a arrive
	_, err := a.Await(t.Context())
	require.NoError(t, err)
	f.awaitOwners("a", "b")
	require.Equal(t, "b", f.published().Leader)
	require.True(t, b.leader.Leads())
	require.False(t, a.leader.Leads())
}

// What only the leader does stops when its lease ends, also if the leader cannot reach Firestore.
func TestDutiesEndWithTheLease(t *testing.T) {
	t.Parallel()
	f := newFaultFixture(t)
	proxy, disturbed := f.behindProxy()
	a := f.newProcess("a", disturbed)
	running := new(atomic.Bool)
	a.leader.RunWhileLeading("duty", func(ctx context.Context) error {
		running.Store(true)
		defer running.Store(false)
		<-ctx.Done()
		return nil
	})
	f.run(a)
	f.eventually(running.Load)
	now, leads := a.leader.Now()
	require.True(t, leads)
	require.WithinDuration(t, f.clock.Now(), now, slack, "the time is Firestore's")
	require.False(t, now.After(f.clock.Now()))
	proxy.Set(faultproxy.BlackHole)
	cut := time.Now()
	f.eventually(func() bool { return !running.Load() })
	require.Less(t, time.Since(cut), fleet.SessionLease+slack)
	require.False(t, a.leader.Leads())
	proxy.Clear()
	f.eventually(running.Load, "it leads again")
}

// A session whose jobs cannot be queued again stays until they can.
func TestSessionIsDeletedOnlyAfterItWasReaped(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var calls atomic.Int32
	refuse := new(atomic.Bool)
	refuse.Store(true)
	a := f.start("a", func(p *process) {
		p.reap = func(context.Context, fleet.Session) error {
			calls.Add(1)
			if refuse.Load() {
				panic("on purpose")
			}
			return nil
		}
	})
	f.awaitOwners("a") // it leads
	b := f.start("b")
	f.awaitOwners("a", "b")
	session, _ := b.Current()
	b.stop()
	f.eventually(func() bool { return calls.Load() > 1 }, "it is tried again")
	stored, err := a.store.Session(t.Context(), session.ID)
	require.NoError(t, err)
	require.Equal(t, session.ID, stored.ID)
	f.awaitOwners("a")
	refuse.Store(false)
	f.eventually(func() bool {
		_, err := a.store.Session(t.Context(), session.ID)
		return err != nil
	})
}

// An operator's decision reaches the executor by a signal. If that is lost, the leader repeats it.
func TestDrain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.start("a")
	f.awaitOwners("a") // it leads
	b := f.start("b")
	f.awaitOwners("a", "b")
	_, err := b.store.SetDraining(t.Context(), "x-b", true) // without a signal
	require.NoError(t, err)
	f.start("c") // the leader reads the sessions
	f.awaitOwners("a", "c")
	f.eventually(func() bool {
		s, _ := b.Current()
		stored, err := b.store.Session(t.Context(), s.ID)
		return err == nil && stored.Executor.Draining
	})
	_, err = b.store.SetDraining(t.Context(), "x-b", false)
	require.NoError(t, err)
	b.Drain()
	f.awaitOwners("a", "b", "c")
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Contains(t, b.drains, true)
	require.False(t, b.drains[len(b.drains)-1])
}
