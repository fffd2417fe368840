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
	conversationID, batchID  = "con_1", "bat_1"
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
		Path: fmt.Sprintf("tenants/ada/conversations/%s/messages/%d-%s", conversationID, turn, role), At: at(second),
		Message: &conversation.Message{Turn: turn, Role: role, Text: text, ExecutionID: executionID},
	}
}

func conversationVersion(second, turns int, pending ...string) Version {
	return Version{
		Path: "tenants/ada/conversations/" + conversationID, At: at(second),
		Conversation: &conversation.Conversation{ID: conversationID, Turns: turns, Pending: pending},
	}
}

func batchVersion(second, next int, finished *time.Time) Version {
	b := batch.Batch{ID: batchID, Total: 1, Window: 1, NextInput: next, FinishedAt: finished}
	if finished == nil {
		b.Due = ptr(at(second + 2))
	}
	return Version{Path: "tenants/ada/batches/" + batchID, At: at(second), Batch: &b}
}

// good is a history in which everything was kept: a run that took two
// attempts, a conversation of two turns, and a batch of one input.
func validHistory() History {
	with := func(v Version, change func(*execution.Execution)) Version {
		change(v.Execution)
		return v
	}
	inConversation := func(n int) func(*execution.Execution) {
		return func(e *execution.Execution) { e.ConversationID, e.Turn = conversationID, n }
	}
	inBatch := func(e *execution.Execution) { e.BatchID = batchID }
	failedOnce := func(e *execution.Execution) { e.FailedAttempts = 1 }
	retried := with(queued(run, 17), func(e *execution.Execution) { e.Attempt, e.FailedAttempts = 1, 1 })
	return History{
		MaxOverdue: 10 * time.Second,
		Acceptances: []Acceptance{
			{Execution: run, Text: "answer of " + run}, {Execution: turn1}, {Execution: turn2}, {Batch: batchID},
		},
		Observations: []Observation{{run, execution.Succeeded, "answer of " + run}},
		Versions: []Version{
			queued(run, 0), running(run, 1, 1, "x1"), retried, with(running(run, 18, 2, "x2"), failedOnce), with(succeeded(run, 20, 2, "x2"), failedOnce),

			conversationVersion(0, 1, turn1), with(queued(turn1, 0), inConversation(1)), message(0, 1, execution.RoleUser, turn1, "hello"),
			conversationVersion(1, 2, turn1, turn2), with(queued(turn2, 1), inConversation(2)), message(1, 2, execution.RoleUser, turn2, "again"),
			with(running(turn1, 2, 1, "x1"), inConversation(1)), with(succeeded(turn1, 3, 1, "x1"), inConversation(1)),
			message(3, 1, execution.RoleAssistant, turn1, "answer of "+turn1), conversationVersion(3, 2, turn2),
			with(running(turn2, 4, 1, "x1"), inConversation(2)), with(succeeded(turn2, 5, 1, "x1"), inConversation(2)),
			message(5, 2, execution.RoleAssistant, turn2, "answer of "+turn2), conversationVersion(5, 2),

			batchVersion(0, 0, nil), batchVersion(1, 1, nil), with(queued(input, 1), inBatch), with(running(input, 2, 1, "x1"), inBatch),
			with(succeeded(input, 3, 1, "x1"), inBatch), batchVersion(4, 1, ptr(at(4))),
		},
	}
}

func TestCheckValidHistory(t *testing.T) {
	t.Parallel()
	require.Empty(t, Check(validHistory()))
	f := Summarize(validHistory())
	require.Equal(t, 4, f.Accepted)
	require.Equal(t, 4, f.Executions)
	require.Equal(t, 1, f.Retried)
	require.Equal(t, time.Second, f.LongestOverdue)
	require.Zero(t, f.Lost+f.Changed)
	require.Contains(t, f.String(), "lost 0")
}

// change changes the versions of one document, by its ID and a condition.
func changeVersion(id string, which func(*execution.Execution) bool, do func(*Version)) func(*History) {
	return func(h *History) {
		for i, v := range h.Versions {
			if v.Execution != nil && v.Execution.ID == id && which(v.Execution) {
				do(&h.Versions[i])
			}
		}
	}
}

func hasStatus(s execution.Status) func(*execution.Execution) bool {
	return func(e *execution.Execution) bool { return e.Status == s }
}

func dropVersions(drop func(Version) bool) func(*History) {
	return func(h *History) { h.Versions = slices.DeleteFunc(h.Versions, drop) }
}

func addVersions(v ...Version) func(*History) {
	return func(h *History) { h.Versions = append(h.Versions, v...) }
}

