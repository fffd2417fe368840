package history

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

const (
	run, turn1, turn2, input = "exe_run", "exe_turn1", "exe_turn2", "exe_input"
	talk, bulk               = "con_1", "bat_1"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return epoch.Add(time.Duration(seconds) * time.Second) }

func ptr[T any](v T) *T { return &v }

// queued, running and succeeded are an execution at its three stages.
func queued(id string, second int) Version {
	return version(second, execution.Execution{ID: id, Status: execution.Queued, MaxAttempts: 3, Due: ptr(at(second + 45))})
}

func running(id string, second, attempt int, executor string) Version {
	expires := at(second + 15)
	return version(second, execution.Execution{
		ID: id, Status: execution.Running, Attempt: attempt, MaxAttempts: 3,
		Lease: &execution.Lease{Executor: executor, Expires: expires}, Due: &expires,
	})
}

func succeeded(id string, second, attempt int, executor string) Version {
	return version(second, execution.Execution{
		ID: id, Status: execution.Succeeded, Attempt: attempt, MaxAttempts: 3, FinishedAt: ptr(at(second)),
		Result:  &execution.Result{Text: "answer of " + id},
		Receipt: fmt.Sprintf(`{"execution":%q,"attempt":%d,"executor":%q}`, id, attempt, executor),
	})
}

// version makes each distinguishable by its content.
func version(second int, e execution.Execution) Version {
	return Version{Path: "tenants/ada/executions/" + e.ID, At: at(second), Content: fmt.Sprint(e.Status, e.Attempt, second), Execution: &e}
}

func message(second, turn int, role execution.Role, executionID, text string) Version {
	return Version{
		Path: fmt.Sprintf("tenants/ada/conversations/%s/messages/%d-%s", talk, turn, role), At: at(second),
		Message: &conversation.Message{Turn: turn, Role: role, Text: text, ExecutionID: executionID},
	}
}

func talked(second, turns int, pending ...string) Version {
	return Version{
		Path: "tenants/ada/conversations/" + talk, At: at(second),
		Conversation: &conversation.Conversation{ID: talk, Turns: turns, Pending: pending},
	}
}

func fed(second, next int, finished *time.Time) Version {
	b := batch.Batch{ID: bulk, Total: 1, Window: 1, Next: next, FinishedAt: finished}
	if finished == nil {
		b.Due = ptr(at(second + 2))
	}
	return Version{Path: "tenants/ada/batches/" + bulk, At: at(second), Batch: &b}
}

// good is a history in which everything was kept: a run that took two
// attempts, a conversation of two turns, and a batch of one input.
func good() History {
	of := func(v Version, change func(*execution.Execution)) Version {
		change(v.Execution)
		return v
	}
	inTalk := func(n int) func(*execution.Execution) {
		return func(e *execution.Execution) { e.ConversationID, e.Turn = talk, n }
	}
	inBatch := func(e *execution.Execution) { e.BatchID = bulk }
	spent := func(e *execution.Execution) { e.Spent = 1 }
	again := of(queued(run, 17), func(e *execution.Execution) { e.Attempt, e.Spent = 1, 1 })
	return History{
		Late: 10 * time.Second,
		Promises: []Promise{
			{Execution: run, Text: "answer of " + run}, {Execution: turn1}, {Execution: turn2}, {Batch: bulk},
		},
		Sights: []Sight{{run, execution.Succeeded, "answer of " + run}},
		Versions: []Version{
			queued(run, 0), running(run, 1, 1, "x1"), again, of(running(run, 18, 2, "x2"), spent), of(succeeded(run, 20, 2, "x2"), spent),

			talked(0, 1, turn1), of(queued(turn1, 0), inTalk(1)), message(0, 1, execution.RoleUser, turn1, "hello"),
			talked(1, 2, turn1, turn2), of(queued(turn2, 1), inTalk(2)), message(1, 2, execution.RoleUser, turn2, "again"),
			of(running(turn1, 2, 1, "x1"), inTalk(1)), of(succeeded(turn1, 3, 1, "x1"), inTalk(1)),
			message(3, 1, execution.RoleAssistant, turn1, "answer of "+turn1), talked(3, 2, turn2),
			of(running(turn2, 4, 1, "x1"), inTalk(2)), of(succeeded(turn2, 5, 1, "x1"), inTalk(2)),
			message(5, 2, execution.RoleAssistant, turn2, "answer of "+turn2), talked(5, 2),

			fed(0, 0, nil), fed(1, 1, nil), of(queued(input, 1), inBatch), of(running(input, 2, 1, "x1"), inBatch),
			of(succeeded(input, 3, 1, "x1"), inBatch), fed(4, 1, ptr(at(4))),
		},
	}
}

