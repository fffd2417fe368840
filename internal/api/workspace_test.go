package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// finishWith finishes a new execution of an agent, with an ending.
func (s server) finishWith(agentID string, ending execution.Ending) string {
	s.t.Helper()
	ref := execution.Ref{Tenant: defaultTenant, ID: s.runAgent(agentID).ExecutionId}
	s.apply(ref, execution.Claimed{Executor: "x"})
	ending.Status, ending.Result = execution.Succeeded, &execution.Result{Text: "done"}
	if ending.Workspace != nil {
		ending.Workspace.ExecutionID, ending.Workspace.Attempt = ref.ID, 1
	}
	s.apply(ref, execution.JobEnded{Attempt: 1, Ending: ending})
	return ref.ID
}

func TestWorkspace(t *testing.T) {
	t.Parallel()
	s, blobs, _ := startWithBlobs(t)
	agent := s.createAgent()
	running := s.runAgent(agent.Id).ExecutionId
	id := s.finishWith(agent.Id, execution.Ending{Workspace: &execution.Workspace{}})
	empty := s.finishWith(agent.Id, execution.Ending{Workspace: &execution.Workspace{}})
	lost := s.finishWith(agent.Id, execution.Ending{WorkspaceLost: execution.WorkspaceTooLarge})

	require.Zero(t, call[contract.Execution](s, "GET /executions/"+empty, http.StatusOK, "").Workspace)
	require.Equal(t, contract.Workspace{Lost: contract.WorkspaceTooLarge}, call[contract.Execution](s, "GET /executions/"+lost, http.StatusOK, "").Workspace)
	require.Equal(t, http.StatusNotFound, s.do(http.MethodGet, "/executions/"+lost+"/workspace", "").StatusCode)

	content, err := blobs.Put(t.Context(), blob.WorkspaceKey(defaultTenant, &execution.Workspace{ExecutionID: id, Attempt: 1}), strings.NewReader("a tar"))
	require.NoError(t, err)
	ref := execution.Ref{Tenant: defaultTenant, ID: s.runAgent(agent.Id).ExecutionId}
	s.apply(ref, execution.Claimed{Executor: "x"})
	s.apply(ref, execution.JobEnded{Attempt: 1, Ending: execution.Ending{
		Status: execution.Succeeded, Result: &execution.Result{Text: "done"},
		Workspace: &execution.Workspace{ExecutionID: id, Attempt: 1, Content: content},
	}})
	e := call[contract.Execution](s, "GET /executions/"+ref.ID, http.StatusOK, "")
	require.Equal(t, contract.Workspace{Size: 5, Url: "/executions/" + ref.ID + "/workspace"}, e.Workspace)
	got := s.do(http.MethodGet, e.Workspace.Url, "")
	require.Equal(t, "a tar", string(got.body))
	require.Equal(t, "application/zstd", got.Header.Get("Content-Type"))

	run := "POST /agents/" + agent.Id + "/run"
	from := func(id string) string { return `{"input":"x","workspace":{"from":"` + id + `"}}` }
	next := call[contract.AcceptedExecution](s, run, http.StatusAccepted, from(ref.ID))
	require.Equal(t, contract.Workspace{From: id}, call[contract.Execution](s, "GET /executions/"+next.ExecutionId, http.StatusOK, "").Workspace)
	require.Equal(t, contract.ProblemNoWorkspace, call[contract.Problem](s, run, http.StatusConflict, from(running)).Code)
	require.Equal(t, contract.ProblemNoWorkspace, call[contract.Problem](s, run, http.StatusConflict, from(lost)).Code)
	require.Equal(t, contract.ProblemNotFound, call[contract.Problem](s, run, http.StatusNotFound, from("exe_000000000000000000000000")).Code)
	require.Equal(t, contract.ProblemNotFound, call[contract.Problem](s, run, http.StatusNotFound, from("../x")).Code)
}
