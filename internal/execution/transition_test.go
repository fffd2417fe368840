package execution

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func queued() Execution {
	return New("ada", KindRun, Task{Runtime: "offline", Input: "hello"}, time.Minute, start)
}

func runningSince(now time.Time) Execution {
	e := queued()
	if err := e.Apply(Claimed{Executor: "x1", Lease: 15 * time.Second}, now); err != nil {
		panic(err)
	}
	return e
}

func TestNewIsQueuedAndDueWhenNobodyHears(t *testing.T) {
	e := queued()
	require.Equal(t, Queued, e.Status)
	require.True(t, e.Ready)
	require.Equal(t, start.Add(ringAgain), *e.Due)
	require.Zero(t, e.Attempt)
}

func TestEvents(t *testing.T) {
	succeeded := Ending{Status: Succeeded, Result: &Result{Text: "done"}}
	later := start.Add(5 * time.Second)
	expired := start.Add(15 * time.Second)
	lost := func() Execution { e := runningSince(start); return e }
	cancelAsked := func() Execution { e := runningSince(start); e.CancelRequested = true; return e }
	lastAttempt := func() Execution { e := runningSince(start); e.Spent = e.MaxAttempts - 1; return e }

	for name, tc := range map[string]struct {
		from Execution
		ev   Event
		at   time.Time

		err    error
		status Status
		code   Code
		spent  int
		ready  bool
		due    *time.Time
	}{
		"claim starts an attempt":            {from: queued(), ev: Claimed{"x1", time.Minute}, at: later, status: Running, due: at(later.Add(time.Minute))},
		"claim of what runs":                 {from: lost(), ev: Claimed{"x2", time.Minute}, at: later, err: ErrLeased},
		"claim of a lost lease":              {from: lost(), ev: Claimed{"x2", time.Minute}, at: expired, err: ErrLeased},
		"heartbeat extends":                  {from: lost(), ev: Renewed{1, time.Minute}, at: later, status: Running, due: at(later.Add(time.Minute))},
		"heartbeat too late":                 {from: lost(), ev: Renewed{1, time.Minute}, at: expired, err: ErrLeaseLost},
		"heartbeat of an older attempt":      {from: lost(), ev: Renewed{0, time.Minute}, at: later, err: ErrLeaseLost},
		"finish":                             {from: lost(), ev: Finished{1, succeeded}, at: later, status: Succeeded},
		"finish too late":                    {from: lost(), ev: Finished{1, succeeded}, at: expired, err: ErrLeaseLost},
		"finish of another attempt":          {from: lost(), ev: Finished{2, succeeded}, at: later, err: ErrLeaseLost},
		"finish of what is queued":           {from: queued(), ev: Finished{0, succeeded}, at: later, err: ErrLeaseLost},
		"broken attempt waits":               {from: lost(), ev: Broke{Attempt: 1, Backoff: 2 * time.Second}, at: later, status: Queued, spent: 1, due: at(later.Add(2 * time.Second))},
		"last broken attempt":                {from: lastAttempt(), ev: Broke{Attempt: 1, Backoff: time.Second}, at: later, status: Failed, code: CodeAttemptsExhausted, spent: 3},
		"broken attempt of what is canceled": {from: cancelAsked(), ev: Broke{Attempt: 1, Backoff: time.Second}, at: later, status: Canceled, code: CodeCanceled, spent: 1},
		"handed back at once":                {from: lost(), ev: HandedBack{Attempt: 1}, at: later, status: Queued, ready: true, due: at(later.Add(ringAgain))},
		"handed back when canceled":          {from: cancelAsked(), ev: HandedBack{Attempt: 1}, at: later, status: Canceled, code: CodeCanceled},
		"queued and not heard":               {from: queued(), ev: FellDue{}, at: start.Add(ringAgain), status: Queued, ready: true, due: at(start.Add(2 * ringAgain))},
		"queued and not due":                 {from: queued(), ev: FellDue{}, at: later, err: ErrNotDue},
		"lease lost":                         {from: lost(), ev: FellDue{}, at: expired, status: Queued, spent: 1, ready: true, due: at(expired.Add(ringAgain))},
		"lease not lost":                     {from: lost(), ev: FellDue{}, at: later, err: ErrNotDue},
		"lease of the last attempt lost":     {from: lastAttempt(), ev: FellDue{}, at: expired, status: Failed, code: CodeAttemptsExhausted, spent: 3},
		"cancel of what is queued":           {from: queued(), ev: CancelAsked{}, at: later, status: Canceled, code: CodeCanceled},
		"cancel of what runs":                {from: lost(), ev: CancelAsked{}, at: later, status: Running, due: at(expired)},
	} {
		t.Run(name, func(t *testing.T) {
			e := tc.from
			e.Ready = false
			before := e
			err := e.Apply(tc.ev, tc.at)
			if tc.err != nil {
				require.ErrorIs(t, err, tc.err)
				require.Equal(t, before, e, "an event that does not fit changes nothing")
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.status, e.Status)
			require.Equal(t, tc.spent, e.Spent)
			require.Equal(t, tc.ready, e.Ready)
			require.Equal(t, tc.due, e.Due)
			if tc.code == "" {
				require.Nil(t, e.Failure)
			} else {
				require.Equal(t, tc.code, e.Failure.Code)
			}
		})
	}
}

