package store

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// under makes the creations of a context happen once.
func under(ctx context.Context, owner, key, request string) context.Context {
	return WithAsked(ctx, &Asked{
		Owner: owner, Key: key, Request: func() []byte { return []byte(request) },
		Answer: func(made any) (Answer, error) {
			switch made := made.(type) {
			case execution.Change:
				return Answer{Status: 202, Location: made.Execution.ID, Body: []byte("body")}, nil
			case agent.Agent:
				return Answer{Status: 201, Location: made.ID}, nil
			default:
				return Answer{}, errors.New("not expected")
			}
		},
	})
}

func requireRepeated(t *testing.T, err error) Answered {
	t.Helper()
	var before *RepeatedError
	require.ErrorAs(t, err, &before)
	return before.Answered
}

func (f fixture) count(t *testing.T, owner string) int {
	t.Helper()
	found, err := f.Executions(t.Context(), owner, Filter{}, Page{Limit: 100})
	require.NoError(t, err)
	return len(found)
}

func TestACreationUnderAKeyTakesPlaceOnce(t *testing.T) {
	t.Parallel()
	f := start(t)
	run := Run{Owner: ada, AgentID: f.agent(t, ada).ID, Input: "x"}
	require.NoError(t, f.Answered(t.Context(), ada, "k"))
	ch, err := f.SubmitRun(under(t.Context(), ada, "k", "r"), run)
	require.NoError(t, err)

	want := Answer{Status: 202, Location: ch.Execution.ID, Body: []byte("body")}
	_, err = f.SubmitRun(under(t.Context(), ada, "k", "another"), run)
	before := requireRepeated(t, err)
	require.Equal(t, want, before.Answer)
	require.Equal(t, []byte("r"), before.Request, "whether it is the same is the caller's to say")
	require.Equal(t, want, requireRepeated(t, f.Answered(t.Context(), ada, "k")).Answer)
	require.Equal(t, 1, f.count(t, ada))

	_, err = f.SubmitRun(under(t.Context(), ada, "k2", "r"), run)
	require.NoError(t, err, "another key")
	require.NoError(t, f.Answered(t.Context(), bob, "k"), "another owner's is no matter")
}

func TestSimultaneousCreationsUnderAKeyMakeOne(t *testing.T) {
	t.Parallel()
	f := start(t)
	run := Run{Owner: ada, AgentID: f.agent(t, ada).ID, Input: "x"}
	var (
		all  sync.WaitGroup
		mu   sync.Mutex
		made []string
	)
	for range 20 {
		all.Go(func() {
			for {
				ch, err := f.SubmitRun(under(t.Context(), ada, "k", "r"), run)
				var before *RepeatedError
				switch {
				case errors.Is(err, ErrUnavailable): // too many at once
					continue
				case errors.As(err, &before):
					mu.Lock()
					made = append(made, before.Answer.Location)
					mu.Unlock()
				default:
					require.NoError(t, err)
					mu.Lock()
					made = append(made, ch.Execution.ID)
					mu.Unlock()
				}
				return
			}
		})
	}
	all.Wait()
	require.Len(t, made, 20)
	for _, id := range made {
		require.Equal(t, made[0], id)
	}
	require.Equal(t, 1, f.count(t, ada))
}

// The answer to the commit is lost; asked again, there is one execution.
func TestACreationWhoseAnswerGotLostIsFoundUnderItsKey(t *testing.T) {
	t.Parallel()
	var c commits
	f := startWith(t, &c)
	run := Run{Owner: ada, AgentID: f.agent(t, ada).ID, Input: "x"}
	c.lose.Store(1)
	_, err := f.SubmitRun(under(t.Context(), ada, "k", "r"), run)
	require.Error(t, err)
	_, err = f.SubmitRun(under(t.Context(), ada, "k", "r"), run)
	before := requireRepeated(t, err)
	all, err := f.Executions(t.Context(), ada, Filter{}, Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.Equal(t, all[0].ID, before.Answer.Location)
}

// What was refused was not asked for.
func TestARefusedCreationLeavesItsKeyFree(t *testing.T) {
	t.Parallel()
	f := start(t)
	_, err := f.SubmitRun(under(t.Context(), ada, "k", "r"), Run{Owner: ada, AgentID: "agt_none", Input: "x"})
	require.ErrorAs(t, err, new(*NotFoundError))
	require.NoError(t, f.Answered(t.Context(), ada, "k"))
}

func TestAKeyIsForgottenAfterADay(t *testing.T) {
	t.Parallel()
	f := start(t)
	a := agent.Agent{Owner: ada, Name: "A"}
	require.NoError(t, f.CreateAgent(under(t.Context(), ada, "k", "r"), &a))
	f.clock.Advance(answeredFor - time.Minute)
	requireRepeated(t, f.Answered(t.Context(), ada, "k"))
	f.clock.Advance(2 * time.Minute)
	require.NoError(t, f.Answered(t.Context(), ada, "k"))
	require.NoError(t, f.CreateAgent(under(t.Context(), ada, "k", "r"), &agent.Agent{Owner: ada, Name: "B"}))
	requireRepeated(t, f.Answered(t.Context(), ada, "k"))
}

// The cloud's Firestore is told what the emulators are told.
func TestTheCloudRemovesWhatExpires(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../infra/firestore.indexes.json")
	require.NoError(t, err)
	var doc struct {
		FieldOverrides []struct {
			CollectionGroup, FieldPath string
			TTL                        bool
		}
	}
	require.NoError(t, json.Unmarshal(data, &doc))
	ttl := map[string]string{}
	for _, o := range doc.FieldOverrides {
		if o.TTL {
			ttl[o.CollectionGroup] = o.FieldPath
		}
	}
	require.Equal(t, TTL(), ttl)
}
