package executorservice

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/airlock-run/airlock/internal/executor"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// The values of Readiness.Status.
const (
	Ready    = "ready" // the executor pulls executions
	NotReady = "not_ready"
)

// Readiness is the answer of an executor's /readyz.
type Readiness struct {
	Status string    `json:"status"`
	Since  time.Time `json:"since"`
	// Reason says why the executor does not pull, for operators.
	Reason string `json:"reason,omitempty"`
	// UnavailableRuntimes are the runtimes whose image or program could not be started, each with the reason. The
	// executor leaves their jobs to others, and is ready all the same.
	UnavailableRuntimes map[string]string `json:"unavailableRuntimes,omitempty"`
	// AgentsWaiting are the agents that have been started and wait for a job. JobStarts are the jobs since the process
	// began, by what was already running when they came: "ahead" (an agent), "warm" (a container), "cold".
	AgentsWaiting sandbox.WaitingAgents `json:"agentsWaiting"`
	JobStarts     map[string]int        `json:"jobStarts,omitempty"`
}

// healthHandler serves /healthz, which is 200 while the process works, and /readyz, which is 200 while it pulls
// executions and otherwise 503. An executor that is not ready recovers by itself: it need not be restarted.
func healthHandler(health func() executor.Health, waiting func() sandbox.WaitingAgents) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		h := health()
		readiness := Readiness{Status: Ready, Since: h.Since.UTC(), UnavailableRuntimes: h.UnavailableRuntimes, AgentsWaiting: waiting(), JobStarts: h.JobStarts}
		status := http.StatusOK
		if !h.Pulling {
			readiness.Status, readiness.Reason, status = NotReady, h.Reason, http.StatusServiceUnavailable
		}
		writeJSON(w, status, readiness)
	})
	return mux
}

// withQueue returns a health that also knows why pulls fail until an operator acts.
func withQueue(health func() executor.Health, pullError func() error) func() executor.Health {
	return func() executor.Health {
		h := health()
		if err := pullError(); err != nil && h.Pulling {
			h.Pulling, h.Reason = false, err.Error()
		}
		return h
	}
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a caller that is gone needs no answer
}

// askTimeout bounds AskReadiness.
const askTimeout = 5 * time.Second

// AskReadiness asks the executor whose AIRLOCK_HEALTH_LISTEN_ADDR is addr.
func AskReadiness(ctx context.Context, addr string) (r Readiness, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", nil)
	if err != nil {
		return r, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return r, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
		return r, fmt.Errorf("%s is not an executor's health address: %w", addr, err)
	}
	return r, nil
}
