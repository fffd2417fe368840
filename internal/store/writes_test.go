package store

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/apikey"
	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/domain/webhook"
)

// interceptCommits passes every commit to f, which calls commit to let Firestore do it.
func (f fixture) interceptCommits(intercept func(ctx context.Context, r *firestorepb.CommitRequest, commit func() (any, error)) (any, error)) {
	f.firestore.Intercept(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, do grpc.UnaryHandler) (any, error) {
		r, ok := req.(*firestorepb.CommitRequest)
		if !ok {
			return do(ctx, req)
		}
		return intercept(ctx, r, func() (any, error) { return do(ctx, req) })
	})
}

// replaceAnswer lets Firestore do every commit, and replaces the answer to the n-th one by an error. It returns a
// function that counts the commits that were made.
func (f fixture) replaceAnswer(n int, code codes.Code) (commits func() int) {
	var made atomic.Int64
	f.interceptCommits(func(_ context.Context, _ *firestorepb.CommitRequest, commit func() (any, error)) (any, error) {
		answer, err := commit()
		if err == nil && made.Add(1) == int64(n) {
			return nil, status.Error(code, "the answer was lost")
		}
		return answer, err
	})
	return func() int { return int(made.Load()) }
}

// hangUpDuringCommit returns a context that is canceled once Firestore has done the next commit and before it answers.
func (f fixture) hangUpDuringCommit(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	f.interceptCommits(func(callCtx context.Context, _ *firestorepb.CommitRequest, commit func() (any, error)) (any, error) {
		answer, err := commit()
		if ctx.Err() == nil {
			cancel()
			<-callCtx.Done()
		}
		return answer, err
	})
	return ctx
}

// scenario is a sequence of writes, and what must be stored at its end.
type scenario struct {
	steps []func(context.Context) error
	check func(t *testing.T)
}