// Each of these is the good history with one thing gone wrong, and the rule
// that has to notice.
func TestCheckViolations(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		spoil func(*History)
		rule  string
	}{
		"a lost execution":    {dropVersions(func(v Version) bool { return v.Execution != nil && v.Execution.ID == run }), ruleAcceptedIsStored},
		"a lost batch":        {dropVersions(func(v Version) bool { return v.Batch != nil }), ruleAcceptedIsStored},
		"one that never ends": {dropVersions(func(v Version) bool { return v.Execution != nil && v.Execution.ID == run && v.At.After(at(17)) }), ruleFinishes},
		"a second end": {addVersions(version(21, execution.Execution{
			ID: run, Status: execution.Failed, Attempt: 2, Failure: &execution.Failure{}, FinishedAt: ptr(at(21)),
		})), ruleFinalIsImmutable},
		"a result that changes": {addVersions(succeeded(run, 21, 2, "x2")), ruleFinalIsImmutable},
		"an end that is shown and not stored": {func(h *History) {
			h.Observations = append(h.Observations, Observation{turn1, execution.Failed, ""})
		}, "an end that was shown stays"},
		"a result of nothing": {func(h *History) {
			h.Observations = append(h.Observations, Observation{"exe_none", execution.Succeeded, ""})
		}, "no result without its execution"},
		"another's result":             {func(h *History) { h.Acceptances[0].Text = "mine" }, "a result is its own execution's"},
		"an attempt that is left out":  {changeVersion(run, func(e *execution.Execution) bool { return e.Attempt == 2 }, func(v *Version) { v.Execution.Attempt = 3 }), "attempts are counted"},
		"an attempt that begins twice": {changeVersion(run, func(e *execution.Execution) bool { return e.Attempt == 2 }, func(v *Version) { v.Execution.Attempt = 1 }), "attempts are counted"},
		"two attempts at once":         {addVersions(running(run, 5, 2, "x2")), "attempts are counted"},
		"two executors of one attempt": {addVersions(running(run, 5, 1, "x2")), "one attempt at a time"},
		"a lease that gets shorter": {addVersions(version(5, execution.Execution{
			ID: run, Status: execution.Running, Attempt: 1, MaxAttempts: 3, Lease: &execution.Lease{Executor: "x1", Expires: at(6)}, Due: ptr(at(6)),
		})), "a lease is only extended"},
		"a result after the lease": {changeVersion(input, hasStatus(execution.Succeeded), func(v *Version) { v.Execution.FinishedAt = ptr(at(40)) }), "only the holder writes"},
		"an end of another attempt": {changeVersion(run, hasStatus(execution.Succeeded), func(v *Version) {
			v.Execution.Receipt = `{"execution":"exe_run","attempt":1,"executor":"x1"}`
		}), "only the holder writes"},
		"a lease beyond the end":     {changeVersion(run, hasStatus(execution.Succeeded), func(v *Version) { v.Execution.Lease = &execution.Lease{} }), "a lease is held exactly while running"},
		"neither result nor failure": {changeVersion(run, hasStatus(execution.Succeeded), func(v *Version) { v.Execution.Result = nil }), "a result or a failure"},
		"no receipt":                 {changeVersion(run, hasStatus(execution.Succeeded), func(v *Version) { v.Execution.Receipt = "" }), "a result has its receipt"},
		"a receipt that is none":     {changeVersion(run, hasStatus(execution.Succeeded), func(v *Version) { v.Execution.Receipt = "{" }), "a result has its receipt"},
		"an end that is due":         {changeVersion(run, hasStatus(execution.Succeeded), func(v *Version) { v.Execution.Due = ptr(at(30)) }), "what has ended is nobody's to look at"},
		"more spent than there are":  {changeVersion(run, func(e *execution.Execution) bool { return e.FailedAttempts == 1 }, func(v *Version) { v.Execution.FailedAttempts = 4 }), "spent attempts are counted"},
		"a janitor that is late":     {func(h *History) { h.MaxOverdue = time.Millisecond }, "nothing waits for ever"},
		"a turn without a reply":     {dropVersions(func(v Version) bool { return v.Message != nil && v.At.Equal(at(3)) }), "exactly one reply"},
		"a turn with two replies":    {addVersions(message(3, 3, execution.RoleAssistant, turn1, "answer of "+turn1)), "exactly one reply"},
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
		"a reply to nothing":          {addVersions(message(3, 9, execution.RoleAssistant, "exe_none", "")), "no reply without its execution"},
		"a turn that overtakes":       {changeVersion(turn2, hasStatus(execution.Running), func(v *Version) { v.At = at(2) }), "turns are in order"},
		"a turn that was never":       {changeVersion(turn1, func(*execution.Execution) bool { return true }, func(v *Version) { v.Execution.ConversationID = "" }), "turns are in order"},
		"a turn that is pending":      {addVersions(conversationVersion(6, 2, turn2)), "every turn ends"},
		"a batch that never ends":     {dropVersions(func(v Version) bool { return v.Batch != nil && v.Batch.FinishedAt != nil }), "every batch ends"},
		"a batch that ends too early": {changeVersion(input, hasStatus(execution.Succeeded), func(v *Version) { v.Execution.FinishedAt = ptr(at(9)) }), "a batch ends last"},
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
		"something deleted": {addVersions(Version{Path: "tenants/ada/executions/" + run, At: at(30)}), "nothing is deleted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := validHistory()
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
func TestOutageExcusesOverdue(t *testing.T) {
	t.Parallel()
	h := validHistory()
	h.MaxOverdue = time.Millisecond
	require.NotEmpty(t, Check(h))
	h.Outages = []TimeRange{{at(0), at(30)}}
	require.Empty(t, Check(h))
	require.Zero(t, Summarize(h).LongestOverdue)
}
