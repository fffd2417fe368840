package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"

	"github.com/cenkalti/backoff/v5"
)

// Change is a change of one of the tenant's executions, or one of the two others.
type Change struct {
	ChangeEvent
	// Reload means that changes may be missing: read what you need again. The other fields are empty.
	Reload bool `json:"reload,omitempty"`
	// BudgetWarning says that the soft limit of a daily budget was reached. If it is set, the other fields are empty.
	BudgetWarning *BudgetWarningEvent `json:"budgetWarning,omitempty"`
}

// MarshalJSON writes only what is set: the members of a ChangeEvent, or one member reload or budgetWarning.
func (c Change) MarshalJSON() ([]byte, error) {
	switch {
	case c.Reload:
		return json.Marshal(map[string]bool{"reload": true})
	case c.BudgetWarning != nil:
		return json.Marshal(map[string]*BudgetWarningEvent{"budgetWarning": c.BudgetWarning})
	default:
		return json.Marshal(c.ChangeEvent)
	}
}

// Changes returns the changes of all executions of the tenant and the warnings about its daily budgets from now on,
// until ctx ends. After an interruption it continues with the next one.
func (c *Client) Changes(ctx context.Context) iter.Seq2[Change, error] {
	var lastID string
	return stream[Change]{
		request: func() request {
			r := request{method: http.MethodGet, path: "/events", header: http.Header{"Accept": {"text/event-stream"}}}
			if lastID != "" {
				r.header.Set("Last-Event-ID", lastID)
			}
			return r
		},
		decode: func(body io.Reader) func() (Change, error) {
			next := readServerEvents(body)
			return func() (ch Change, err error) {
				for {
					name, data, id, err := next()
					if err != nil {
						return ch, err
					}
					lastID = id
					switch name {
					case "reload":
						return Change{Reload: true}, nil
					case "change":
						if err := json.Unmarshal([]byte(data), &ch.ChangeEvent); err != nil {
							return ch, backoff.Permanent(fmt.Errorf("cannot read a change: %w", err))
						}
						return ch, nil
					case "budget_warning":
						if err := json.Unmarshal([]byte(data), &ch.BudgetWarning); err != nil {
							return ch, backoff.Permanent(fmt.Errorf("cannot read a budget warning: %w", err))
						}
						return ch, nil
					}
				}
			}
		},
		received: func(Change) {},
		complete: func() bool { return false },
	}.items(ctx, c)
}
