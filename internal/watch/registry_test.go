package watch_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/signal"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/test/faultproxy"
)

func TestSignalWakesSubscriber(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	w, ref := f.newWatcher(), f.submit()
	other, unsubscribeOther := w.Subscribe(f.submit())
	defer unsubscribeOther()
	notified, unsubscribe := w.Subscribe(ref)
	f.register(w, ref, store.WatchChanges)
	for _, ev := range []execution.Event{execution.Claimed{Executor: "x1", Session: session, ClaimID: ref.ID}, success} {
		f.apply(ref, ev)
		await(t, notified)
	}
	require.Equal(t, 2, f.signals(w), "one for each change")
	require.Empty(t, other, "a signal wakes only those who wait for its execution")
	require.Equal(t, 2, w.Len())
	unsubscribe()
	require.Equal(t, 1, w.Len())
}

// What the process changes itself wakes its clients in memory.
func TestOwnChangeIsNotWritten(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	w, ref := f.newWatcher(), f.submit()
	notified, unsubscribe := w.Subscribe(ref)
	defer unsubscribe()
	f.register(w, ref, store.WatchEnds)
	_, err := w.store.Apply(t.Context(), ref, execution.CancelRequested{})
	require.NoError(t, err)
	await(t, notified)
	require.Zero(t, f.signals(w))
}

func TestOneRegistrationServesManyClients(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	w, ref := f.newWatcher(), f.submit()
	const clients = 20
	var registered, woken sync.WaitGroup
	for range clients {
		notified, unsubscribe := w.Subscribe(ref)
		woken.Go(func() {
			defer unsubscribe()
			select {
			case <-notified:
			case <-time.After(waitTimeout):
				t.Error("a client was not woken")
			}
		})
		registered.Go(func() {
			for {
				e, version, err := f.worker.ExecutionVersion(t.Context(), ref)
				if err == nil {
					err = w.Register(t.Context(), &e, version, store.WatchEnds)
				}
				if err == nil || !errors.Is(err, store.ErrChanged) {
					if err != nil {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	registered.Wait()
	e, _ := f.read(ref)
	require.Equal(t, []string{w.Process()}, e.Watchers.Ends)
	f.run(ref)
	woken.Wait()
	require.Equal(t, 1, f.signals(w))
}

// Between the read and the registration the execution has changed: its client would wait for what has happened.
func TestRegisterAfterChange(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	w, ref := f.newWatcher(), f.submit()
	e, version := f.read(ref)
	f.apply(ref, execution.Claimed{Executor: "x1", Session: session, ClaimID: ref.ID})
	require.ErrorIs(t, w.Register(t.Context(), &e, version, store.WatchEnds), store.ErrChanged)
	f.register(w, ref, store.WatchEnds)
	f.apply(ref, success)
	e, version = f.read(ref)
	require.NoError(t, w.Register(t.Context(), &e, version, store.WatchEnds), "nothing happens after the end")
}

func TestHandlersReceiveTheirKind(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	w := f.newWatcher()
	received := make(chan signal.Signal, 10)
	for range 2 {
		w.On(signal.KindFleet, func(s signal.Signal) { received <- s })
	}
	w.On(signal.KindJoin, func(signal.Signal) { t.Error("it is of another kind") })
	require.NoError(t, f.worker.SendSignals(t.Context(), signal.Signal{To: w.Process(), From: "prc_a", Kind: signal.KindFleet}))
	for range 2 {
		select {
		case s := <-received:
			require.Equal(t, "prc_a", s.From)
		case <-time.After(waitTimeout):
			require.FailNow(t, "no signal")
		}
	}
}

// Signals that are sent while the process has no connection arrive when it has one again. Until then a read by way of
// another connection finds the change.
func TestSignalsArriveAfterFault(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]faultproxy.Fault{
		"cut off":   faultproxy.Unreachable,
		"held back": faultproxy.BlackHole,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			w, proxy := f.newWatcherBehindProxy()
			before, during := f.submit(), f.submit()
			for _, ref := range []execution.Ref{before, during} {
				f.register(w, ref, store.WatchEnds)
			}
			awaitEnd := func(ref execution.Ref, end func()) <-chan struct{} {
				notified, unsubscribe := w.Subscribe(ref)
				t.Cleanup(unsubscribe)
				end()
				return notified
			}
			await(t, awaitEnd(before, func() { f.run(before) })) // so the listener has begun
			proxy.Set(fault)
			notified := awaitEnd(during, func() { f.run(during) })
			e, _ := f.read(during)
			require.Equal(t, execution.Succeeded, e.Status, "a client that reads again needs no signal")
			require.Empty(t, notified)
			proxy.Clear()
			await(t, notified)
		})
	}
}

// A connection is cut again and again. Each signal arrives once.
func TestConnectionThatIsCutOften(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	w, proxy := f.newWatcherBehindProxy()
	feed, gap := w.Follow(ada, "")
	defer feed.Close()
	require.False(t, gap)
	const rounds, each = 5, 10
	for round := range rounds {
		f.sendChanges(w, round*each, each)
		proxy.ResetConnections()
	}
	require.ElementsMatch(t, numbers(0, rounds*each), collect(t, feed, rounds*each))
	f.sendChanges(w, rounds*each, 1)
	require.Equal(t, []int{rounds * each}, collect(t, feed, 1), "none has arrived twice")
}
