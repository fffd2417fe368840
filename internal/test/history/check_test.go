package history

import (
	"errors"
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

// queued, running and succeeded return an execution in three states.
func queued(id string, second int) Version {
	return version(second, execution.Execution{ID: id, Status: execution.Queued, MaxAttempts: 3, Due: ptr(at(second + 45))})
}

func running(id string, second, attempt int, executor string) Version {
	due := at(second + 15)
	return version(second, execution.Execution{
		ID: id, Status: execution.Running, Attempt: attempt, MaxAttempts: 3,
		Lease: &execution.Lease{Executor: executor, Session: "prc_" + executor + ".1"}, Due: &due,
	})
}

func succeeded(id string, second, attempt int, executor string) Version {
	return version(second, execution.Execution{
		ID: id, Status: execution.Succeeded, Attempt: attempt, MaxAttempts: 3, FinishedAt: ptr(at(second)),
		Result:  &execution.Result{Text: resultOf(id)},
		Receipt: fmt.Sprintf(`{"execution":%q,"attempt":%d,"executor":%q}`, id, attempt, executor),
	})
}

// version gives each version its own content.
func version(second int, e execution.Execution) Version {
	return Version{Path: "tenants/ada/executions/" + e.ID, At: at(second), Content: fmt.Sprint(e.Status, e.Attempt, second), Execution: &e}
}

func messageVersion(second int, m conversation.Message) Version {
	return Version{
		Path: fmt.Sprintf("tenants/ada/conversations/%s/messages/%d-%s", conversationID, m.Turn, m.Role), At: at(second),
		Message: &m,
	}
}

func question(second, turn int, executionID string) Version {
	return messageVersion(second, conversation.Message{Turn: turn, Role: execution.RoleUser, Text: "hello", ExecutionID: executionID})
}

// reply returns the reply of a turn, with the text of succeeded's result.
func reply(second, turn int, executionID string) Version {
	return messageVersion(second, conversation.Message{
		Turn: turn, Role: execution.RoleAssistant, Text: resultOf(executionID), ExecutionID: executionID,
	})
}

func resultOf(executionID string) string { return "result of " + executionID }

func conversationVersion(second, turns int, pending ...string) Version {
	return Version{
		Path: "tenants/ada/conversations/" + conversationID, At: at(second),
		Conversation: &conversation.Conversation{ID: conversationID, Turns: turns, Pending: pending},
	}
}

func batchVersion(second, next int, finished *time.Time) Version {
	b := batch.Batch{ID: batchID, Total: 1, NextInput: next, FinishedAt: finished}
	return Version{Path: "tenants/ada/batches/" + batchID, At: at(second), Batch: &b}
}

// validHistory returns a history without violations: a run with two attempts, a conversation of two turns, and a batch
// of one input.
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
			{Execution: run, Text: resultOf(run)}, {Execution: turn1}, {Execution: turn2}, {Batch: batchID},
		},
		Observations: []Observation{{run, execution.Succeeded, resultOf(run)}},
		Versions: []Version{
			queued(run, 0), running(run, 1, 1, "x1"), retried, with(running(run, 18, 2, "x2"), failedOnce), with(succeeded(run, 20, 2, "x2"), failedOnce),

			conversationVersion(0, 1, turn1), with(queued(turn1, 0), inConversation(1)), question(0, 1, turn1),
			conversationVersion(1, 2, turn1, turn2), with(queued(turn2, 1), inConversation(2)), question(1, 2, turn2),
			with(running(turn1, 2, 1, "x1"), inConversation(1)), with(succeeded(turn1, 3, 1, "x1"), inConversation(1)),
			reply(3, 1, turn1), conversationVersion(3, 2, turn2),
			with(running(turn2, 4, 1, "x1"), inConversation(2)), with(succeeded(turn2, 5, 1, "x1"), inConversation(2)),
			reply(5, 2, turn2), conversationVersion(5, 2),

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
	require.Contains(t, f.String(), "0 lost")
}

// changeVersion changes the versions of one execution that match a condition.
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

