package execution

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/domain/agent"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func queued() Execution {
	e := New("ada", KindRun, Task{Runtime: "offline", Input: "hello"}, Limits{Timeout: time.Minute}, start)
	e.ID = "exe_1" // its pauses follow from it
	return e
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
		tries  int
		ready  bool
		due    *time.Time
	}{
		"claim starts an attempt":            {from: queued(), ev: Claimed{Executor: "x1", Lease: time.Minute}, at: later, status: Running, due: at(later.Add(time.Minute))},
		"claim of what runs":                 {from: lost(), ev: Claimed{Executor: "x2", Lease: time.Minute}, at: later, err: ErrLeased},
		"claim of a lost lease":              {from: lost(), ev: Claimed{Executor: "x2", Lease: time.Minute}, at: expired, err: ErrLeased},
		"heartbeat extends":                  {from: lost(), ev: Renewed{Attempt: 1, Lease: time.Minute}, at: later, status: Running, due: at(later.Add(time.Minute))},
		"heartbeat too late":                 {from: lost(), ev: Renewed{Attempt: 1, Lease: time.Minute}, at: expired, err: ErrLeaseLost},
		"heartbeat of an older attempt":      {from: lost(), ev: Renewed{Attempt: 0, Lease: time.Minute}, at: later, err: ErrLeaseLost},
		"finish":                             {from: lost(), ev: Finished{1, succeeded}, at: later, status: Succeeded},
		"finish too late":                    {from: lost(), ev: Finished{1, succeeded}, at: expired, err: ErrLeaseLost},
		"finish of another attempt":          {from: lost(), ev: Finished{2, succeeded}, at: later, err: ErrLeaseLost},
		"finish of what is queued":           {from: queued(), ev: Finished{0, succeeded}, at: later, err: ErrLeaseLost},
		"broken attempt waits":               {from: lost(), ev: Broke{Attempt: 1}, at: later, status: Queued, spent: 1, due: pausedFrom(later, 1)},
		"last broken attempt":                {from: lastAttempt(), ev: Broke{Attempt: 1}, at: later, status: Failed, code: CodeAttemptsExhausted, spent: 3},
		"broken attempt of what is canceled": {from: cancelAsked(), ev: Broke{Attempt: 1}, at: later, status: Canceled, code: CodeCanceled, spent: 1},
		"handed back at once":                {from: lost(), ev: HandedBack{Attempt: 1}, at: later, status: Queued, ready: true, due: at(later.Add(ringAgain))},
		"handed back when canceled":          {from: cancelAsked(), ev: HandedBack{Attempt: 1}, at: later, status: Canceled, code: CodeCanceled},
		"queued and not heard":               {from: queued(), ev: FellDue{}, at: start.Add(ringAgain), status: Queued, ready: true, due: at(start.Add(2 * ringAgain))},
		"queued and not due":                 {from: queued(), ev: FellDue{}, at: later, err: ErrNotDue},
		"lease lost":                         {from: lost(), ev: FellDue{}, at: expired, status: Queued, spent: 1, ready: true, due: at(expired.Add(ringAgain))},
		"lease not lost":                     {from: lost(), ev: FellDue{}, at: later, err: ErrNotDue},
		"lease of the last attempt lost":     {from: lastAttempt(), ev: FellDue{}, at: expired, status: Failed, code: CodeAttemptsExhausted, spent: 3},
		"queued for long":                    {from: waiting(10 * time.Minute), ev: FellDue{}, at: start.Add(10 * time.Minute), status: Queued, ready: true, due: at(start.Add(20 * time.Minute))},
		"queued for very long":               {from: waiting(2 * time.Hour), ev: FellDue{}, at: start.Add(2 * time.Hour), status: Queued, ready: true, due: at(start.Add(2*time.Hour + rarest))},
		"due when it is too late":            {from: hasty(), ev: FellDue{}, at: start.Add(minute), status: TimedOut, code: CodeQueueTimeout},
		"claim at the last moment":           {from: hasty(), ev: Claimed{Executor: "x1", Lease: time.Hour}, at: start.Add(minute - 1), status: Running, due: at(start.Add(minute - 1 + time.Hour))},
		"claim when it is too late":          {from: hasty(), ev: Claimed{Executor: "x1", Lease: time.Hour}, at: start.Add(minute), err: ErrTooLate},
		"handed back when it is too late":    {from: running(hasty()), ev: HandedBack{Attempt: 1}, at: start.Add(minute), status: TimedOut, code: CodeQueueTimeout},
		"broken when it is too late":         {from: running(hasty()), ev: Broke{Attempt: 1}, at: start.Add(minute), status: TimedOut, code: CodeQueueTimeout, spent: 1},
		"finish after the time to begin":     {from: running(hasty()), ev: Finished{1, succeeded}, at: start.Add(2 * minute), status: Succeeded},
		"a pause beyond the time to begin":   {from: running(hasty()), ev: Broke{Attempt: 1}, at: start.Add(minute - 1), status: Queued, spent: 1, due: at(start.Add(minute))},
		"the job failed":                     {from: lost(), ev: fails(1, CodeAgentError), at: later, status: Failed, code: CodeAgentError, tries: 1},
		"the job failed and is tried again":  {from: running(retried()), ev: fails(1, CodeTimedOut), at: later, status: Queued, tries: 1, due: pausedFrom(later, 1)},
		"the job failed as often as it may":  {from: lastTry(), ev: fails(1, CodeAgentError), at: later, status: Failed, code: CodeAgentError, tries: 3},
		"a failure that stays":               {from: running(retried()), ev: fails(1, CodeBudgetExceeded), at: later, status: Failed, code: CodeBudgetExceeded},
		"the job failed after a cancel":      {from: canceling(retried()), ev: fails(1, CodeAgentError), at: later, status: Failed, code: CodeAgentError, tries: 1},
		"the job failed too late to go on":   {from: running(retried()), ev: fails(1, CodeAgentError), at: start.Add(DefaultQueueTimeout), status: Failed, code: CodeAgentError, tries: 1},
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
			require.Equal(t, tc.tries, e.Tries)
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

const minute = time.Minute

func at(t time.Time) *time.Time { return &t }

// pausedFrom is when a pause after the n-th failure is over, of the first attempt of what queued returns.
func pausedFrom(t time.Time, n int) *time.Time {
	e := queued()
	e.Attempt = 1
	return at(t.Add(e.pause(n)))
}

// waiting is an execution that has waited for d and is due.
func waiting(d time.Duration) Execution {
	e := queued()
	e.Due = at(start.Add(d))
	return e
}

// hasty may begin within a minute.
func hasty() Execution {
	e := queued()
	e.QueueTimeout, e.Due = minute, at(start.Add(minute))
	return e
}

// retried is tried three times when its job fails.
func retried() Execution {
	e := queued()
	e.Retry.MaxAttempts = 3
	return e
}

func lastTry() Execution { e := running(retried()); e.Tries = 2; return e }

func canceling(e Execution) Execution { e = running(e); e.CancelRequested = true; return e }

// running has a lease that outlasts the test.
func running(e Execution) Execution {
	if err := e.Apply(Claimed{Executor: "x1", Lease: 48 * time.Hour}, start); err != nil {
		panic(err)
	}
	return e
}

func fails(attempt int, code Code) Finished {
	return Finished{Attempt: attempt, Ending: (&Failure{Code: code, Message: "because"}).Ends(Usage{})}
}

// TestAnyHistory drives an execution through random events at random times and
// checks what must hold whatever happens.
func TestAnyHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := queued()
		e.QueueTimeout = time.Duration(rapid.IntRange(1, 1200).Draw(t, "queue time-out")) * time.Second
		e.Retry.MaxAttempts = rapid.IntRange(0, agent.MaxAttempts).Draw(t, "tries")
		e.requeue(start, 0)
		now := start
		terminal := Execution{}
		for range rapid.IntRange(1, 40).Draw(t, "events") {
			now = now.Add(time.Duration(rapid.IntRange(0, 60_000).Draw(t, "ms")) * time.Millisecond)
			attempt := rapid.IntRange(0, 4).Draw(t, "attempt")
			lease := 15 * time.Second
			ev := rapid.SampledFrom([]Event{
				Claimed{Executor: "x", Lease: lease}, Renewed{Attempt: attempt, Lease: lease}, Broke{Attempt: attempt}, HandedBack{Attempt: attempt}, FellDue{}, CancelAsked{},
				Finished{attempt, Ending{Status: Succeeded, Result: &Result{Text: "ok"}}},
				fails(attempt, CodeTimedOut), fails(attempt, CodeInvalidTask),
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
			require.LessOrEqual(t, e.Tries, max(1, e.Retry.MaxAttempts))
			if e.Status == Queued {
				require.False(t, e.Due.After(e.StartBy()), "no later than it may begin")
			}
			if e.Attempt > before.Attempt {
				require.True(t, now.Before(e.StartBy()), "no attempt begins when it is too late")
			}
			require.GreaterOrEqual(t, e.Attempt, before.Attempt, "attempts only count up")
			if e.Status.Terminal() {
				terminal = e
			}
		}
	})
}

func TestFailureEnds(t *testing.T) {
	for code, status := range map[Code]Status{
		CodeTimedOut: TimedOut, CodeQueueTimeout: TimedOut, CodeCanceled: Canceled, CodeAgentError: Failed, CodeOutOfMemory: Failed,
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
	apply(Claimed{Executor: "x1", Lease: time.Minute})
	apply(Broke{Attempt: 1, Usage: once})
	apply(Claimed{Executor: "x1", Lease: time.Minute})
	apply(HandedBack{Attempt: 2, Usage: once})
	apply(Claimed{Executor: "x2", Lease: time.Minute})
	apply(CancelAsked{})
	apply(Finished{Attempt: 3, Ending: Ending{Status: Succeeded, Result: &Result{}, Usage: once}})
	require.Equal(t, Usage{InputTokens: 30, OutputTokens: 6, CostUSD: 1.5, Calls: 3}, e.Usage)
}
