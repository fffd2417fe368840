package executor

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/agentruntime/streamjson"
	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/store"
)

// rememberingSandbox is a sandbox whose agent writes each prompt into its session file. end makes the outcome of a
// prompt; nil: the job succeeds.
func rememberingSandbox(end func(ctx context.Context, prompt string) (sandbox.Outcome, error)) *fakeSandbox {
	return newFakeSandbox(func(ctx context.Context, job sandbox.Job) (sandbox.Outcome, error) {
		prompt := promptOf(job)
		o, err := successOutcome("answer to "+prompt), error(nil)
		if end != nil {
			o, err = end(ctx, prompt)
		}
		return withSessionFile(o, job, prompt), err
	})
}

func withSessionFile(o sandbox.Outcome, job sandbox.Job, prompt string) sandbox.Outcome {
	content := sessionOf(job) + fmt.Sprintf(`{"type":"user","uuid":"u-%s"}`, prompt) + "\n"
	o.Files = append(o.Files, sandbox.OutputFile{
		Path: job.Collect[0], Mode: 0o600, Content: io.NewSectionReader(strings.NewReader(content), 0, int64(len(content))),
	})
	return o
}

// promptOf returns the input of a job.
func promptOf(job sandbox.Job) string {
	input, err := streamjson.ReadInput(bytes.NewReader(job.Stdin))
	if err != nil {
		panic(err) // a mistake of the test
	}
	return input.Prompt
}

// sessionOf returns the session file that a job is given.
func sessionOf(job sandbox.Job) string {
	files := job.Files
	if job.Ahead != nil {
		files = append(slices.Clone(job.Ahead.Files), files...)
	}
	for _, file := range files {
		if file.Path == job.Collect[0] {
			return string(file.Data)
		}
	}
	return ""
}

func (f *fixture) session(e execution.Execution) *execution.AgentSession {
	f.t.Helper()
	c, err := f.store.Conversation(f.t.Context(), tenant, e.ConversationID)
	require.NoError(f.t, err)
	return c.Session
}

func requireLost(t *testing.T, blobs *blob.Store, s *execution.AgentSession) {
	t.Helper()
	require.Eventually(t, func() bool {
		r, err := blobs.Get(t.Context(), blob.SessionKey(tenant, s), s.Content)
		if err == nil {
			require.NoError(t, r.Close())
		}
		return err != nil
	}, waitTimeout, pollInterval)
}

// runTurns runs turns of one conversation, each of which must end as ends says, and returns the session file that each
// was given.
func (f *fixture) runTurns(b *fakeSandbox, ends ...execution.Status) (turns []execution.Execution, given []string) {
	f.t.Helper()
	conversationID := ""
	for i, end := range ends {
		turn := f.submitTurn(conversationID, fmt.Sprintf("message-%d", i+1), "")
		given = append(given, sessionOf(next(f.t, b.started)))
		if end == execution.Canceled {
			f.cancel(turn.Ref(), true)
		}
		turns = append(turns, f.await(turn.Ref(), end))
		conversationID = turn.ConversationID
	}
	return turns, given
}

// A turn begins with the session that the turn before left, with success or without. The one that is replaced is
// deleted.
func TestSessionGoesOnAfterEveryEnd(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	blobs := openArtifactStore(t)
	b := rememberingSandbox(func(ctx context.Context, prompt string) (sandbox.Outcome, error) {
		switch prompt {
		case "message-2":
			return sandbox.Outcome{EndReason: sandbox.Exited, ExitCode: 3, Record: begunRecord()}, nil
		case "message-3":
			return sandbox.Outcome{EndReason: sandbox.TimedOut, Record: begunRecord()}, nil
		case "message-4":
			<-ctx.Done()
			return sandbox.Outcome{EndReason: sandbox.Stopped, Record: begunRecord()}, nil
		default:
			return successOutcome("ok"), nil
		}
	})
	f.run(configWithArtifacts(blobs), b)
	turns, given := f.runTurns(b, execution.Succeeded, execution.Failed, execution.TimedOut, execution.Canceled, execution.Succeeded)

	require.Empty(t, given[0])
	require.Equal(t, `{"type":"user","uuid":"u-message-1"}`+"\n", given[1])
	last := given[4]
	for _, part := range []string{
		"u-message-1", "u-message-2", "[This turn failed before it ended: ", "u-message-3", "[This turn timed out before it ended.]",
		"u-message-4", "[This turn was canceled before it ended.]",
	} {
		_, rest, found := strings.Cut(last, part)
		require.True(t, found, "%q in %s", part, given[4])
		last = rest
	}
	newest := f.session(turns[4])
	require.Equal(t, turns[4].ID, newest.ExecutionID)
	require.Equal(t, 5, newest.Turn)
	require.Contains(t, f.downloadSession(blobs, newest), "u-message-5")
	for _, turn := range turns[:4] {
		requireLost(t, blobs, &execution.AgentSession{ExecutionID: turn.ID, Attempt: 1})
	}
}

