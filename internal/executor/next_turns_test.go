package executor

import (
	"context"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/agentruntime"
	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/store"
)

// configOfNextTurns starts agents of the offline runtime ahead.
func configOfNextTurns(t *testing.T) Config {
	entry := catalog.Builtin().Runtimes[0]
	entry.StartAhead = true
	c := configWithWorkspaces(openArtifactStore(t))
	c.Runtimes = agentruntime.NewRegistry(agentruntime.FromCatalog(entry, nil))
	c.Slots, c.MaxNextTurns, c.NextTurnHold = 4, 2, time.Hour
	return c
}

// workingSandbox has agents that leave a session and a workspace.
func workingSandbox() *fakeSandbox {
	b := rememberingSandbox(func(context.Context, string) (sandbox.Outcome, error) { return successOutcome("ok"), nil })
	remember := b.runFunc
	b.runFunc = func(ctx context.Context, job sandbox.Job) (sandbox.Outcome, error) {
		o, err := remember(ctx, job)
		left := "files after " + promptOf(job)
		o.Snapshot = sandbox.Snapshot{State: sandbox.SnapshotComplete, Content: io.NewSectionReader(strings.NewReader(left), 0, int64(len(left)))}
		return o, err
	}
	return b
}

// requireSameStart requires that a job can use the agent that was started for another one.
func requireSameStart(t *testing.T, started, job sandbox.Job) {
	t.Helper()
	require.Equal(t, started.Argv, job.Argv)
	require.Equal(t, started.Env, job.Env)
	require.Equal(t, started.Ahead, job.Ahead)
	require.Equal(t, started.Limits, job.Limits)
	require.Equal(t, started.Image, job.Image)
	require.Equal(t, started.Workspace.SHA256, job.Workspace.SHA256)
}

// After each turn an agent is started as the next turn needs it: with the session and the files that the turn left.
func TestNextTurnFindsItsAgent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := workingSandbox()
	f.run(configOfNextTurns(t), b)
	turn := f.submitTurn("", "message-1", "")
	next(t, b.started)
	f.await(turn.Ref(), execution.Succeeded)
	for _, message := range []string{"message-2", "message-3"} {
		started := next(t, b.ahead)
		require.NotEmpty(t, started.Workspace.SHA256)
		require.Equal(t, "ada "+turn.ConversationID, started.Ahead.Owner)
		turn = f.submitTurn(turn.ConversationID, message, "")
		require.NotEmpty(t, turn.Holder)
		requireSameStart(t, started, next(t, b.started))
		requireSameStart(t, started, next(t, b.given))
		f.await(turn.Ref(), execution.Succeeded)
	}
	f.await(f.submit("offline", "not a turn"), execution.Succeeded)
	next(t, b.ahead)
	require.Empty(t, b.ahead, "only turns have next turns")
}

// The agents of the newest conversations wait, for a limited time, and not longer than their conversation exists.
func TestWaitingAgentsAreGivenUp(t *testing.T) {
	t.Parallel()
	var short atomic.Bool
	for name, c := range map[string]struct {
		change func(*Config)
		after  func(f *fixture, x *Executor, conversation string)
	}{
		"another conversation": {func(c *Config) { c.MaxNextTurns = 1 }, func(f *fixture, _ *Executor, _ string) { f.submitTurn("", "hello", "") }},
		"the time":             {func(c *Config) { c.NextTurnHold = time.Millisecond }, func(*fixture, *Executor, string) {}},
		"the conversation is deleted": {func(*Config) {}, func(_ *fixture, x *Executor, conversation string) {
			x.SignalTurn(execution.Ref{Tenant: tenant, ID: conversation}, "")
		}},
		"the executor drains": {func(*Config) {}, func(_ *fixture, x *Executor, _ string) { x.SetDraining(true) }},
		"a job needs the slot": {func(c *Config) { c.Slots, c.Reserved = 1, 0 }, func(f *fixture, _ *Executor, _ string) {
			f.submit("offline", "x")
		}},
		"memory is short": {func(*Config) {}, func(*fixture, *Executor, string) { short.Store(true) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			config, b := configOfNextTurns(t), workingSandbox()
			c.change(&config)
			x := f.newExecutor(config, f.store, f.queue, b)
			if name == "memory is short" {
				x.nextTurns.memoryIsShort = short.Load
			}
			f.start(x)
			turn := f.submitTurn("", "message-1", "")
			started := next(t, b.ahead)
			if config.NextTurnHold > time.Second {
				require.Eventually(t, func() bool { return x.nextTurns.count() == 1 }, waitTimeout, pollInterval)
			}
			c.after(f, x, turn.ConversationID)
			requireSameStart(t, started, next(t, b.given))
		})
	}
}

// The conversation is deleted while the agent for its next turn is being started.
func TestDeletedConversationKeepsNoAgent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	config, b := configOfNextTurns(t), workingSandbox()
	b.aheadFunc = func(sandbox.Job) {
		turns, err := f.store.Conversations(context.Background(), tenant, store.Page{Limit: 1})
		if err == nil && len(turns) == 1 {
			_, _ = f.store.DeleteConversation(context.Background(), tenant, turns[0].ID) // the test waits for its effect
		}
	}
	f.run(config, b)
	f.submitTurn("", "message-1", "")
	requireSameStart(t, next(t, b.ahead), next(t, b.given))
}

// An executor that stops gives up the agents that wait.
func TestStoppedExecutorGivesUpAgents(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := workingSandbox()
	stop := f.run(configOfNextTurns(t), b)
	f.submitTurn("", "message-1", "")
	next(t, b.ahead)
	stop()
	require.Len(t, b.given, 1)
}

// A turn goes to the executor at which an agent waits for it, and to another one if that is busy.
func TestTurnPrefersExecutorWithItsAgent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	config := configOfNextTurns(t)
	holder, other := workingSandbox(), workingSandbox()
	x := f.newExecutor(config, f.store, f.queue, holder)
	f.start(x)
	turn := f.submitTurn("", "message-1", "")
	next(t, holder.started)
	config.Name = "other"
	f.run(config, other)
	awaitWaiting := func() {
		require.Eventually(t, func() bool { return x.nextTurns.count() == 1 }, waitTimeout, pollInterval)
	}
	for range 5 {
		awaitWaiting()
		turn = f.submitTurn(turn.ConversationID, "go on", "")
		next(t, holder.started)
		f.await(turn.Ref(), execution.Succeeded)
	}
	awaitWaiting()
	require.Empty(t, other.started)
	for range config.Slots {
		require.True(t, x.slots.take(execution.LaneInteractive))
	}
	turn = f.submitTurn(turn.ConversationID, "go on", "")
	next(t, other.started)
	f.await(turn.Ref(), execution.Succeeded)
	require.Empty(t, holder.started)
}
