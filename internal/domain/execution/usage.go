package execution

import (
	"cmp"
	"time"
)

// Usage is what the model provider counted, as the gateway read it from the provider's answers, and what the kernel
// counted. The usage of an execution is the sum over its attempts. An attempt that lost its lease is missing from it.
type Usage struct {
	InputTokens  int64   `firestore:"inputTokens"`
	OutputTokens int64   `firestore:"outputTokens"`
	CostUSD      float64 `firestore:"costUsd"`
	Calls        int64   `firestore:"calls"`
	// EstimatedCalls are those that ended before the provider had counted their tokens.
	EstimatedCalls int64 `firestore:"estimatedCalls,omitempty"`
	OOMKills       int64 `firestore:"oomKills,omitempty"` // processes that the kernel killed to free memory
	// ModelWait is how long jobs waited for a provider that was overloaded or not reached. It is not part of their time.
	ModelWait time.Duration `firestore:"modelWait,omitempty"`
	// Model is the one that the job was told to use; of several attempts, that of the newest with a known usage. Empty:
	// there was none.
	Model string `firestore:"model,omitempty"`
}

func (u Usage) add(o Usage) Usage {
	return Usage{
		InputTokens: u.InputTokens + o.InputTokens, OutputTokens: u.OutputTokens + o.OutputTokens,
		CostUSD: u.CostUSD + o.CostUSD, Calls: u.Calls + o.Calls, EstimatedCalls: u.EstimatedCalls + o.EstimatedCalls,
		OOMKills: u.OOMKills + o.OOMKills, ModelWait: u.ModelWait + o.ModelWait, Model: cmp.Or(o.Model, u.Model),
	}
}
