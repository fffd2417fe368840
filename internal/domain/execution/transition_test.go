package execution

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/domain/agent"
)

// session is the lease of the executor that runs the executions of the tests.
const session = "prc_1.1"

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func queued() Execution {
	e := New(Spec{Tenant: "ada", Kind: KindRun, Task: Task{Runtime: "offline", Input: "hello"}, Limits: Limits{Timeout: time.Minute}}, start)
	e.ID = "exe_1" // determines the back-off
	return e
}

func runningSince(now time.Time) Execution {
	e := queued()
	if err := e.Apply(Claimed{Executor: "x1", Session: session, ClaimID: "c1"}, now); err != nil {
		panic(err)
	}
	return e
}

func TestNewIsQueuedAndDue(t *testing.T) {
	e := queued()
	require.Equal(t, Queued, e.Status)
	require.True(t, e.Ready)
	require.Equal(t, start.Add(minRenotifyInterval), *e.Due)
	require.Zero(t, e.Attempt)
}

// No range of the index of due times gets more than its share.
func TestExecutionsAreSpreadOverShards(t *testing.T) {
	seen := map[int]bool{}
	for range 1000 {
		e := New(Spec{}, start)
		require.GreaterOrEqual(t, e.Shard, 0)
		seen[e.Shard] = true
	}
	require.Len(t, seen, Shards)
}