// Each case changes the valid history in one way, and names the rule that must report it.
func TestCheckViolations(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*History)
		rule   string
	}{
		"an execution is lost":        {dropVersions(func(v Version) bool { return v.Execution != nil && v.Execution.ID == run }), ruleNothingLost},
		"a batch is lost":             {dropVersions(func(v Version) bool { return v.Batch != nil }), ruleNothingLost},
		"an execution never finishes": {dropVersions(func(v Version) bool { return v.Execution != nil && v.Execution.ID == run && v.At.After(at(17)) }), ruleFinishes},
		"a second final state": {addVersions(version(21, execution.Execution{
			ID: run, Status: execution.Failed, Attempt: 2, Failure: &execution.Failure{}, FinishedAt: ptr(at(21)),
		})), ruleFinalIsImmutable},
		"a result changes": {addVersions(succeeded(run, 21, 2, "x2")), ruleFinalIsImmutable},
		"an observed final state is not stored": {func(h *History) {
			h.Observations = append(h.Observations, Observation{turn1, execution.Failed, ""})
		}, ruleObservedFinal},
		"an observed execution is not stored": {func(h *History) {
			h.Observations = append(h.Observations, Observation{"exe_none", execution.Succeeded, ""})
		}, ruleObservedKnown},
		"the result of another execution":   {func(h *History) { h.Acceptances[0].Text = "mine" }, ruleOwnResult},
		"an attempt number is skipped":      {changeVersion(run, func(e *execution.Execution) bool { return e.Attempt == 2 }, func(v *Version) { v.Execution.Attempt = 3 }), ruleAttemptNumbers},
		"an attempt number is repeated":     {changeVersion(run, func(e *execution.Execution) bool { return e.Attempt == 2 }, func(v *Version) { v.Execution.Attempt = 1 }), ruleAttemptNumbers},
		"two attempts run at the same time": {addVersions(running(run, 5, 2, "x2")), ruleAttemptNumbers},
		"two executors run one attempt":     {addVersions(running(run, 5, 1, "x2")), ruleOneAttempt},
		"another session runs the attempt": {addVersions(version(5, execution.Execution{
			ID: run, Status: execution.Running, Attempt: 1, MaxAttempts: 3, Lease: &execution.Lease{Executor: "x1", Session: "prc_x1.2"}, Due: ptr(at(16)),
		})), ruleOneAttempt},
		"a running execution is renewed": {addVersions(running(run, 5, 1, "x1")), ruleQuietWhileRunning},
		"another attempt finished": {changeVersion(run, hasStatus(execution.Succeeded), func(v *Version) {
			v.Execution.Receipt = `{"execution":"exe_run","attempt":1,"executor":"x1"}`
		}), ruleLeaseHolder},
		"a lease after the final state":         {changeVersion(run, hasStatus(execution.Succeeded), func(v *Version) { v.Execution.Lease = &execution.Lease{} }), ruleLeaseWhenRunning},
		"neither a result nor a failure":        {changeVersion(run, hasStatus(execution.Succeeded), func(v *Version) { v.Execution.Result = nil }), ruleResultOrFailure},
		"no receipt":                            {changeVersion(run, hasStatus(execution.Succeeded), func(v *Version) { v.Execution.Receipt = "" }), ruleReceipt},
		"an invalid receipt":                    {changeVersion(run, hasStatus(execution.Succeeded), func(v *Version) { v.Execution.Receipt = "{" }), ruleReceipt},
		"a finished execution is due":           {changeVersion(run, hasStatus(execution.Succeeded), func(v *Version) { v.Execution.Due = ptr(at(30)) }), ruleFinalNotDue},
		"more failed attempts than the maximum": {changeVersion(run, func(e *execution.Execution) bool { return e.FailedAttempts == 1 }, func(v *Version) { v.Execution.FailedAttempts = 4 }), ruleFailedAttempts},
		"an execution stays overdue":            {func(h *History) { h.MaxOverdue = time.Millisecond }, ruleNotOverdue},
		"a turn without a reply":                {dropVersions(func(v Version) bool { return v.Message != nil && v.At.Equal(at(3)) }), ruleOneReply},
		"a turn with two replies":               {addVersions(reply(3, 3, turn1)), ruleOneReply},
		"a reply after the final state": {func(h *History) {
			for i, v := range h.Versions {
				if v.Message != nil && v.At.Equal(at(5)) {
					h.Versions[i].At = at(6)
				}
			}
		}, ruleReplyWithFinish},
		"the reply of another turn": {func(h *History) {
			for _, v := range h.Versions {
				if v.Message != nil && v.At.Equal(at(5)) {
					v.Message.Text = resultOf(turn1)
				}
			}
		}, ruleOwnReply},
		"a reply without an execution":        {addVersions(reply(3, 9, "exe_none")), ruleReplyExecution},
		"a turn runs before the previous one": {changeVersion(turn2, hasStatus(execution.Running), func(v *Version) { v.At = at(2) }), ruleTurnOrder},
		"a turn is missing":                   {changeVersion(turn1, func(*execution.Execution) bool { return true }, func(v *Version) { v.Execution.ConversationID = "" }), ruleTurnOrder},
		"a turn stays pending":                {addVersions(conversationVersion(6, 2, turn2)), ruleTurnsFinish},
		"a batch never finishes":              {dropVersions(func(v Version) bool { return v.Batch != nil && v.Batch.FinishedAt != nil }), ruleBatchFinishes},
		"a batch finishes too early":          {changeVersion(input, hasStatus(execution.Succeeded), func(v *Version) { v.Execution.FinishedAt = ptr(at(9)) }), ruleBatchFinishesLast},
		"a batch has too few executions": {func(h *History) {
			for _, v := range h.Versions {
				if v.Batch != nil {
					v.Batch.Total = 2
				}
			}
		}, ruleBatchComplete},
		"a document cannot be decoded": {func(h *History) {
			h.Undecodable = append(h.Undecodable, UndecodableDocument{"tenants/ada/executions/" + run, errors.New("tenant is missing")})
		}, ruleDecodable},
		"a second execution of a turn": {addVersions(version(1, execution.Execution{
			ID: "exe_second", Status: execution.Queued, ConversationID: conversationID, Turn: 2,
		})), ruleOneExecution},
		"a turn without a message of the user": {dropVersions(func(v Version) bool {
			return v.Message != nil && v.Message.Role == execution.RoleUser && v.Message.Turn == 1
		}), ruleOneUserMessage},
		"a turn without a conversation": {dropVersions(func(v Version) bool { return v.Conversation != nil }), ruleTurnConversation},
		"a document is deleted":         {addVersions(Version{Path: "tenants/ada/executions/" + run, At: at(30)}), ruleNotDeleted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := validHistory()
			tc.change(&h)
			var rules []string
			for _, v := range Check(h) {
				rules = append(rules, v.Rule)
			}
			require.Contains(t, rules, tc.rule, "%v", Check(h))
		})
	}
}

// During an outage the janitor cannot act, so an overdue document is no violation.
func TestOutageExcusesOverdue(t *testing.T) {
	t.Parallel()
	h := validHistory()
	h.MaxOverdue = time.Millisecond
	require.NotEmpty(t, Check(h))
	h.Outages = []TimeRange{{at(0), at(30)}}
	require.Empty(t, Check(h))
	require.Zero(t, Summarize(h).LongestOverdue)
}
