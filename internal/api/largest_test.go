package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// The tests of this file set every limit of the API to its maximum at the same time, and store the largest end that an
// executor can write. The emulator has Firestore's limits: 1 MiB for a document and 10 MiB for a commit.

// text returns n bytes.
func text(n int) string { return strings.Repeat("x", n) }

func encode(t testing.TB, v any) string {
	t.Helper()
	encoded, err := json.Marshal(v)
	require.NoError(t, err)
	return string(encoded)
}

func (s server) createLargestAgent() contract.Agent {
	s.t.Helper()
	return call[contract.Agent](s, "POST /agents", http.StatusCreated, encode(s.t, contract.CreateAgent{
		Name: text(agent.MaxNameBytes), Description: text(agent.MaxDescriptionBytes),
		Instructions: text(agent.MaxInstructionsBytes), Model: text(agent.MaxNameBytes),
		Budget: contract.Budget{MaxTokens: 1 << 40, MaxCostUsd: 0.1}, Retry: contract.RetryPolicy{MaxAttempts: agent.MaxAttempts},
	}), headerIdempotencyKey, text(255))
}

// claim starts the next attempt, and returns the steps that it makes.
func (s server) claim(ref execution.Ref) (attempt int, steps []execution.Step) {
	s.t.Helper()
	claimed, err := s.store.Apply(s.t.Context(), ref, execution.Claimed{Executor: text(255), Session: text(64), ClaimID: text(32)})
	require.NoError(s.t, err)
	for i := range execution.MaxSteps {
		steps = append(steps, execution.NewStep(math.MaxInt32-i, execution.StepProgress, text(2*execution.MaxStepBytes)))
	}
	return claimed.Execution.Attempt, steps
}

// fillHistory makes as many attempts as the history holds, each with its largest entry.
func (s server) fillHistory(ref execution.Ref) {
	s.t.Helper()
	for range execution.MaxAttemptHistory {
		s.applyTo(ref, execution.StartFailed{
			Attempt: s.startAttempt(ref, text(255)), Reason: text(2 * execution.MaxAttemptDetailBytes), EngineSick: true,
			Usage: execution.Usage{InputTokens: 1, OutputTokens: 1, CostUSD: 0.1, Calls: 1, EstimatedCalls: 1, OOMKills: 1, ModelWait: time.Second},
		})
	}
}

// largestEnding has everything that the document of an execution stores of an attempt.
func largestEnding(steps []execution.Step) execution.Ending {
	files := make([]execution.File, 1000)
	for i := range files {
		name := fmt.Sprintf("%04d", i)
		files[i] = execution.File{
			Path:    name + text(execution.MaxFilePathsBytes/len(files)-len(name)),
			Content: execution.Content{Size: math.MaxInt64, SHA256: bytes.Repeat([]byte{0xff}, 32)},
		}
	}
	network := &execution.NetworkUse{}
	for i := range 20 {
		name := fmt.Sprintf("%02d%s", i, text(258))
		network.Hosts = append(network.Hosts, execution.HostUse{Host: name, Connections: math.MaxInt32, Sent: math.MaxInt64, Received: math.MaxInt64})
		network.Refused = append(network.Refused, name)
	}
	return execution.Ending{
		Network: network,
		Status:  execution.Succeeded, Steps: steps, Files: files, OmittedFileCount: math.MaxInt32,
		Result: &execution.Result{
			Text: text(execution.MaxResultBytes / 2), Output: `"` + text(execution.MaxResultBytes/2-2) + `"`,
		},
		Usage:   execution.Usage{InputTokens: 1 << 50, OutputTokens: 1 << 50, CostUSD: 0.1, Calls: 1 << 50},
		Receipt: `{"":"` + text(execution.MaxReceiptBytes-len(`{"":""}`)) + `"}`,
	}
}

// largestDraft is the largest draft that conversation.ParseBuilderAnswer accepts.
func largestDraft() *agent.Draft {
	return &agent.Draft{
		Name: text(agent.MaxNameBytes), Description: text(agent.MaxDescriptionBytes), Instructions: text(agent.MaxInstructionsBytes),
		Runtime: text(agent.MaxNameBytes), Model: text(agent.MaxNameBytes),
	}
}

// finish ends an execution with its largest success, after an attempt that ended with its largest failure.
func (s server) finish(ref execution.Ref, change func(*execution.Ending)) {
	s.t.Helper()
	attempt, steps := s.claim(ref)
	failed := largestEnding(steps)
	failed.Status, failed.Result = execution.Failed, nil
	failed.Failure = &execution.Failure{Code: execution.CodeAgentError, Message: text(4 << 10)}
	ch, err := s.store.Apply(s.t.Context(), ref, execution.JobEnded{Session: text(64), Attempt: attempt, Ending: failed})
	require.NoError(s.t, err)
	if ch.Execution.Status.Terminal() { // it has no retry policy
		return
	}
	attempt, steps = s.claim(ref)
	succeeded := largestEnding(steps)
	change(&succeeded)
	ch, err = s.store.Apply(s.t.Context(), ref, execution.JobEnded{Session: text(64), Attempt: attempt, Ending: succeeded})
	require.NoError(s.t, err)
	require.Equal(s.t, execution.Succeeded, ch.Execution.Status)
	require.False(s.t, ch.Execution.Result.Large(), "an executor stores it in the document")
	e := call[contract.Execution](s, "GET /executions/"+ref.ID, http.StatusOK, "")
	require.Len(s.t, e.Files, 1000)
	require.Equal(s.t, ch.Execution.Result.Text, e.Result.Text)
}