// scenarios returns the writes of every kind of resource. Each call gives new resources.
func scenarios(t *testing.T, f fixture) map[string]func() scenario {
	a := f.createAgent(t, ada)
	run := RunRequest{Tenant: ada, AgentID: a.ID, Input: "x"}
	apply := func(ref func() execution.Ref, ev execution.Event) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := f.Apply(ctx, ref(), ev)
			if errors.Is(err, execution.ErrTerminal) { // a repetition, after the outcome was unknown
				return nil
			}
			return err
		}
	}
	return map[string]func() scenario{
		"run": func() scenario {
			var ch execution.Change
			before := f.countDocuments(t, f.collection(ada, executions).Query)
			ref := func() execution.Ref { return ch.Execution.Ref() }
			return scenario{[]func(context.Context) error{
				func(ctx context.Context) (err error) { ch, err = f.SubmitRun(ctx, run); return err },
				apply(ref, claimEvent), apply(ref, successEvent(1, "done")),
			}, func(t *testing.T) {
				require.Equal(t, execution.Succeeded, f.getExecution(t, ref()).Status)
				require.Equal(t, 1, f.getExecution(t, ref()).Attempt)
				require.Equal(t, before+1, f.countDocuments(t, f.collection(ada, executions).Query))
			}}
		},
		"run with key and files": func() scenario {
			var ch execution.Change
			before := f.countDocuments(t, f.collection(ada, executions).Query)
			r := run
			r.IdempotencyKey, r.InputFiles = idempotencyKey(id.New("k-"), "r"), []execution.InputFile{{Path: "a", Data: []byte("b")}}
			return scenario{[]func(context.Context) error{
				func(ctx context.Context) (err error) { ch, err = f.SubmitRun(ctx, r); return err },
			}, func(t *testing.T) {
				require.Equal(t, execution.Queued, f.getExecution(t, ch.Execution.Ref()).Status)
				files, err := f.InputFiles(t.Context(), ch.Execution.Ref())
				require.NoError(t, err)
				require.Len(t, files, 1)
				require.Equal(t, ch.Execution.ID, requireDuplicate(t, f.CheckIdempotencyKey(t.Context(), ada, r.IdempotencyKey.Key)).Created.Execution.ID)
				require.Equal(t, before+1, f.countDocuments(t, f.collection(ada, executions).Query))
			}}
		},
		"conversation": func() scenario {
			var first, second, retry execution.Change
			firstRef := func() execution.Ref { return first.Execution.Ref() }
			return scenario{[]func(context.Context) error{
				func(ctx context.Context) (err error) {
					first, err = f.SubmitTurn(ctx, TurnRequest{Tenant: ada, Message: "one"})
					return err
				},
				func(ctx context.Context) (err error) {
					second, err = f.SubmitTurn(ctx, TurnRequest{Tenant: ada, ConversationID: first.Execution.ConversationID, Message: "two"})
					return err
				},
				apply(firstRef, claimEvent), apply(firstRef, failureEvent(1)),
				func(ctx context.Context) (err error) { retry, err = f.Retry(ctx, firstRef(), nil, nil); return err },
			}, func(t *testing.T) {
				c, err := f.Conversation(t.Context(), ada, first.Execution.ConversationID)
				require.NoError(t, err)
				require.Equal(t, []string{second.Execution.ID, retry.Execution.ID}, c.Pending)
				var texts []string
				for _, m := range f.listMessages(t, first.Execution) {
					texts = append(texts, string(m.Role)+" "+m.Text)
				}
				require.Equal(t, []string{"user one", "assistant ", "user two", "user one"}, texts)
			}}
		},
		"deleted conversation": func() scenario {
			var turn execution.Change
			var deleted conversation.Conversation
			return scenario{[]func(context.Context) error{
				func(ctx context.Context) (err error) {
					turn, err = f.SubmitTurn(ctx, TurnRequest{Tenant: ada, Message: "one"})
					return err
				},
				func(ctx context.Context) (err error) {
					deleted, err = f.DeleteConversation(ctx, ada, turn.Execution.ConversationID)
					return err
				},
			}, func(t *testing.T) {
				require.Equal(t, []string{turn.Execution.ID}, deleted.Pending)
				require.Empty(t, f.listMessages(t, turn.Execution))
			}}
		},
		"batch": func() scenario {
			b := batch.Batch{ID: id.New(id.Batch), Tenant: ada, AgentID: a.ID}
			inputs := f.NewBatchInputWriter(b.Ref())
			key := idempotencyKey(id.New("k-"), "r")
			return scenario{[]func(context.Context) error{
				func(ctx context.Context) error {
					for inputs.Len() < maxChunkInputs+1 {
						if err := inputs.Add(ctx, batch.Input{Text: "x"}); err != nil {
							return err
						}
					}
					return inputs.Flush(ctx)
				},
				func(ctx context.Context) error { b.Total = inputs.Len(); return f.SubmitBatch(ctx, &b, key) },
				func(ctx context.Context) error { return f.dispatchAll(ctx, b.Ref()) },
				func(ctx context.Context) error {
					_, err := f.CancelBatch(ctx, b.Ref())
					return err
				},
			}, func(t *testing.T) {
				stored, _, err := f.Batch(t.Context(), b.Ref())
				require.NoError(t, err)
				require.Equal(t, maxChunkInputs+1, stored.NextInput)
				require.True(t, stored.CancelRequested)
				counts, _, err := f.BatchCounts(t.Context(), b.Ref())
				require.NoError(t, err)
				require.Equal(t, maxChunkInputs+1, counts[execution.Queued])
				require.Equal(t, b.ID, requireDuplicate(t, f.CheckIdempotencyKey(t.Context(), ada, key.Key)).Created.Batch.ID)
				require.Equal(t, 2, f.countDocuments(t, f.inputChunks(b.Ref()).Query))
				require.Zero(t, f.countDocuments(t, f.collection(ada, uploads).Query))
			}}
		},
		"webhook": func() scenario {
			var ch execution.Change
			r := run
			r.Webhook = "https://example.com"
			ref := func() execution.Ref { return ch.Execution.Ref() }
			delivery := func() webhook.Ref { return webhook.Ref{Tenant: ada, ID: webhook.DeliveryID(ch.Execution.ID)} }
			return scenario{[]func(context.Context) error{
				func(ctx context.Context) (err error) { ch, err = f.SubmitRun(ctx, r); return err },
				apply(ref, execution.CancelRequested{}),
				func(ctx context.Context) error {
					_, _, err := f.UpdateDelivery(ctx, delivery(), func(d *webhook.Delivery, now time.Time) error { return d.Claim(now) })
					if errors.Is(err, webhook.ErrNotDue) { // a repetition
						return nil
					}
					return err
				},
				func(ctx context.Context) error {
					_, _, err := f.UpdateDelivery(ctx, delivery(), func(d *webhook.Delivery, now time.Time) error {
						return d.RecordResult(1, webhook.AttemptResult{Status: 200}, now)
					})
					if errors.Is(err, webhook.ErrNotDue) { // a repetition
						return nil
					}
					return err
				},
			}, func(t *testing.T) {
				d, err := f.Delivery(t.Context(), delivery())
				require.NoError(t, err)
				require.Equal(t, webhook.Delivered, d.State)
				require.Equal(t, 1, d.Attempt)
			}}
		},
		"webhook secrets": func() scenario {
			var first, second webhook.Secrets
			tenant := id.New("tenant-")
			return scenario{[]func(context.Context) error{
				func(ctx context.Context) (err error) { first, err = f.WebhookSecrets(ctx, tenant); return err },
				func(ctx context.Context) (err error) { second, err = f.RotateWebhookSecret(ctx, tenant); return err },
			}, func(t *testing.T) {
				stored, err := f.WebhookSecrets(t.Context(), tenant)
				require.NoError(t, err)
				require.Equal(t, first.Current, stored.Previous, "rotated once")
				require.Equal(t, second.Current, stored.Current)
			}}
		},
		"API key": func() scenario {
			pepper := apikey.Pepper{}
			k, secret := apikey.New(pepper, ada, "k", nil)
			revoked, _ := apikey.New(pepper, ada, "revoked", nil)
			return scenario{[]func(context.Context) error{
				func(ctx context.Context) error { return f.CreateAPIKey(ctx, &k, time.Hour) },
				func(ctx context.Context) error { return f.CreateAPIKey(ctx, &revoked, time.Hour) },
				func(ctx context.Context) error { return f.RecordAPIKeyUse(ctx, k, k.CreatedAt) },
				func(ctx context.Context) error { return f.RevokeAPIKey(ctx, ada, revoked.ID) },
			}, func(t *testing.T) {
				found, _, err := f.APIKeyByHash(t.Context(), k.Hash)
				require.NoError(t, err)
				require.Equal(t, k.ID, found.ID)
				require.NotEmpty(t, secret)
				_, _, err = f.APIKeyByHash(t.Context(), revoked.Hash)
				require.ErrorIs(t, err, apikey.ErrNotFound)
			}}
		},
		"agent": func() scenario {
			one := agent.Agent{Tenant: ada, Name: "one"}
			edited := func(a agent.Agent) (agent.Agent, error) { a.Name = "edited"; return a, nil }
			return scenario{[]func(context.Context) error{
				func(ctx context.Context) error {
					return f.CreateAgent(ctx, &one, idempotencyKey(one.Name+id.New(""), "r"))
				},
				func(ctx context.Context) error { _, err := f.UpdateAgent(ctx, ada, one.ID, edited); return err },
				func(ctx context.Context) error { return f.DeleteAgent(ctx, ada, one.ID) },
			}, func(t *testing.T) {
				_, err := f.Agent(t.Context(), ada, one.ID)
				require.ErrorAs(t, err, new(*NotFoundError))
			}}
		},
	}
}

