package store

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/signal"
)

// receiver receives the inbox of one process, as another process than the fixture's.
type receiver struct {
	inbox    *Inbox
	received chan signal.Signal
	stop     func() // ends Receive and waits for it
}

func (f fixture) newReceiver(t *testing.T, process string) *receiver {
	t.Helper()
	r := &receiver{received: make(chan signal.Signal, 10_000)}
	r.inbox = New(f.firestore.Client).OpenInbox(process, func(s signal.Signal) { r.received <- s })
	r.start(t)
	t.Cleanup(func() { r.stop() })
	return r
}

func (r *receiver) start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			_ = r.inbox.Receive(ctx) // it is called again after an error
		}
	})
	r.stop = func() { cancel(); done.Wait() }
}

// await returns the tenants of the next n signals.
func (r *receiver) await(t *testing.T, n int) []string {
	t.Helper()
	tenants := make([]string, 0, n)
	for range n {
		select {
		case s := <-r.received:
			tenants = append(tenants, s.Tenant)
		case <-t.Context().Done():
			require.FailNow(t, "signals are missing", "received %d of %d", len(tenants), n)
		case <-time.After(20 * time.Second):
			require.FailNow(t, "signals are missing", "received %d of %d", len(tenants), n)
		}
	}
	return tenants
}

func numbered(to string, from, until int) (signals []signal.Signal, tenants []string) {
	for i := from; i < until; i++ {
		tenants = append(tenants, fmt.Sprintf("t%05d", i))
		signals = append(signals, signal.Signal{To: to, Kind: signal.KindWake, Tenant: tenants[i-from]})
	}
	return signals, tenants
}

func TestSignalReachesProcess(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.newReceiver(t, "prc_a")
	other := f.newReceiver(t, "prc_b")
	change := &signal.Change{ExecutionID: "exe_1", Status: execution.Running, Attempt: 2}
	require.NoError(t, f.SendSignals(t.Context(),
		signal.Signal{To: "prc_a", From: "prc_c", Kind: signal.KindChange, Tenant: ada, Change: change},
		signal.Signal{To: "prc_b", Kind: signal.KindFleet},
	))
	got := <-r.received
	require.NotEmpty(t, got.ID)
	require.WithinDuration(t, f.clock.Now(), got.At, time.Minute)
	require.WithinDuration(t, time.Now().Add(signal.TTL), got.Expires, time.Minute)
	require.Equal(t, signal.Signal{
		ID: got.ID, To: "prc_a", From: "prc_c", Kind: signal.KindChange, Tenant: ada, Change: change, At: got.At, Expires: got.Expires,
	}, got)
	require.Equal(t, signal.KindFleet, (<-other.received).Kind)
	require.Empty(t, r.received)
}

func TestSignalToOwnProcessIsNotWritten(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var received []signal.Signal
	f.OpenInbox("prc_own", func(s signal.Signal) { received = append(received, s) })
	require.NoError(t, f.SendSignals(t.Context(), signal.Signal{To: "prc_own", Kind: signal.KindWake, Tenant: ada}))
	require.Len(t, received, 1)
	require.Equal(t, ada, received[0].Tenant)
	require.Zero(t, f.countDocuments(t, f.inboxItems("prc_own").Query))
}

func TestSignalWithoutReceiver(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	require.NoError(t, f.SendSignals(t.Context()))
	require.NoError(t, f.SendSignals(t.Context(), signal.Signal{Kind: signal.KindWake}), "there is no leader, for example")
}

// Google's client keeps all documents of a listener in memory, so a new one begins now and then.
func TestInboxRenewsListener(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.newReceiver(t, "prc_a")
	var all []string
	for first := 0; first < 3*renewListenerAfter; first += 100 {
		signals, tenants := numbered("prc_a", first, first+100)
		all = append(all, tenants...)
		require.NoError(t, f.SendSignals(t.Context(), signals...))
		f.clock.Advance(2 * listenerOverlap)
	}
	require.ElementsMatch(t, all, r.await(t, len(all)))
	require.Empty(t, r.received, "no signal is received twice")
	r.stop()
	require.Less(t, len(r.inbox.seen), 2*renewListenerAfter)
}

func TestInboxContinuesAfterItStopped(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.newReceiver(t, "prc_a")
	before, names := numbered("prc_a", 0, 10)
	require.NoError(t, f.SendSignals(t.Context(), before...))
	require.ElementsMatch(t, names, r.await(t, 10))
	r.stop()
	meanwhile, names := numbered("prc_a", 10, 20)
	require.NoError(t, f.SendSignals(t.Context(), meanwhile...))
	// A commit that took long: its time is behind that of a signal that was received.
	_, err := f.inboxItems("prc_a").Doc("late").Set(t.Context(), map[string]any{
		"kind": signal.KindWake, "tenant": "late", "at": f.clock.Now().Add(-listenerOverlap / 2),
	})
	require.NoError(t, err)
	r.start(t)
	require.ElementsMatch(t, append(names, "late"), r.await(t, 11))
	require.Empty(t, r.received)
}

func TestInboxSkipsDocumentItCannotDecode(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.newReceiver(t, "prc_a")
	_, err := f.inboxItems("prc_a").Doc("broken").Set(t.Context(), map[string]any{"kind": 7, "at": firestore.ServerTimestamp})
	require.NoError(t, err)
	signals, names := numbered("prc_a", 0, 1)
	require.NoError(t, f.SendSignals(t.Context(), signals...))
	require.Equal(t, names, r.await(t, 1))
}

func TestInboxSurvivesOutage(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.newReceiver(t, "prc_a")
	var all []string
	for round := range 3 {
		signals, names := numbered("prc_a", 10*round, 10*round+10)
		all = append(all, names...)
		require.NoError(t, f.SendSignals(t.Context(), signals...))
		f.firestore.Stop()
		f.firestore.Start()
	}
	require.ElementsMatch(t, all, r.await(t, len(all)))
	require.Empty(t, r.received)
}