func TestApplyEvents(t *testing.T) {
	succeeded := Ending{Status: Succeeded, Result: &Result{Text: "done"}}
	later := start.Add(5 * time.Second)
	over := start.Add(minute + maxOverhead) // no attempt can still run
	leased := func() Execution { e := runningSince(start); return e }
	cancelRequested := func() Execution { e := runningSince(start); e.CancelRequested = true; return e }
	lastStart := func() Execution {
		e := runningSince(start)
		e.StartFailures = &StartFailures{Count: MaxStartFailures - 1, Executors: []string{"x1"}}
		return e
	}
	lastStartCanceled := func() Execution { e := lastStart(); e.CancelRequested = true; return e }
	lastExecutor := func() Execution {
		e := runningSince(start)
		e.StartFailures = &StartFailures{Count: 2, Executors: []string{"x2", "x3"}}
		return e
	}
	lastAttempt := func() Execution { e := runningSince(start); e.FailedAttempts = e.MaxAttempts - 1; return e }

	for name, tc := range map[string]struct {
		from Execution
		ev   Event
		at   time.Time

		err             error
		status          Status
		code            Code
		failedAttempts  int
		retriedFailures int
		ready           bool
		due             *time.Time
	}{
		"claim starts an attempt":             {from: queued(), ev: Claimed{Executor: "x1", Session: session}, at: later, status: Running, due: timePtr(later.Add(minute + maxOverhead))},
		"claim while running":                 {from: leased(), ev: Claimed{Executor: "x2"}, at: later, err: ErrLeased},
		"claim after its lost answer":         {from: leased(), ev: Claimed{Executor: "x1", Session: session, ClaimID: "c1"}, at: later, status: Running, due: timePtr(over)},
		"claim of a paused tenant":            {from: queued(), ev: Claimed{Executor: "x1", Session: session, TenantPaused: true}, at: later, err: ErrTenantPaused},
		"finish":                              {from: leased(), ev: JobEnded{session, 1, succeeded}, at: later, status: Succeeded},
		"finish of another session":           {from: leased(), ev: JobEnded{"prc_1.2", 1, succeeded}, at: later, err: ErrLeaseLost},
		"finish while the lease stands":       {from: leased(), ev: JobEnded{session, 1, succeeded}, at: over.Add(minute), status: Succeeded},
		"finish of another attempt":           {from: leased(), ev: JobEnded{session, 2, succeeded}, at: later, err: ErrLeaseLost},
		"finish of an older attempt":          {from: leased(), ev: JobEnded{session, 0, succeeded}, at: later, err: ErrLeaseLost},
		"finish while queued":                 {from: queued(), ev: JobEnded{session, 0, succeeded}, at: later, err: ErrLeaseLost},
		"failed attempt waits":                {from: leased(), ev: AttemptFailed{Session: session, Attempt: 1}, at: later, status: Queued, failedAttempts: 1, due: afterBackoff(later, 1)},
		"last failed attempt":                 {from: lastAttempt(), ev: AttemptFailed{Session: session, Attempt: 1}, at: later, status: Failed, code: CodeAttemptsExhausted, failedAttempts: 3},
		"failed attempt after a cancellation": {from: cancelRequested(), ev: AttemptFailed{Session: session, Attempt: 1}, at: later, status: Canceled, code: CodeCanceled, failedAttempts: 1},
		"failed start waits":                  {from: leased(), ev: StartFailed{Session: session, Attempt: 1}, at: later, status: Queued, due: afterBackoff(later, 1)},
		"failed start in the last attempt":    {from: lastAttempt(), ev: StartFailed{Session: session, Attempt: 1}, at: later, status: Queued, failedAttempts: 2, due: afterBackoff(later, 1)},
		"failed start of another attempt":     {from: leased(), ev: StartFailed{Session: session, Attempt: 2}, at: later, err: ErrLeaseLost},
		"last failed start":                   {from: lastStart(), ev: StartFailed{Session: session, Attempt: 1}, at: later, status: Failed, code: CodeNoExecutor},
		"failed start at the last executor":   {from: lastExecutor(), ev: StartFailed{Session: session, Attempt: 1, ImageFailed: true}, at: later, status: Failed, code: CodeNoExecutor},
		"missing image at the start deadline": {from: running(shortQueueTimeout()), ev: StartFailed{Session: session, Attempt: 1, ImageFailed: true}, at: start.Add(minute), status: Failed, code: CodeNoExecutor},
		"failed start of the third Engine":    {from: lastExecutor(), ev: StartFailed{Session: session, Attempt: 1}, at: later, status: Queued, due: afterBackoff(later, 3)},
		"failed start of a sick Engine":       {from: lastStart(), ev: StartFailed{Session: session, Attempt: 1, EngineSick: true}, at: later, status: Queued, due: afterBackoff(later, 1)},
		"last failed start, canceled":         {from: lastStartCanceled(), ev: StartFailed{Session: session, Attempt: 1}, at: later, status: Canceled, code: CodeCanceled},
		"failed start at the start deadline":  {from: running(shortQueueTimeout()), ev: StartFailed{Session: session, Attempt: 1}, at: start.Add(minute), status: TimedOut, code: CodeQueueTimeout},
		"claim of an unavailable runtime":     {from: queued(), ev: Claimed{Executor: "x1", Session: session, Runtimes: []string{"a", "b"}}, at: later, err: ErrRuntimeUnavailable},
		"claim of another runtime":            {from: queued(), ev: Claimed{Executor: "x1", Session: session, Runtimes: []string{"a", "offline"}}, at: later, status: Running, due: timePtr(later.Add(minute + maxOverhead))},
		"handed back at once":                 {from: leased(), ev: HandedBack{Session: session, Attempt: 1}, at: later, status: Queued, ready: true, due: timePtr(later.Add(minRenotifyInterval))},
		"handed back after a cancellation":    {from: cancelRequested(), ev: HandedBack{Session: session, Attempt: 1}, at: later, status: Canceled, code: CodeCanceled},
		"queued and due":                      {from: queued(), ev: Overdue{}, at: start.Add(minRenotifyInterval), status: Queued, ready: true, due: timePtr(start.Add(2 * minRenotifyInterval))},
		"queued and not due":                  {from: queued(), ev: Overdue{}, at: later, err: ErrNotDue},
		"lease lost":                          {from: leased(), ev: LeaseExpired{session}, at: later, status: Queued, failedAttempts: 1, ready: true, due: timePtr(later.Add(minRenotifyInterval))},
		"lease of another session lost":       {from: leased(), ev: LeaseExpired{"prc_1.2"}, at: later, err: ErrLeaseLost},
		"lease lost while queued":             {from: queued(), ev: LeaseExpired{}, at: later, err: ErrLeaseLost},
		"lease lost after a cancellation":     {from: cancelRequested(), ev: LeaseExpired{session}, at: later, status: Canceled, code: CodeCanceled, failedAttempts: 1},
		"running and not due":                 {from: leased(), ev: Overdue{}, at: later, err: ErrNotDue},
		"runs too long":                       {from: leased(), ev: Overdue{}, at: over, status: Queued, failedAttempts: 1, ready: true, due: timePtr(over.Add(minRenotifyInterval))},
		"its cancellation needs a signal":     {from: canceledSince(start), ev: Overdue{}, at: start.Add(cancelRetryInterval), status: Running, due: timePtr(start.Add(2 * cancelRetryInterval))},
		"its cancellation needs the last one": {from: canceledSince(start), ev: Overdue{}, at: over.Add(-1), status: Running, due: timePtr(over)},
		"runs too long after a cancellation":  {from: canceledSince(start), ev: Overdue{}, at: over, status: Canceled, code: CodeCanceled, failedAttempts: 1},
		"lease of the last attempt lost":      {from: lastAttempt(), ev: LeaseExpired{session}, at: later, status: Failed, code: CodeAttemptsExhausted, failedAttempts: 3},
		"queued for long":                     {from: queuedFor(10 * time.Minute), ev: Overdue{}, at: start.Add(10 * time.Minute), status: Queued, ready: true, due: timePtr(start.Add(20 * time.Minute))},
		"queued for very long":                {from: queuedFor(2 * time.Hour), ev: Overdue{}, at: start.Add(2 * time.Hour), status: Queued, ready: true, due: timePtr(start.Add(2*time.Hour + maxRenotifyInterval))},
		"due at the start deadline":           {from: shortQueueTimeout(), ev: Overdue{}, at: start.Add(minute), status: TimedOut, code: CodeQueueTimeout},
		"claim before the start deadline":     {from: shortQueueTimeout(), ev: Claimed{Executor: "x1", Session: session}, at: start.Add(minute - 1), status: Running, due: timePtr(start.Add(minute - 1 + minute + maxOverhead))},
		"claim at the start deadline":         {from: shortQueueTimeout(), ev: Claimed{Executor: "x1", Session: session}, at: start.Add(minute), err: ErrStartDeadlineExceeded},
		"handed back at the start deadline":   {from: running(shortQueueTimeout()), ev: HandedBack{Session: session, Attempt: 1}, at: start.Add(minute), status: TimedOut, code: CodeQueueTimeout},
		"failed at the start deadline":        {from: running(shortQueueTimeout()), ev: AttemptFailed{Session: session, Attempt: 1}, at: start.Add(minute), status: TimedOut, code: CodeQueueTimeout, failedAttempts: 1},
		"finish after the start deadline":     {from: running(shortQueueTimeout()), ev: JobEnded{session, 1, succeeded}, at: start.Add(2 * minute), status: Succeeded},
		"back-off beyond the start deadline":  {from: running(shortQueueTimeout()), ev: AttemptFailed{Session: session, Attempt: 1}, at: start.Add(minute - 1), status: Queued, failedAttempts: 1, due: timePtr(start.Add(minute))},
		"the job failed":                      {from: leased(), ev: jobFailed(1, CodeAgentError), at: later, status: Failed, code: CodeAgentError, retriedFailures: 1},
		"the job failed, another attempt":     {from: running(withJobRetries()), ev: jobFailed(1, CodeTimedOut), at: later, status: Queued, retriedFailures: 1, due: afterBackoff(later, 1)},
		"the job failed the last time":        {from: lastRetry(), ev: jobFailed(1, CodeAgentError), at: later, status: Failed, code: CodeAgentError, retriedFailures: 3},
		"a failure that is not retryable":     {from: running(withJobRetries()), ev: jobFailed(1, CodeBudgetExceeded), at: later, status: Failed, code: CodeBudgetExceeded},
		"the job failed after a cancellation": {from: canceling(withJobRetries()), ev: jobFailed(1, CodeAgentError), at: later, status: Failed, code: CodeAgentError, retriedFailures: 1},
		"the job failed after the deadline":   {from: running(withJobRetries()), ev: jobFailed(1, CodeAgentError), at: start.Add(DefaultQueueTimeout), status: Failed, code: CodeAgentError, retriedFailures: 1},
		"cancel while queued":                 {from: queued(), ev: CancelRequested{}, at: later, status: Canceled, code: CodeCanceled},
		"cancel while running":                {from: leased(), ev: CancelRequested{}, at: later, status: Running, due: timePtr(later.Add(cancelRetryInterval))},
		"cancel a second time":                {from: canceledSince(start), ev: CancelRequested{}, at: later, status: Running, due: timePtr(start.Add(cancelRetryInterval))},
	} {
		t.Run(name, func(t *testing.T) {
			e := tc.from
			e.Ready = false
			before := e
			err := e.Apply(tc.ev, tc.at)
			if tc.err != nil {
				require.ErrorIs(t, err, tc.err)
				require.Equal(t, before, e, "an event that does not apply changes nothing")
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.status, e.Status)
			require.Equal(t, tc.failedAttempts, e.FailedAttempts)
			require.Equal(t, tc.retriedFailures, e.RetriedFailures)
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

func timePtr(t time.Time) *time.Time { return &t }

// afterBackoff returns the end of the back-off after the n-th failure, in the first attempt of queued().
func afterBackoff(t time.Time, n int) *time.Time {
	e := queued()
	e.Attempt = 1
	return timePtr(t.Add(e.retryBackoff(n)))
}

// queuedFor returns an execution that has waited for d and is due.
func queuedFor(d time.Duration) Execution {
	e := queued()
	e.Due = timePtr(start.Add(d))
	return e
}

// shortQueueTimeout returns an execution with a queue time-out of a minute.
func shortQueueTimeout() Execution {
	e := queued()
	e.QueueTimeout, e.Due = minute, timePtr(start.Add(minute))
	return e
}

// withJobRetries returns an execution that allows three attempts with a failed job.
func withJobRetries() Execution {
	e := queued()
	e.RetryPolicy.MaxAttempts = 3
	return e
}

func lastRetry() Execution { e := running(withJobRetries()); e.RetriedFailures = 2; return e }

func canceling(e Execution) Execution { e = running(e); e.CancelRequested = true; return e }

// canceledSince returns a running execution that was canceled at start.
func canceledSince(start time.Time) Execution {
	e := runningSince(start)
	if err := e.Apply(CancelRequested{}, start); err != nil {
		panic(err)
	}
	return e
}

// running claims an execution.
func running(e Execution) Execution {
	if err := e.Apply(Claimed{Executor: "x1", Session: session}, start); err != nil {
		panic(err)
	}
	return e
}

func jobFailed(attempt int, code Code) JobEnded {
	return JobEnded{Session: session, Attempt: attempt, Ending: (&Failure{Code: code, Message: "because"}).Ending(Usage{})}
}

// These invariants hold for random events at random times.
func TestInvariantsUnderRandomEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := queued()
		e.QueueTimeout = time.Duration(rapid.IntRange(1, 1200).Draw(t, "queue time-out")) * time.Second
		e.RetryPolicy.MaxAttempts = rapid.IntRange(0, agent.MaxAttempts).Draw(t, "max attempts")
		e.requeue(start, 0)
		now := start
		terminal := Execution{}
		for range rapid.IntRange(1, 40).Draw(t, "events") {
			now = now.Add(time.Duration(rapid.IntRange(0, 60_000).Draw(t, "ms")) * time.Millisecond)
			attempt := rapid.IntRange(0, 4).Draw(t, "attempt")
			ev := rapid.SampledFrom([]Event{
				Claimed{Executor: "x", Session: session}, LeaseExpired{}, LeaseExpired{session}, AttemptFailed{Session: session, Attempt: attempt}, HandedBack{Session: session, Attempt: attempt}, Overdue{}, CancelRequested{},
				JobEnded{session, attempt, Ending{Status: Succeeded, Result: &Result{Text: "ok"}}},
				jobFailed(attempt, CodeTimedOut), jobFailed(attempt, CodeInvalidTask),
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
			require.Equal(t, e.Status.Terminal(), e.Due == nil, "an execution is due exactly until it is terminal")
			require.Equal(t, e.Status.Terminal(), e.FinishedAt != nil)
			require.Equal(t, e.Status == Succeeded, e.Result != nil)
			require.Equal(t, e.Status.Terminal() && e.Status != Succeeded, e.Failure != nil)
			require.LessOrEqual(t, e.FailedAttempts, e.MaxAttempts)
			require.LessOrEqual(t, e.RetriedFailures, max(1, e.RetryPolicy.MaxAttempts))
			if e.Status == Queued {
				require.False(t, e.Due.After(e.StartDeadline()), "due no later than the start deadline")
			}
			if e.Attempt > before.Attempt {
				require.True(t, now.Before(e.StartDeadline()), "no attempt begins after the start deadline")
			}
			require.GreaterOrEqual(t, e.Attempt, before.Attempt, "attempts only count up")
			if e.Status.Terminal() {
				terminal = e
			}
		}
	})
}

func TestFailureEndingStatus(t *testing.T) {
	for code, status := range map[Code]Status{
		CodeTimedOut: TimedOut, CodeQueueTimeout: TimedOut, CodeCanceled: Canceled, CodeAgentError: Failed, CodeOutOfMemory: Failed,
	} {
		require.Equal(t, status, (&Failure{Code: code}).Ending(Usage{}).Status, code)
	}
}

// The usage of an execution is the sum over its attempts.
func TestUsageAddsUpOverAttempts(t *testing.T) {
	usage := Usage{InputTokens: 10, OutputTokens: 2, CostUSD: 0.5, Calls: 1}
	e := queued()
	now := start
	apply := func(ev Event) {
		t.Helper()
		now = now.Add(time.Second)
		require.NoError(t, e.Apply(ev, now))
	}
	apply(Claimed{Executor: "x1", Session: session})
	apply(AttemptFailed{Session: session, Attempt: 1, Usage: usage})
	apply(Claimed{Executor: "x1", Session: session})
	apply(HandedBack{Session: session, Attempt: 2, Usage: usage})
	apply(Claimed{Executor: "x2", Session: session})
	apply(CancelRequested{})
	apply(JobEnded{Session: session, Attempt: 3, Ending: Ending{Status: Succeeded, Result: &Result{}, Usage: usage}})
	require.Equal(t, Usage{InputTokens: 30, OutputTokens: 6, CostUSD: 1.5, Calls: 3}, e.Usage)
}

func TestDeadLetteredEndsOnlyQueuedExecution(t *testing.T) {
	now := start
	queued := New(Spec{Tenant: "ada", Kind: KindRun, Limits: Limits{Timeout: time.Minute}}, now)
	require.NoError(t, queued.Apply(DeadLettered{}, now))
	require.Equal(t, Failed, queued.Status)
	require.Equal(t, CodeDeadLettered, queued.Failure.Code)
	require.Nil(t, queued.Due)
	require.ErrorIs(t, queued.Apply(DeadLettered{}, now), ErrTerminal)

	running := New(Spec{Tenant: "ada", Kind: KindRun, Limits: Limits{Timeout: time.Minute}}, now)
	require.NoError(t, running.Apply(Claimed{Executor: "x"}, now))
	require.ErrorIs(t, running.Apply(DeadLettered{}, now), ErrLeased)
	require.Equal(t, Running, running.Status)
}