// dispatchAll dispatches a batch until every input has an execution.
func (f fixture) dispatchAll(ctx context.Context, ref batch.Ref) error {
	for {
		b, _, err := f.DispatchBatch(ctx, ref)
		if err != nil || b.NextInput == b.Total {
			return err
		}
	}
}

// The answer to each commit is lost in turn. Google's client sends the commit again. Every write succeeds, or its
// outcome is unknown and it succeeds when it is repeated. Nothing happens twice.
func TestLostAnswerOfEachCommit(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for name, newScenario := range scenarios(t, f) {
		t.Run(name, func(t *testing.T) {
			for n, commits := 1, 1; n <= commits; n++ {
				s := newScenario()
				made := f.replaceAnswer(n, codes.Unavailable)
				for i, step := range s.steps {
					err := step(t.Context())
					if errors.Is(err, ErrOutcomeUnknown) {
						require.ErrorIs(t, err, ErrUnavailable)
						err = step(t.Context())
					}
					require.NoError(t, err, "commit %d is lost: step %d", n, i+1)
				}
				s.check(t)
				commits = made()
			}
		})
	}
}

// The commit of a creation takes effect, but the client hears that it was aborted: the server was still busy with it
// when Google's client sent it again. The client runs the transaction again, which creates nothing twice.
func TestCreationTakesEffectAndIsAborted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.createAgent(t, ada)
	failed := f.submitTurn(t, "", "hello")
	f.mustApply(t, failed.Ref(), claimEvent)
	f.mustApply(t, failed.Ref(), failureEvent(1))
	b := batch.Batch{ID: id.New(id.Batch), Tenant: ada, AgentID: a.ID, Total: 1}
	inputs := f.NewBatchInputWriter(b.Ref())
	require.NoError(t, inputs.Add(t.Context(), batch.Input{Text: "x"}))
	require.NoError(t, inputs.Flush(t.Context()))
	for collection, creations := range map[string][]func(*IdempotencyKey) error{
		agents:  {func(key *IdempotencyKey) error { return f.CreateAgent(t.Context(), &agent.Agent{Tenant: ada}, key) }},
		batches: {func(key *IdempotencyKey) error { return f.SubmitBatch(t.Context(), &b, key) }},
		conversations: {func(key *IdempotencyKey) error {
			_, err := f.SubmitTurn(t.Context(), TurnRequest{Tenant: ada, Message: "x", IdempotencyKey: key})
			return err
		}},
		executions: {
			func(key *IdempotencyKey) error {
				_, err := f.SubmitRun(t.Context(), RunRequest{
					Tenant: ada, AgentID: a.ID, InputFiles: []execution.InputFile{{Path: "a"}}, IdempotencyKey: key,
				})
				return err
			},
			func(key *IdempotencyKey) error {
				_, err := f.SubmitTurn(t.Context(), TurnRequest{
					Tenant: ada, ConversationID: failed.ConversationID, Message: "x", IdempotencyKey: key,
				})
				return err
			},
			func(key *IdempotencyKey) error { _, err := f.Retry(t.Context(), failed.Ref(), key, nil); return err },
		},
	} {
		for i, create := range creations {
			for _, key := range []*IdempotencyKey{nil, idempotencyKey(id.New("k-"), "r")} {
				if key != nil && collection == batches {
					continue // the first creation has used the inputs
				}
				before := f.countDocuments(t, f.collection(ada, collection).Query)
				made := f.replaceAnswer(1, codes.Aborted)
				require.NoError(t, create(key), "%s %d", collection, i)
				require.Equal(t, 1, made())
				require.Equal(t, before+1, f.countDocuments(t, f.collection(ada, collection).Query), "%s %d", collection, i)
			}
		}
	}
}