func at(t time.Time) *time.Time { return &t }

// TestAnyHistory drives an execution through random events at random times and
// checks what must hold whatever happens.
func TestAnyHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := queued()
		now := start
		terminal := Execution{}
		for range rapid.IntRange(1, 40).Draw(t, "events") {
			now = now.Add(time.Duration(rapid.IntRange(0, 60_000).Draw(t, "ms")) * time.Millisecond)
			attempt := rapid.IntRange(0, 4).Draw(t, "attempt")
			lease := 15 * time.Second
			ev := rapid.SampledFrom([]Event{
				Claimed{"x", lease}, Renewed{attempt, lease}, Broke{Attempt: attempt, Backoff: time.Second}, HandedBack{Attempt: attempt}, FellDue{}, CancelAsked{},
				Finished{attempt, Ending{Status: Succeeded, Result: &Result{Text: "ok"}}},
				Finished{attempt, (&Failure{Code: CodeTimedOut}).Ends(Usage{})},
			}).Draw(t, "event")
			before := e
			err := e.Apply(ev, now)

			if before.Status.Terminal() {
				require.ErrorIs(t, err, ErrTerminal)
				require.Equal(t, terminal, e, "a terminal state never changes")
			}
			if err != nil {
				require.Equal(t, before, e)
			}
			require.Equal(t, e.Status == Running, e.Lease != nil, "leased exactly while running")
			require.Equal(t, e.Status.Terminal(), e.Due == nil, "whatever is not terminal gets due")
			require.Equal(t, e.Status.Terminal(), e.FinishedAt != nil)
			require.Equal(t, e.Status == Succeeded, e.Result != nil)
			require.Equal(t, e.Status.Terminal() && e.Status != Succeeded, e.Failure != nil)
			require.LessOrEqual(t, e.Spent, e.MaxAttempts)
			require.GreaterOrEqual(t, e.Attempt, before.Attempt, "attempts only count up")
			if e.Status.Terminal() {
				terminal = e
			}
		}
	})
}

func TestFailureEnds(t *testing.T) {
	for code, status := range map[Code]Status{
		CodeTimedOut: TimedOut, CodeCanceled: Canceled, CodeAgentError: Failed, CodeOutOfMemory: Failed,
	} {
		require.Equal(t, status, (&Failure{Code: code}).Ends(Usage{}).Status, code)
	}
}

// What attempts have used adds up, so that trying again is not free.
func TestUsageIsOfAllAttempts(t *testing.T) {
	once := Usage{InputTokens: 10, OutputTokens: 2, CostUSD: 0.5, Calls: 1}
	e := queued()
	now := start
	apply := func(ev Event) {
		t.Helper()
		now = now.Add(time.Second)
		require.NoError(t, e.Apply(ev, now))
	}
	apply(Claimed{"x1", time.Minute})
	apply(Broke{Attempt: 1, Usage: once})
	apply(Claimed{"x1", time.Minute})
	apply(HandedBack{Attempt: 2, Usage: once})
	apply(Claimed{"x2", time.Minute})
	apply(CancelAsked{})
	apply(Finished{Attempt: 3, Ending: Ending{Status: Succeeded, Result: &Result{}, Usage: once}})
	require.Equal(t, Usage{InputTokens: 30, OutputTokens: 6, CostUSD: 1.5, Calls: 3}, e.Usage)
}
