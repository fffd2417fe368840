package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/test/strict"
)

const (
	ada = "ada"
	bob = "bob"
)

var claimEvent = execution.Claimed{Executor: "x1"}

// fixture is a store over a Firestore emulator of its own. The test may advance its clock.
type fixture struct {
	*Store
	firestore *emulatortest.Firestore
	clock     *emulatortest.Clock
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	clock := new(emulatortest.Clock)
	f := strict.StartFirestore(t, firestoreemulator.Options{Now: clock.Now})
	return fixture{Store: New(f.Client), firestore: f, clock: clock}
}

func (f fixture) createAgent(t *testing.T, tenant string) agent.Agent {
	t.Helper()
	a := agent.Agent{Tenant: tenant, Name: "Counter", Instructions: "Count the words", Runtime: "offline", Model: "m", Timeout: time.Minute}
	require.NoError(t, f.CreateAgent(t.Context(), &a, nil))
	return a
}

// submitRun submits a run of a new agent.
func (f fixture) submitRun(t *testing.T, tenant string) execution.Ref {
	t.Helper()
	ch, err := f.SubmitRun(t.Context(), RunRequest{Tenant: tenant, AgentID: f.createAgent(t, tenant).ID, Input: "one two"})
	require.NoError(t, err)
	return ch.Execution.Ref()
}

// submitTurn adds a turn to a conversation of ada; an empty ID begins a conversation.
func (f fixture) submitTurn(t *testing.T, conversationID, message string) execution.Execution {
	t.Helper()
	ch, err := f.SubmitTurn(t.Context(), TurnRequest{Tenant: ada, ConversationID: conversationID, Message: message})
	require.NoError(t, err)
	return ch.Execution
}

// applyUntilAvailable repeats Apply while contention for the document makes Firestore unavailable.
func (f fixture) applyUntilAvailable(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error) {
	for {
		ch, err := f.Apply(ctx, ref, ev)
		if !errors.Is(err, ErrUnavailable) || ctx.Err() != nil {
			return ch, err
		}
	}
}

func (f fixture) mustApply(t *testing.T, ref execution.Ref, ev execution.Event) execution.Change {
	t.Helper()
	ch, err := f.applyUntilAvailable(t.Context(), ref, ev)
	require.NoError(t, err)
	return ch
}

func (f fixture) getExecution(t *testing.T, ref execution.Ref) execution.Execution {
	t.Helper()
	e, err := f.Execution(t.Context(), ref)
	require.NoError(t, err)
	return e
}

func (f fixture) listMessages(t *testing.T, e execution.Execution) []conversation.Message {
	t.Helper()
	found, err := f.Messages(t.Context(), e.Tenant, e.ConversationID, 0, 1000)
	require.NoError(t, err)
	return found
}

func (f fixture) countDocuments(t *testing.T, q firestore.Query) int {
	t.Helper()
	n, err := count(t.Context(), q)
	require.NoError(t, err)
	return n
}

func successEnding(text string) execution.Ending {
	return execution.Ending{Status: execution.Succeeded, Result: &execution.Result{Text: text}}
}

func successEvent(attempt int, text string) execution.JobEnded {
	return execution.JobEnded{Attempt: attempt, Ending: successEnding(text)}
}