// A caller that hangs up during a commit does not learn its outcome.
func TestHangUpDuringCommitIsUnknown(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.createAgent(t, ada)
	b := batch.Batch{ID: id.New(id.Batch), Tenant: ada, AgentID: a.ID, Total: 1}
	inputs := f.NewBatchInputWriter(b.Ref())
	require.NoError(t, inputs.Add(t.Context(), batch.Input{Text: "x"}))
	require.NoError(t, inputs.Flush(t.Context()))
	for name, write := range map[string]func(context.Context) error{
		"transaction":     func(ctx context.Context) error { return f.SubmitBatch(ctx, &b, idempotencyKey("k", "r")) },
		"single document": func(ctx context.Context) error { return f.CreateAPIKey(ctx, &apikey.Key{ID: "key_1", Tenant: ada}, 0) },
	} {
		err := write(f.hangUpDuringCommit(t))
		require.ErrorIs(t, err, ErrOutcomeUnknown, name)
		require.Equal(t, codes.Canceled, status.Code(err), name)
		require.NotErrorIs(t, err, ErrUnavailable, name)
	}
	_, _, err := f.Batch(t.Context(), b.Ref())
	require.NoError(t, err, "it was stored")
	require.Equal(t, 1, f.countDocuments(t, f.inputChunks(b.Ref()).Query))
}

// A refusal is certain: no commit was sent, or Firestore has answered it. An unavailable service is no refusal that a
// caller gives up at; a wrong write is.
func TestRefusedWrite(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.createAgent(t, ada)
	huge := strings.Repeat("x", 1<<20)

	for name, write := range map[string]func() error{
		"transaction": func() error { return f.CreateAgent(t.Context(), &agent.Agent{Tenant: ada, Instructions: huge}, nil) },
		"single document": func() error {
			_, err := f.SubmitRun(t.Context(), RunRequest{Tenant: ada, AgentID: a.ID, Input: huge})
			return err
		},
	} {
		err := write()
		require.Equal(t, codes.InvalidArgument, status.Code(err), name)
		require.NotErrorIs(t, err, ErrUnavailable, "%s: no repetition would help", name)
		require.NotErrorIs(t, err, ErrOutcomeUnknown, name)
	}

	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	require.NotErrorIs(t, f.CreateAgent(canceled, &agent.Agent{Tenant: ada}, nil), ErrOutcomeUnknown, "no commit was sent")
	f.firestore.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := f.CreateAgent(ctx, &agent.Agent{Tenant: ada}, nil)
	require.ErrorIs(t, err, ErrUnavailable)
	require.NotErrorIs(t, err, ErrOutcomeUnknown, "no commit was sent")
	f.firestore.Start()
	agents, err := f.Agents(t.Context(), ada, Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, agents, 1)
}

// Firestore ends a transaction that takes too long. A new one may succeed.
func TestTransactionThatTookTooLong(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.createAgent(t, ada)
	_, err := f.UpdateAgent(t.Context(), ada, a.ID, func(a agent.Agent) (agent.Agent, error) {
		f.clock.Advance(10 * time.Minute)
		a.Name = "late"
		return a, nil
	})
	require.ErrorIs(t, err, ErrUnavailable)
	stored, err := f.Agent(t.Context(), ada, a.ID)
	require.NoError(t, err)
	require.Equal(t, a.Name, stored.Name)
}
