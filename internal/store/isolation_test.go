package store

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Another tenant's resource returns the same error as a missing one, for every use.
func TestOtherTenantsResourcesNotFound(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.createAgent(t, ada)
	turn := f.submitTurn(t, "", "secret")
	ctx := t.Context()
	for name, use := range map[string]func(tenant, agent, conversation string, ref execution.Ref) error{
		"read the agent": func(o, a, _ string, _ execution.Ref) error { _, err := f.Agent(ctx, o, a); return err },
		"run the agent": func(o, a, _ string, _ execution.Ref) error {
			_, err := f.SubmitRun(ctx, RunRequest{Tenant: o, AgentID: a})
			return err
		},
		"begin a conversation with the agent": func(o, a, _ string, _ execution.Ref) error {
			_, err := f.SubmitTurn(ctx, TurnRequest{Tenant: o, AgentID: a})
			return err
		},
		"read the conversation": func(o, _, c string, _ execution.Ref) error { _, err := f.Conversation(ctx, o, c); return err },
		"continue the conversation": func(o, _, c string, _ execution.Ref) error {
			_, err := f.SubmitTurn(ctx, TurnRequest{Tenant: o, ConversationID: c})
			return err
		},
		"read the execution": func(_, _, _ string, r execution.Ref) error { _, err := f.Execution(ctx, r); return err },
		"cancel the execution": func(_, _, _ string, r execution.Ref) error {
			_, err := f.Apply(ctx, r, execution.CancelRequested{})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			otherTenantErr := use(bob, a.ID, turn.ConversationID, execution.Ref{Tenant: bob, ID: turn.ID})
			missingErr := use(bob, "x", "x", execution.Ref{Tenant: bob, ID: "x"})
			var notFound, missing *NotFoundError
			require.ErrorAs(t, otherTenantErr, &notFound)
			require.ErrorAs(t, missingErr, &missing)
			require.Equal(t, missing.Resource, notFound.Resource)
		})
	}
	require.Equal(t, execution.Queued, f.getExecution(t, turn.Ref()).Status)
	messages, err := f.Messages(ctx, bob, turn.ConversationID, 0, 10)
	require.NoError(t, err)
	require.Empty(t, messages)
	conversations, err := f.Conversations(ctx, bob, Page{Limit: 10})
	require.NoError(t, err)
	require.Empty(t, conversations)
	executions, err := f.Executions(ctx, bob, Filter{}, Page{Limit: 10})
	require.NoError(t, err)
	require.Empty(t, executions)
	agents, err := f.Agents(ctx, bob, Page{Limit: 10})
	require.NoError(t, err)
	require.Empty(t, agents)
}
