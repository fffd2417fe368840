package api

import (
	"encoding/hex"
	"encoding/json"
	"net/url"
	"time"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/file"
	"github.com/airlock-run/airlock/internal/store"
)

// The functions of this file convert the domain's types into the contract's.

func viewExecution(e execution.Execution) contract.Execution {
	v := contract.Execution{
		Id: e.ID, Kind: contract.Kind(e.Kind), Status: contract.Status(e.Status),
		AgentId: e.AgentID, AgentVersion: e.AgentVersion, ConversationId: e.ConversationID, BatchId: e.BatchID, RetryOf: e.RetryOf,
		Environment: viewEnvironmentRef(e.Task.Environment), Runtime: e.Task.Runtime, Model: e.Task.Model, Input: e.Task.Input, Timeout: e.Timeout.String(), StartDeadline: e.StartDeadline(),
		Labels: viewLabels(e.Labels), Attempt: e.Attempt, CancelRequested: e.CancelRequested,
		Error: viewFailure(e.Failure), Usage: viewUsage(e.Usage),
		CreatedAt: e.CreatedAt, StartedAt: orZero(e.StartedAt), FinishedAt: orZero(e.FinishedAt),
		TranscriptExpiresAt: orZero(e.TranscriptExpiresAt), TranscriptDeletedAt: orZero(e.TranscriptDeletedAt),
		Urls: viewURLs(e),
	}
	if e.Receipt != "" {
		v.Receipt = json.RawMessage(e.Receipt)
	}
	if e.Network != nil {
		v.Network = viewNetworkUse(e.Network)
	}
	if e.Result != nil {
		v.Result = viewResult(e)
	}
	if f := e.StartFailures; f != nil {
		v.StartFailures = contract.StartFailures{Count: f.Count, LastReason: f.LastReason}
	}
	v.PartialText = e.PartialText
	v.Workspace = viewWorkspace(&e)
	v.InputFiles = viewAll(e.Task.InputFileList, viewInputFile)
	v.Files, v.OmittedFileCount = viewOutputFiles(e), e.OmittedFileCount
	return v
}

func viewWorkspace(e *execution.Execution) contract.Workspace {
	v := contract.Workspace{Lost: contract.WorkspaceLost(e.WorkspaceLost)}
	if from := e.Task.Workspace; from != nil {
		v.From = from.ExecutionID
	}
	if w := e.Workspace; !w.Empty() {
		v.Size, v.Url = w.Content.Size, viewURLs(*e).Self+"/workspace"
	}
	return v
}

func viewUsage(u execution.Usage) contract.Usage {
	v := contract.Usage{
		InputTokens: u.InputTokens, OutputTokens: u.OutputTokens, CostUsd: u.CostUSD, Calls: u.Calls,
		EstimatedCalls: u.EstimatedCalls, OomKills: u.OOMKills,
	}
	if wait := u.ModelWait.Round(time.Millisecond); wait > 0 {
		v.ModelWait = wait.String()
	}
	return v
}

func viewResult(e execution.Execution) contract.Result {
	r := e.Result
	v := contract.Result{Text: r.Text, AgentDraft: viewDraft(r.AgentDraft)}
	if r.Output != "" {
		v.Output = json.RawMessage(r.Output)
	}
	if r.Complete != nil {
		v.Truncated, v.Size, v.Url = true, r.Complete.Size, viewURLs(e).Result
	}
	return v
}

func viewOutputFiles(e execution.Execution) []contract.OutputFile {
	return viewAll(e.Files, func(f execution.File) contract.OutputFile {
		return contract.OutputFile{
			Path: f.Path, Size: f.Content.Size, Sha256: hex.EncodeToString(f.Content.SHA256),
			Url: "/executions/" + e.ID + "/files/" + escapePath(f.Path),
		}
	})
}

func viewInputFile(f execution.File) contract.InputFileInfo {
	return contract.InputFileInfo{Path: f.Path, Size: f.Content.Size, Sha256: hex.EncodeToString(f.Content.SHA256), FileId: f.FileID}
}

func viewFile(f file.File) contract.File {
	return contract.File{
		Id: f.ID, Name: f.Name, Size: f.Content.Size, Sha256: hex.EncodeToString(f.Content.SHA256), ContentType: f.ContentType,
		CreatedAt: f.CreatedAt, ExpiresAt: orZero(f.ExpiresAt),
	}
}

// escapePath escapes a path, but not its slashes.
func escapePath(filePath string) string { return (&url.URL{Path: filePath}).EscapedPath() }

