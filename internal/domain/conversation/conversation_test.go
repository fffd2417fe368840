package conversation

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// finishedExecution returns an execution as Complete gets it.
func finishedExecution(id string, turn int, result *execution.Result, failure *execution.Failure) *execution.Execution {
	at := noon.Add(time.Minute)
	return &execution.Execution{ID: id, Turn: turn, Result: result, Failure: failure, FinishedAt: &at}
}

func TestAcceptAddsTurn(t *testing.T) {
	var c Conversation
	question, err := c.Accept("exe_1", "hello", noon)
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(Message{Turn: 1, Role: execution.RoleUser, Text: "hello", ExecutionID: "exe_1", CreatedAt: noon}, question))

	later := noon.Add(time.Hour)
	question, err = c.Accept("exe_2", "again", later)
	require.NoError(t, err)
	require.Equal(t, 2, question.Turn)
	require.Empty(t, cmp.Diff(Conversation{
		Title: "hello", Turns: 2, Pending: []string{"exe_1", "exe_2"}, CreatedAt: noon, UpdatedAt: later,
	}, c))
}

func TestAcceptRefusesMoreThanMaxPending(t *testing.T) {
	var c Conversation
	for i := range MaxPending {
		_, err := c.Accept(fmt.Sprint(i), "x", noon)
		require.NoError(t, err)
	}
	_, err := c.Accept("too many", "x", noon.Add(time.Hour))
	require.ErrorIs(t, err, ErrTooManyPending)
	require.Equal(t, MaxPending, c.Turns)
	require.Len(t, c.Pending, MaxPending)
	require.Equal(t, noon, c.UpdatedAt, "a rejected turn changes nothing")

	c.Complete(finishedExecution("0", 1, &execution.Result{}, nil))
	_, err = c.Accept("now", "x", noon)
	require.NoError(t, err)
}

func TestTitle(t *testing.T) {
	for name, tc := range map[string]struct{ text, title string }{
		"short":                 {"hello", "hello"},
		"several lines":         {"hello\nworld", "hello"},
		"carriage return":       {"hello\r\nworld", "hello"},
		"longest":               {strings.Repeat("é", 80), strings.Repeat("é", 80)},
		"too long":              {strings.Repeat("한", 81), strings.Repeat("한", 80)},
		"begins with new lines": {"\nhello", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var c Conversation
			_, err := c.Accept("exe_1", tc.text, noon)
			require.NoError(t, err)
			require.Equal(t, tc.title, c.Title)
			require.True(t, utf8.ValidString(c.Title))
		})
	}
}

func TestOnlyFirstPendingTurnMayRun(t *testing.T) {
	c := Conversation{}
	require.False(t, c.MayRun("exe_1"))
	c.Pending = []string{"exe_1", "exe_2"}
	require.True(t, c.MayRun("exe_1"))
	require.False(t, c.MayRun("exe_2"))
	require.False(t, c.MayRun(""))

	c.Complete(finishedExecution("exe_1", 1, &execution.Result{Text: "x"}, nil))
	require.True(t, c.MayRun("exe_2"))
	require.False(t, c.MayRun("exe_1"), "a finished turn does not run again")
}

func TestCompleteReturnsResultAsReply(t *testing.T) {
	c := Conversation{Turns: 1, Pending: []string{"exe_1"}, UpdatedAt: noon}
	draft := &agent.Draft{Name: "A", Instructions: "B"}
	e := finishedExecution("exe_1", 1, &execution.Result{Text: "hi", AgentDraft: draft}, nil)
	reply := c.Complete(e)
	require.Empty(t, cmp.Diff(Message{
		Turn: 1, Role: execution.RoleAssistant, Text: "hi", AgentDraft: draft, ExecutionID: "exe_1", CreatedAt: *e.FinishedAt,
	}, reply))
	require.Empty(t, c.Pending)
	require.Equal(t, *e.FinishedAt, c.UpdatedAt)
}

func TestCompleteReturnsFailureAsReply(t *testing.T) {
	c := Conversation{Turns: 2, Pending: []string{"exe_1", "exe_2"}}
	failure := execution.NewCanceledFailure()
	e := finishedExecution("exe_2", 2, nil, failure)
	e.PartialText = "so far"
	reply := c.Complete(e)
	require.Equal(t, "so far", reply.Partial)
	require.Equal(t, failure, reply.Failure)
	require.Empty(t, reply.Text)
	require.Equal(t, []string{"exe_1"}, c.Pending, "a turn may be canceled before the turn ahead of it has finished")
}

// The session of a conversation is set aside after a turn that failed because of it, for one turn.
func TestCompleteKeepsSession(t *testing.T) {
	var c Conversation
	session := func(turn int) *execution.AgentSession { return &execution.AgentSession{Turn: turn} }
	for i, step := range []struct {
		left     *execution.AgentSession
		rejected bool
		stored   *execution.AgentSession
		setAside bool
	}{
		{nil, false, nil, false},
		{session(2), false, session(2), false},
		{nil, false, session(2), false},
		{nil, true, session(2), true},
		{nil, false, session(2), true},
		{nil, true, session(2), false},
		{nil, true, session(2), true},
		{session(8), false, session(8), false},
		{session(9), true, session(8), true},
	} {
		e := finishedExecution("exe_1", i+1, nil, execution.NewCanceledFailure())
		e.NewSession, e.SessionRejected = step.left, step.rejected
		c.Complete(e)
		require.Equal(t, step.stored, c.Session, i)
		require.Equal(t, step.setAside, c.SessionRejected, i)
	}
}

// Turns are accepted and finished in any order. Only the earliest unfinished turn may run.
func TestTurnsRunInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c Conversation
		var pending []string // in order
		t.Repeat(map[string]func(*rapid.T){
			"accept": func(t *rapid.T) {
				id := fmt.Sprintf("exe_%d", c.Turns+1)
				_, err := c.Accept(id, "x", noon)
				if len(pending) == MaxPending {
					require.ErrorIs(t, err, ErrTooManyPending)
					return
				}
				require.NoError(t, err)
				pending = append(pending, id)
			},
			"complete": func(t *rapid.T) {
				if len(pending) == 0 {
					t.Skip("no turn is pending")
				}
				i := rapid.IntRange(0, len(pending)-1).Draw(t, "which")
				c.Complete(finishedExecution(pending[i], 1, &execution.Result{}, nil))
				pending = append(pending[:i:i], pending[i+1:]...)
			},
			"": func(t *rapid.T) {
				for i, id := range pending {
					require.Equal(t, i == 0, c.MayRun(id))
				}
				require.Len(t, c.Pending, len(pending))
			},
		})
	})
}