func (f *fixture) downloadSession(blobs *blob.Store, s *execution.AgentSession) string {
	f.t.Helper()
	compressed := content(f.t, blobs, blob.SessionKey(tenant, s), s.Content)
	data, err := decompress([]byte(compressed), s.Size)
	require.NoError(f.t, err)
	return string(data)
}

// A turn that ends without a session file keeps the session before it. The next one gets it with what was said since.
func TestTurnWithoutSessionFile(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := newFakeSandbox(func(ctx context.Context, job sandbox.Job) (sandbox.Outcome, error) {
		if prompt := promptOf(job); prompt != "message-2" {
			return withSessionFile(successOutcome("ok"), job, prompt), nil
		}
		<-ctx.Done()
		return sandbox.Outcome{Record: begunRecord()}, context.Cause(ctx)
	})
	f.run(configWithArtifacts(openArtifactStore(t)), b)
	turns, given := f.runTurns(b, execution.Succeeded, execution.Canceled, execution.Succeeded)
	_, later, ok := strings.Cut(given[2], `{"type":"user","uuid":"u-message-1"}`+"\n")
	require.True(t, ok, given[2])
	require.Contains(t, later, `"text":"message-2"`)
	require.Contains(t, later, "[This turn was canceled before it ended.]")
	require.Equal(t, 3, f.session(turns[2]).Turn)
}

// Otherwise every later turn would fail because of the session, too. The agent of the next turn is told. If that turn
// fails in the same way, the session was not the cause.
func TestTurnAfterRejectedSession(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	blobs := openArtifactStore(t)
	b := newFakeSandbox(func(_ context.Context, job sandbox.Job) (sandbox.Outcome, error) {
		switch prompt := promptOf(job); prompt {
		case "message-2", "message-3", "message-4":
			return sandbox.Outcome{EndReason: sandbox.Exited, ExitCode: 1, Record: begunRecord()}, nil
		default:
			return withSessionFile(successOutcome("ok"), job, prompt), nil
		}
	})
	f.run(configWithArtifacts(blobs), b)
	turns, given := f.runTurns(b, execution.Succeeded, execution.Failed, execution.Failed, execution.Failed, execution.Succeeded, execution.Succeeded)
	for i, rebuilt := range []bool{false, false, true, false, true} {
		require.Equal(t, rebuilt, strings.Contains(given[i], "was rebuilt from its newest messages"), "turn %d: %s", i+1, given[i])
	}
	require.Contains(t, given[3], "u-message-1")
	require.Contains(t, given[5], "u-message-5")
	require.Equal(t, 6, f.session(turns[5]).Turn)
	for _, turn := range []execution.Execution{turns[0], turns[4]} {
		requireLost(t, blobs, &execution.AgentSession{ExecutionID: turn.ID, Attempt: 1})
	}
}

// A result does not wait for the agent's memory: the turn ends without a session.
func TestTurnEndsWhileSessionCannotBeStored(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.run(configWithArtifacts(newFlakyArtifactStore(t, 1<<40)), rememberingSandbox(nil))
	turn := f.submitTurn("", "hello", "")
	require.Equal(t, 1, f.await(turn.Ref(), execution.Succeeded).Attempt)
	require.Nil(t, f.session(turn))
}

// The agent is told that its session is lost.
func TestLostSession(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	blobs, b := openArtifactStore(t), rememberingSandbox(nil)
	f.run(configWithArtifacts(blobs), b)
	first := f.submitTurn("", "message-1", "")
	f.await(first.Ref(), execution.Succeeded)
	next(t, b.started)
	require.NoError(t, blobs.DeleteContent(t.Context(), blob.SessionKey(tenant, f.session(first))))
	second := f.submitTurn(first.ConversationID, "message-2", "")
	f.await(second.Ref(), execution.Succeeded)
	given := sessionOf(next(t, b.started))
	require.Contains(t, given, "was rebuilt from its newest messages")
	require.Contains(t, given, "answer to message-1")
	require.Equal(t, 2, f.session(second).Turn)
}

// unreadableStore is a real store that cannot be read.
type unreadableStore struct{ *blob.Store }

