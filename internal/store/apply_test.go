package store

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

func TestOneOfAHundredClaimsWins(t *testing.T) {
	t.Parallel()
	f := start(t)
	ref := f.run(t, ada)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var g errgroup.Group
	var won, leased atomic.Int32
	for i := range 100 {
		g.Go(func() error {
			_, err := f.apply(ctx, ref, execution.Claimed{Executor: "x1", ID: fmt.Sprint(i), Lease: lease})
			switch {
			case err == nil:
				won.Add(1)
			case errors.Is(err, execution.ErrLeased):
				leased.Add(1)
			default:
				return err
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	require.EqualValues(t, 1, won.Load())
	require.EqualValues(t, 99, leased.Load())
	e := f.stored(t, ref)
	require.Equal(t, 1, e.Attempt)
	require.Equal(t, execution.Running, e.Status)
}

// An attempt that was paused until its lease was lost changes nothing when it
// comes back, neither before nor after the next attempt has begun or ended.
func TestAnAttemptThatLostItsLeaseChangesNothing(t *testing.T) {
	t.Parallel()
	f := start(t)
	ref := f.run(t, ada)
	f.applied(t, ref, claim)

	late := func() {
		t.Helper()
		before := f.stored(t, ref)
		want := execution.ErrLeaseLost
		if before.Status.Terminal() {
			want = execution.ErrTerminal
		}
		for _, ev := range []execution.Event{
			finish(1, "late"), execution.Renewed{Attempt: 1, Lease: lease}, execution.Broke{Attempt: 1}, execution.HandedBack{Attempt: 1},
		} {
			_, err := f.Apply(t.Context(), ref, ev)
			require.ErrorIs(t, err, want, "%T", ev)
		}
		require.Empty(t, cmp.Diff(before, f.stored(t, ref)))
	}
	f.clock.Advance(lease + time.Second)
	late() // still running, with a lease that has run out
	ch := f.applied(t, ref, execution.FellDue{})
	require.Equal(t, []execution.Ref{ref}, ch.Announce)
	require.Equal(t, 1, ch.Execution.Spent)
	late() // queued
	f.applied(t, ref, claim)
	late() // another attempt runs
	f.applied(t, ref, finish(2, "in time"))
	late() // ended
	require.Equal(t, "in time", f.stored(t, ref).Result.Text)
}

func TestAHeartbeatKeepsTheLeaseAndWritesNothingElse(t *testing.T) {
	t.Parallel()
	f := start(t)
	ref := f.run(t, ada)
	f.applied(t, ref, claim)
	before := f.stored(t, ref)
	for range 4 {
		f.clock.Advance(lease - time.Second)
		f.applied(t, ref, execution.Renewed{Attempt: 1, Lease: lease})
	}
	after := f.stored(t, ref)
	require.Greater(t, after.Lease.Expires.Sub(before.Lease.Expires), 4*(lease-2*time.Second))
	require.True(t, after.Lease.Expires.Equal(*after.Due))
	after.Lease, after.Due = before.Lease, before.Due
	require.Empty(t, cmp.Diff(before, after))
}

func TestTurnsCannotOvertake(t *testing.T) {
	t.Parallel()
	f := start(t)
	first := f.turn(t, "", "first")
	second := f.turn(t, first.ConversationID, "second")

	claimSecond := func() error {
		_, err := f.Apply(t.Context(), second.Ref(), claim)
		return err
	}
	require.ErrorIs(t, claimSecond(), ErrNotItsTurn)
	f.applied(t, first.Ref(), claim)
	require.ErrorIs(t, claimSecond(), ErrNotItsTurn, "the first runs")
	f.applied(t, first.Ref(), execution.Broke{Attempt: 1})
	require.ErrorIs(t, claimSecond(), ErrNotItsTurn, "the first waits for its next attempt")
	require.Zero(t, f.stored(t, second.Ref()).Attempt)

	f.applied(t, first.Ref(), claim)
	ch := f.applied(t, first.Ref(), finish(2, "one"))
	require.Equal(t, []execution.Ref{second.Ref()}, ch.Announce, "its turn has come")
	require.NoError(t, claimSecond())
}

// However a turn ends, it has its reply at once and gives way to the next.
func TestEveryEndOfATurnHasItsReply(t *testing.T) {
	t.Parallel()
	f := start(t)
	for name, end := range map[string]struct {
		events []execution.Event
		code   execution.Code // of the reply; empty: it is a text
	}{
		"success":              {[]execution.Event{claim, finish(1, "done")}, ""},
		"failure":              {[]execution.Event{claim, execution.Finished{Attempt: 1, Ending: (&execution.Failure{Code: execution.CodeAgentError}).Ends(execution.Usage{})}}, execution.CodeAgentError},
		"cancelled in queue":   {[]execution.Event{execution.CancelAsked{}}, execution.CodeCanceled},
		"cancelled, then lost": {[]execution.Event{claim, execution.CancelAsked{}, execution.HandedBack{Attempt: 1}}, execution.CodeCanceled},
		"attempts exhausted": {[]execution.Event{
			claim, execution.Broke{Attempt: 1}, claim, execution.Broke{Attempt: 2}, claim, execution.Broke{Attempt: 3},
		}, execution.CodeAttemptsExhausted},
	} {
		t.Run(name, func(t *testing.T) {
			first := f.turn(t, "", "first")
			second := f.turn(t, first.ConversationID, "second")
			var ch execution.Change
			for _, ev := range end.events {
				require.Len(t, f.messages(t, first), 2, "no reply before the end")
				ch = f.applied(t, first.Ref(), ev)
			}
			require.Equal(t, []execution.Ref{second.Ref()}, ch.Announce)
			replies := f.messages(t, first)
			require.Len(t, replies, 3)
			reply := replies[1]
			require.Equal(t, execution.RoleAssistant, reply.Role)
			require.Equal(t, first.ID, reply.ExecutionID)
			if end.code == "" {
				require.Equal(t, "done", reply.Text)
				require.Nil(t, reply.Failure)
			} else {
				require.Equal(t, end.code, reply.Failure.Code)
			}
			require.Empty(t, cmp.Diff(f.stored(t, first.Ref()).FinishedAt, &reply.CreatedAt))
		})
	}
}

// A second turn may be cancelled while the first runs; that neither ends nor
// hinders the first.
func TestCancellingALaterTurn(t *testing.T) {
	t.Parallel()
	f := start(t)
	first := f.turn(t, "", "first")
	second := f.turn(t, first.ConversationID, "second")
	third := f.turn(t, first.ConversationID, "third")
	f.applied(t, first.Ref(), claim)
	require.Empty(t, f.applied(t, second.Ref(), execution.CancelAsked{}).Announce, "the first has been announced before")
	require.Equal(t, execution.Canceled, f.stored(t, second.Ref()).Status)
	ch := f.applied(t, first.Ref(), finish(1, "one"))
	require.Equal(t, []execution.Ref{third.Ref()}, ch.Announce)
	var said []string
	for _, m := range f.messages(t, first) {
		said = append(said, string(m.Role)+" "+m.Text)
	}
	require.Equal(t, []string{"user first", "assistant one", "user second", "assistant ", "user third"}, said)
}

// Who ends a turn and loses the answer finds that it has ended, and what to announce.
func TestARepeatedEndStillTellsOfTheNextTurn(t *testing.T) {
	t.Parallel()
	f := start(t)
	one := f.turn(t, "", "first")
	second := f.turn(t, one.ConversationID, "second")
	f.applied(t, one.Ref(), claim)
	f.applied(t, one.Ref(), finish(1, "one")) // nobody gets to know of this

	ch, err := f.Apply(t.Context(), one.Ref(), finish(1, "one"))
	require.ErrorIs(t, err, execution.ErrTerminal)
	require.Equal(t, []execution.Ref{second.Ref()}, ch.Announce)
	require.Equal(t, "one", ch.Execution.Result.Text)

	f.applied(t, second.Ref(), execution.CancelAsked{})
	ch, err = f.Apply(t.Context(), one.Ref(), finish(1, "one"))
	require.ErrorIs(t, err, execution.ErrTerminal)
	require.Empty(t, ch.Announce, "nothing waits any more")
}

// Cancellation, success and the end of a cancelled job meet on a running turn:
// one of them is its end, for good.
func TestCancelRacesCompletion(t *testing.T) {
	t.Parallel()
	f := start(t)
	canceled := execution.Finished{Attempt: 1, Ending: execution.Cancellation().Ends(execution.Usage{})}
	turns := make([]execution.Execution, 200)
	for i := range turns {
		turns[i] = f.turn(t, "", "hello")
		// The lease outlasts the race, however slow the machine.
		f.applied(t, turns[i].Ref(), execution.Claimed{Executor: "x1", Lease: 10 * time.Minute})
	}
	var race errgroup.Group
	ends := make([]atomic.Int32, len(turns))
	for i := range turns {
		for _, ev := range []execution.Event{finish(1, "done"), execution.CancelAsked{}, canceled} {
			race.Go(func() error {
				ch, err := f.apply(t.Context(), turns[i].Ref(), ev)
				if errors.Is(err, execution.ErrTerminal) {
					return nil
				}
				if ch.Execution.Status.Terminal() {
					ends[i].Add(1)
				}
				return err
			})
		}
	}
	require.NoError(t, race.Wait())

	count := map[execution.Status]int{}
	for i := range turns {
		require.EqualValues(t, 1, ends[i].Load(), "it ends once")
		ended := f.stored(t, turns[i].Ref())
		require.True(t, ended.Status.Terminal())
		require.Equal(t, ended.Status == execution.Succeeded, ended.Result != nil)
		require.Equal(t, ended.Status == execution.Canceled, ended.Failure != nil)
		require.Len(t, f.messages(t, ended), 2, "one reply")
		count[ended.Status]++
		if i%10 != 0 {
			continue
		}
		for _, ev := range []execution.Event{finish(1, "again"), execution.CancelAsked{}, canceled, claim, execution.FellDue{}} {
			_, err := f.Apply(t.Context(), ended.Ref(), ev)
			require.ErrorIs(t, err, execution.ErrTerminal)
		}
		require.Empty(t, cmp.Diff(ended, f.stored(t, ended.Ref())), "it never changes again")
	}
	t.Log(count)
}

func TestAnEventThatDoesNotFitIsTheDomainsError(t *testing.T) {
	t.Parallel()
	f := start(t)
	ref := f.run(t, ada)
	_, err := f.Apply(t.Context(), ref, execution.FellDue{})
	require.ErrorIs(t, err, execution.ErrNotDue)
	_, err = f.Apply(t.Context(), ref, finish(0, "x"))
	require.ErrorIs(t, err, execution.ErrLeaseLost)
	f.applied(t, ref, execution.CancelAsked{})
	_, err = f.Apply(t.Context(), ref, claim)
	require.ErrorIs(t, err, execution.ErrTerminal)
	_, err = f.Apply(t.Context(), execution.Ref{Owner: ada, ID: "exe_none"}, claim)
	require.Equal(t, &NotFoundError{Resource: "execution", ID: "exe_none"}, err)
}

// What was to be written with other documents may have come true by then: a turn
// that was queued when two cancelled it runs, and the first has told it so.
func TestWhatHasComeTrueIsNotWrittenAgain(t *testing.T) {
	t.Parallel()
	f := start(t)
	turn := f.turn(t, "", "hello")
	f.applied(t, turn.Ref(), claim)
	f.applied(t, turn.Ref(), execution.CancelAsked{})
	before := f.stored(t, turn.Ref())
	d, err := f.applyTogether(t.Context(), turn.Ref(), execution.CancelAsked{})
	require.NoError(t, err)
	require.True(t, d.Execution.CancelRequested)
	require.Empty(t, cmp.Diff(before, f.stored(t, turn.Ref())))
}
