package store

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

func TestFiltersCombine(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.createAgent(t, ada)
	submit := func(labels map[string]string) execution.Execution {
		ch, err := f.SubmitRun(t.Context(), RunRequest{Tenant: ada, AgentID: a.ID, Input: "x", Labels: execution.Labels(labels)})
		require.NoError(t, err)
		return ch.Execution
	}
	prod := submit(map[string]string{"env": "prod", "team": "a=b"})
	test := submit(map[string]string{"env": "test"})
	plain := submit(nil)
	turn := f.submitTurn(t, "", "hello")
	f.mustApply(t, test.Ref(), execution.CancelRequested{})
	for name, tc := range map[string]struct {
		filter Filter
		want   []execution.Execution
	}{
		"no filter":            {Filter{}, []execution.Execution{turn, plain, test, prod}},
		"a status":             {Filter{Status: execution.Canceled}, []execution.Execution{test}},
		"a kind":               {Filter{Kind: execution.KindConversation}, []execution.Execution{turn}},
		"an agent":             {Filter{AgentID: a.ID}, []execution.Execution{plain, test, prod}},
		"a conversation":       {Filter{ConversationID: turn.ConversationID}, []execution.Execution{turn}},
		"a label":              {Filter{Label: "env=prod"}, []execution.Execution{prod}},
		"a value with =":       {Filter{Label: "team=a=b"}, []execution.Execution{prod}},
		"half a label":         {Filter{Label: "env="}, nil},
		"several":              {Filter{AgentID: a.ID, Status: execution.Queued, Kind: execution.KindRun}, []execution.Execution{plain, prod}},
		"several, a label":     {Filter{AgentID: a.ID, Status: execution.Queued, Label: "env=prod"}, []execution.Execution{prod}},
		"no match":             {Filter{Status: execution.Canceled, Label: "env=prod"}, nil},
		"other tenant's agent": {Filter{AgentID: f.createAgent(t, bob).ID}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := f.Executions(t.Context(), ada, tc.filter, Page{Limit: 10})
			require.NoError(t, err)
			var want, got []string
			for _, e := range tc.want {
				want = append(want, e.ID)
			}
			for _, e := range found {
				got = append(got, e.ID)
			}
			require.Equal(t, want, got)
		})
	}
}

// Google's Firestore needs an index for each filter. The emulator does not.
func TestEveryFilterHasIndex(t *testing.T) {
	data, err := os.ReadFile("../../infra/firestore.indexes.json")
	require.NoError(t, err)
	var file struct {
		Indexes []struct {
			CollectionGroup string
			Fields          []struct{ FieldPath, Order, ArrayConfig string }
		}
	}
	require.NoError(t, json.Unmarshal(data, &file))
	indexed := map[string]bool{}
	for _, index := range file.Indexes {
		if f := index.Fields; index.CollectionGroup == executions && len(f) == 2 && f[1].FieldPath == "createdAt" && f[1].Order == "DESCENDING" {
			indexed[f[0].FieldPath+f[0].ArrayConfig] = true
		}
	}
	require.Equal(t, map[string]bool{
		"status": true, "kind": true, "agentId": true, "conversationId": true, "batchId": true, "labelsCONTAINS": true,
	}, indexed)
}