// viewListedExecution leaves out what would make lists long.
func viewListedExecution(e execution.Execution) contract.Execution {
	e.Receipt, e.PartialText, e.Files, e.Task.InputFileList = "", "", nil, nil
	v := viewExecution(e)
	v.Workspace = contract.Workspace{}
	return v
}

func viewLabels(labels []execution.Label) contract.Labels {
	if len(labels) == 0 {
		return nil
	}
	byName := contract.Labels{}
	for _, label := range labels {
		name, value := label.Cut()
		byName[name] = value
	}
	return byName
}

func viewURLs(e execution.Execution) contract.ExecutionURLs {
	self := "/executions/" + e.ID
	urls := contract.ExecutionURLs{
		Self: self, Cancel: self + "/cancel", Events: self + "/events", Retry: self + "/retry",
		Delivery: deliveryURL(e.Webhook, e.ID, e.Status.Terminal()),
	}
	if e.ConversationID != "" {
		urls.Conversation = "/api/conversation/" + e.ConversationID
	}
	if e.Result != nil {
		urls.Result = self + "/result"
	}
	return urls
}

func viewAccepted(created store.CreatedExecution) contract.AcceptedExecution {
	e := execution.Execution{ID: created.ID, ConversationID: created.ConversationID, Status: execution.Queued}
	return contract.AcceptedExecution{
		ExecutionId: e.ID, ConversationId: e.ConversationID, Status: contract.Status(e.Status), Urls: viewURLs(e),
	}
}

func viewFailure(f *execution.Failure) contract.Failure {
	if f == nil {
		return contract.Failure{}
	}
	return contract.Failure{Code: contract.FailureCode(f.Code), Message: f.Message}
}

func viewDraft(d *agent.Draft) contract.AgentDraft {
	if d == nil {
		return contract.AgentDraft{}
	}
	return contract.AgentDraft{
		Name: d.Name, Description: d.Description, Instructions: d.Instructions, Runtime: d.Runtime, Model: d.Model,
	}
}

func (s *Server) viewAgent(a agent.Agent) contract.Agent {
	v := contract.Agent{
		Id: a.ID, Version: max(a.Version, 1), HasSettings: a.HasSettings, Name: a.Name, Description: a.Description, Instructions: a.Instructions,
		Runtime: a.Runtime, Model: a.Model, Timeout: a.Timeout.String(), Conversations: s.converses(a.Runtime),
		Budget:        contract.Budget{MaxTokens: a.Budget.MaxTokens, MaxCostUsd: a.Budget.MaxCostUSD},
		DailyBudget:   contract.DailyBudget{Usd: a.DailyBudget.USD, SoftUsd: a.DailyBudget.SoftUSD},
		Retry:         contract.RetryPolicy{MaxAttempts: a.RetryPolicy.MaxAttempts},
		EnvironmentId: a.EnvironmentID, CreatedAt: a.CreatedAt, UpdatedAt: a.UpdatedAt, TranscriptRetention: viewOptionalDuration(a.TranscriptRetention),
	}
	addSettings(&v, a.Settings)
	return v
}

func viewConversation(c conversation.Conversation) contract.Conversation {
	return contract.Conversation{
		Id: c.ID, AgentId: c.AgentID, Title: c.Title, Turns: c.Turns, CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt,
	}
}

func viewMessage(m conversation.Message) contract.Message {
	return contract.Message{
		Turn: m.Turn, Role: contract.MessageRole(m.Role), Text: m.Text, Files: viewAll(m.Files, viewInputFile), Truncated: m.Truncated, AgentDraft: viewDraft(m.AgentDraft),
		Error: viewFailure(m.Failure), ExecutionId: m.ExecutionID, CreatedAt: m.CreatedAt,
	}
}

func viewAll[T, V any](items []T, view func(T) V) []V {
	viewed := make([]V, len(items))
	for i, item := range items {
		viewed[i] = view(item)
	}
	return viewed
}

// viewOptionalDuration returns an empty text for nil.
func viewOptionalDuration(d *time.Duration) string {
	if d == nil {
		return ""
	}
	return d.String()
}

func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

func viewNetworkUse(n *execution.NetworkUse) contract.NetworkUse {
	v := contract.NetworkUse{Hosts: []contract.HostUse{}, Refused: append([]string{}, n.Refused...)}
	for _, h := range n.Hosts {
		v.Hosts = append(v.Hosts, contract.HostUse{Host: h.Host, Connections: h.Connections, SentBytes: h.Sent, ReceivedBytes: h.Received})
	}
	return v
}