// largestInputFiles returns as many files as a run or message may have, with the longest paths. One of them is in the
// request, and as large as it may be; the others are uploaded.
func (s server) largestInputFiles() []contract.InputFile {
	s.t.Helper()
	content := text(execution.MaxInputFilesBytes - execution.MaxInputPathBytes)
	var files []contract.InputFile
	for i := range execution.MaxInputFiles {
		path := fmt.Sprintf("%04d", i) + strings.Repeat(text(250)+"/", 4)
		path += text(execution.MaxInputPathBytes - len(path))
		require.Len(s.t, path, execution.MaxInputPathBytes)
		f := contract.InputFile{Path: path, Content: &content}
		if i > 0 {
			f = contract.InputFile{Path: path, FileId: s.uploadFile("a", "x").Id}
		}
		files = append(files, f)
	}
	return files
}

func TestLargestRunFits(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	a := s.createLargestAgent()
	run := contract.RunAgent{
		Input: text(execution.MaxInputBytes), Webhook: "https://example.com/" + text(2048-len("https://example.com/")),
		Labels: map[string]string{},
	}
	for i := range 16 {
		name := fmt.Sprintf("%02d", i)
		run.Labels[name+text(63-len(name))] = strings.Repeat("🜁", 128) // the limit counts characters
	}
	run.Files = s.largestInputFiles()
	accepted := call[contract.AcceptedExecution](s, "POST /agents/"+a.Id+"/run", http.StatusAccepted, encode(t, run),
		headerIdempotencyKey, text(255)[1:]+"r", "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	ref := execution.Ref{Tenant: defaultTenant, ID: accepted.ExecutionId}
	s.fillHistory(ref)
	s.finish(ref, func(*execution.Ending) {})
	d := call[contract.DeliveryList](s, "GET /webhooks/deliveries", http.StatusOK, "")
	require.Len(t, d.Deliveries, 1)

	failed := call[contract.AcceptedExecution](s, "POST /agents/"+a.Id+"/run", http.StatusAccepted, encode(t, run))
	call[contract.Execution](s, "POST /executions/"+failed.ExecutionId+"/cancel", http.StatusAccepted, "")
	retry := call[contract.AcceptedExecution](s, "POST /executions/"+failed.ExecutionId+"/retry", http.StatusAccepted, "", headerIdempotencyKey, "retry")
	s.finish(execution.Ref{Tenant: defaultTenant, ID: retry.ExecutionId}, func(*execution.Ending) {})
}

func TestLargestConversationFits(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	for _, agentID := range []string{s.createLargestAgent().Id, ""} {
		send := contract.SendMessage{AgentId: agentID, Message: text(execution.MaxInputBytes), Files: s.largestInputFiles()}
		var turns []contract.AcceptedExecution
		for range conversation.MaxPending {
			accepted := call[contract.AcceptedExecution](s, "POST /api/conversation", http.StatusAccepted, encode(t, send))
			turns = append(turns, accepted)
			send.ConversationId = accepted.ConversationId
		}
		for _, turn := range turns[:2] {
			s.finish(execution.Ref{Tenant: defaultTenant, ID: turn.ExecutionId}, func(e *execution.Ending) {
				if agentID == "" { // only the agent builder, whose instructions are short, makes drafts
					e.Result.AgentDraft = largestDraft()
				}
				e.NewSession = &execution.AgentSession{
					ExecutionID: turn.ExecutionId, Runtime: text(agent.MaxNameBytes), Model: text(agent.MaxNameBytes),
					Content: execution.Content{SHA256: bytes.Repeat([]byte{0xff}, 32)},
				}
			})
		}
		c, err := s.store.Conversation(t.Context(), defaultTenant, send.ConversationId)
		require.NoError(t, err)
		require.Len(t, c.Pending, conversation.MaxPending-2)
	}
}

// Inputs of the largest size, and a full chunk of inputs, with the largest instructions.
func TestLargestBatchFits(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	a := s.createLargestAgent()
	for _, c := range []struct{ inputs, size int }{{5, execution.MaxInputBytes}, {300, 2 << 10}, {300, 1}} {
		lines := strings.Repeat(encode(t, text(c.size))+"\n", c.inputs)
		b := call[contract.Batch](s, "POST /agents/"+a.Id+"/batches?webhook=https://example.com/", http.StatusAccepted, lines,
			"Content-Type", mediaTypeJSONLines, headerIdempotencyKey, fmt.Sprintf("batch-%d", c.size))
		dispatched := batch.Batch{Total: c.inputs}
		for dispatched.NextInput < dispatched.Total {
			var created []execution.Ref
			var err error
			dispatched, created, err = s.store.DispatchBatch(t.Context(), batchRef(b.Id))
			require.NoError(t, err)
			require.NotEmpty(t, created)
		}
		s.finish(execution.Ref{Tenant: defaultTenant, ID: dispatched.ExecutionID(0)}, func(*execution.Ending) {})
	}
}