func (unreadableStore) Get(context.Context, blob.Key, execution.Content) (*blob.Reader, error) {
	return nil, blob.ErrUnavailable
}

// While blob storage cannot be read, a turn waits: it does not begin without the session.
func TestTurnWaitsForSession(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := rememberingSandbox(nil)
	f.run(configWithArtifacts(unreadableStore{openArtifactStore(t)}), b)
	first := f.submitTurn("", "message-1", "")
	f.await(first.Ref(), execution.Succeeded)
	next(t, b.started)
	second := f.submitTurn(first.ConversationID, "message-2", "")
	require.Eventually(t, func() bool {
		e := f.stored(second.Ref())
		return e.Status == execution.Queued && e.Attempt == 1
	}, waitTimeout, pollInterval)
	require.Empty(t, b.started)
	require.Zero(t, f.stored(second.Ref()).FailedAttempts)
}

// The session of a turn whose conversation was deleted is not kept.
func TestSessionOfDeletedConversationIsDeleted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	blobs, gate := newFlakyArtifactStore(t, 0), make(chan struct{})
	b := rememberingSandbox(func(context.Context, string) (sandbox.Outcome, error) {
		<-gate
		return successOutcome("ok"), nil
	})
	f.run(configWithArtifacts(blobs), b)
	turn := f.submitTurn("", "hello", "")
	next(t, b.started)
	_, err := f.store.DeleteConversation(t.Context(), tenant, turn.ConversationID)
	require.NoError(t, err)
	close(gate)
	f.await(turn.Ref(), execution.Succeeded)
	uploaded := &execution.AgentSession{ExecutionID: turn.ID, Attempt: 1}
	require.Equal(t, blob.SessionKey(tenant, uploaded), next(t, blobs.attempted))
	requireLost(t, blobs.Store, uploaded)
}

// An attempt that another one follows leaves no session: the next attempt begins as it did.
func TestSessionOfRetriedAttemptIsDeleted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	blobs := openArtifactStore(t)
	b := rememberingSandbox(func(context.Context, string) (sandbox.Outcome, error) {
		return sandbox.Outcome{EndReason: sandbox.Exited, ExitCode: 1, Record: begunRecord()}, nil
	})
	f.run(configWithArtifacts(blobs), b)
	a := agent.Agent{
		Tenant: tenant, Name: "A", Instructions: "B", Runtime: "offline", Timeout: time.Minute, RetryPolicy: agent.RetryPolicy{MaxAttempts: 2},
	}
	require.NoError(t, f.store.CreateAgent(t.Context(), &a, nil))
	ch, err := f.store.SubmitTurn(t.Context(), store.TurnRequest{Tenant: tenant, AgentID: a.ID, Message: "hello"})
	require.NoError(t, err)
	turn := ch.Execution
	for range 2 {
		require.NoError(t, f.queue.Publish(t.Context(), ch))
		require.Empty(t, sessionOf(next(t, b.started)))
		require.Eventually(t, func() bool { return f.stored(turn.Ref()).Status != execution.Running }, waitTimeout, pollInterval)
		f.clock.Advance(time.Minute)
	}
	require.Equal(t, 2, f.await(turn.Ref(), execution.Failed).RetriedFailures)
	requireLost(t, blobs, &execution.AgentSession{ExecutionID: turn.ID, Attempt: 1})
	require.Equal(t, 2, f.session(turn).Attempt)
}

func TestDecompressAnotherSize(t *testing.T) {
	compressed, err := compress([]byte(strings.Repeat("x", 1000)))
	require.NoError(t, err)
	require.Less(t, len(compressed), 100)
	data, err := decompress(compressed, 1000)
	require.NoError(t, err)
	require.Len(t, data, 1000)
	for _, size := range []int64{0, 999, 1001, 1 << 40} {
		_, err := decompress(compressed, size)
		require.ErrorIs(t, err, blob.ErrLost)
	}
	_, err = decompress([]byte("not compressed"), 14)
	require.ErrorIs(t, err, blob.ErrLost)
	bomb, err := compress(make([]byte, execution.MaxAgentSessionBytes+1))
	require.NoError(t, err)
	_, err = decompress(bomb, execution.MaxAgentSessionBytes+1)
	require.ErrorIs(t, err, blob.ErrLost)
	largest, err := compress(make([]byte, execution.MaxAgentSessionBytes))
	require.NoError(t, err)
	_, err = decompress(largest, execution.MaxAgentSessionBytes)
	require.NoError(t, err)
}