func TestAGoodHistory(t *testing.T) {
	t.Parallel()
	require.Empty(t, Check(good()))
	f := Sum(good())
	require.Equal(t, 4, f.Accepted)
	require.Equal(t, 4, f.Executions)
	require.Equal(t, 1, f.Again)
	require.Equal(t, time.Second, f.Latest)
	require.Zero(t, f.Lost+f.Changed)
	require.Contains(t, f.String(), "lost 0")
}

// change changes the versions of one document, by its ID and a condition.
func change(id string, which func(*execution.Execution) bool, do func(*Version)) func(*History) {
	return func(h *History) {
		for i, v := range h.Versions {
			if v.Execution != nil && v.Execution.ID == id && which(v.Execution) {
				do(&h.Versions[i])
			}
		}
	}
}

func is(s execution.Status) func(*execution.Execution) bool {
	return func(e *execution.Execution) bool { return e.Status == s }
}

func without(drop func(Version) bool) func(*History) {
	return func(h *History) { h.Versions = slices.DeleteFunc(h.Versions, drop) }
}

func with(v ...Version) func(*History) {
	return func(h *History) { h.Versions = append(h.Versions, v...) }
}

// Each of these is the good history with one thing gone wrong, and the rule
// that has to notice.
func TestABadHistory(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		spoil func(*History)
		rule  string
	}{
		"a lost execution":    {without(func(v Version) bool { return v.Execution != nil && v.Execution.ID == run }), ruleThere},
		"a lost batch":        {without(func(v Version) bool { return v.Batch != nil }), ruleThere},
		"one that never ends": {without(func(v Version) bool { return v.Execution != nil && v.Execution.ID == run && v.At.After(at(17)) }), ruleEnds},
		"a second end": {with(version(21, execution.Execution{
			ID: run, Status: execution.Failed, Attempt: 2, Failure: &execution.Failure{}, FinishedAt: ptr(at(21)),
		})), ruleStays},
		"a result that changes": {with(succeeded(run, 21, 2, "x2")), ruleStays},
		"an end that is shown and not stored": {func(h *History) {
			h.Sights = append(h.Sights, Sight{turn1, execution.Failed, ""})
		}, "an end that was shown stays"},
		"a result of nothing": {func(h *History) {
			h.Sights = append(h.Sights, Sight{"exe_none", execution.Succeeded, ""})
		}, "no result without its execution"},
		"another's result":             {func(h *History) { h.Promises[0].Text = "mine" }, "a result is its own execution's"},
		"an attempt that is left out":  {change(run, func(e *execution.Execution) bool { return e.Attempt == 2 }, func(v *Version) { v.Execution.Attempt = 3 }), "attempts are counted"},
		"an attempt that begins twice": {change(run, func(e *execution.Execution) bool { return e.Attempt == 2 }, func(v *Version) { v.Execution.Attempt = 1 }), "attempts are counted"},
		"two attempts at once":         {with(running(run, 5, 2, "x2")), "attempts are counted"},
		"two executors of one attempt": {with(running(run, 5, 1, "x2")), "one attempt at a time"},
		"a lease that gets shorter": {with(version(5, execution.Execution{
			ID: run, Status: execution.Running, Attempt: 1, MaxAttempts: 3, Lease: &execution.Lease{Executor: "x1", Expires: at(6)}, Due: ptr(at(6)),
		})), "a lease is only extended"},
		"a result after the lease": {change(input, is(execution.Succeeded), func(v *Version) { v.Execution.FinishedAt = ptr(at(40)) }), "only the holder writes"},
		"an end of another attempt": {change(run, is(execution.Succeeded), func(v *Version) {
			v.Execution.Receipt = `{"execution":"exe_run","attempt":1,"executor":"x1"}`
		}), "only the holder writes"},
		"a lease beyond the end":     {change(run, is(execution.Succeeded), func(v *Version) { v.Execution.Lease = &execution.Lease{} }), "a lease is held exactly while running"},
		"neither result nor failure": {change(run, is(execution.Succeeded), func(v *Version) { v.Execution.Result = nil }), "a result or a failure"},
		"no receipt":                 {change(run, is(execution.Succeeded), func(v *Version) { v.Execution.Receipt = "" }), "a result has its receipt"},
		"a receipt that is none":     {change(run, is(execution.Succeeded), func(v *Version) { v.Execution.Receipt = "{" }), "a result has its receipt"},
		"an end that is due":         {change(run, is(execution.Succeeded), func(v *Version) { v.Execution.Due = ptr(at(30)) }), "what has ended is nobody's to look at"},
		"more spent than there are":  {change(run, func(e *execution.Execution) bool { return e.Spent == 1 }, func(v *Version) { v.Execution.Spent = 4 }), "spent attempts are counted"},
		"a janitor that is late":     {func(h *History) { h.Late = time.Millisecond }, "nothing waits for ever"},
		"a turn without a reply":     {without(func(v Version) bool { return v.Message != nil && v.At.Equal(at(3)) }), "exactly one reply"},
		"a turn with two replies":    {with(message(3, 3, execution.RoleAssistant, turn1, "answer of "+turn1)), "exactly one reply"},
		"a reply after the end": {func(h *History) {
			for i, v := range h.Versions {
				if v.Message != nil && v.At.Equal(at(5)) {
					h.Versions[i].At = at(6)
				}
			}
		}, "a reply comes with the end"},
		"another's reply": {func(h *History) {
			for _, v := range h.Versions {
				if v.Message != nil && v.At.Equal(at(5)) {
					v.Message.Text = "answer of " + turn1
				}
			}
		}, "a reply is its turn's"},
		"a reply to nothing":          {with(message(3, 9, execution.RoleAssistant, "exe_none", "")), "no reply without its execution"},
		"a turn that overtakes":       {change(turn2, is(execution.Running), func(v *Version) { v.At = at(2) }), "turns are in order"},
		"a turn that was never":       {change(turn1, func(*execution.Execution) bool { return true }, func(v *Version) { v.Execution.ConversationID = "" }), "turns are in order"},
		"a turn that is pending":      {with(talked(6, 2, turn2)), "every turn ends"},
		"a batch that never ends":     {without(func(v Version) bool { return v.Batch != nil && v.Batch.FinishedAt != nil }), "every batch ends"},
		"a batch that ends too early": {change(input, is(execution.Succeeded), func(v *Version) { v.Execution.FinishedAt = ptr(at(9)) }), "a batch ends last"},
		"a batch that does not add up": {func(h *History) {
			for _, v := range h.Versions {
				if v.Batch != nil {
					v.Batch.Total = 2
				}
			}
		}, "every batch adds up"},
		"a batch with more than its window": {func(h *History) {
			for _, v := range h.Versions {
				if v.Batch != nil {
					v.Batch.Window = 0
				}
			}
		}, "a batch keeps its window"},
		"something deleted": {with(Version{Path: "tenants/ada/executions/" + run, At: at(30)}), "nothing is deleted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := good()
			tc.spoil(&h)
			var rules []string
			for _, v := range Check(h) {
				rules = append(rules, v.Rule)
			}
			require.Contains(t, rules, tc.rule, "%v", Check(h))
		})
	}
}

// While what is needed is away, nothing can be put right in time, and that is
// no fault of who puts it right.
func TestAnOutageExcusesLateness(t *testing.T) {
	t.Parallel()
	h := good()
	h.Late = time.Millisecond
	require.NotEmpty(t, Check(h))
	h.Outages = []Span{{at(0), at(30)}}
	require.Empty(t, Check(h))
	require.Zero(t, Sum(h).Latest)
}
