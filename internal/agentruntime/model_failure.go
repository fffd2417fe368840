package agentruntime

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/gateway"
)

// modelFailure says why the model did not answer. The status that the gateway recorded has priority over what the agent
// reports: after a 529, for example, the CLI reports no status.
func (r *Run) modelFailure(reportedStatus int, agentMessage string) *execution.Failure {
	s := r.Egress()
	if s.LastDenial != "" {
		return newFailure(execution.CodeModelError, "the gateway denied the agent's request: %s", s.LastDenial)
	}
	status := s.LastStatus
	if status == 0 {
		status = reportedStatus
	}
	message := modelStatusMessage(status)
	if status == http.StatusBadRequest && agentMessage != "" {
		message += ": " + excerpt(agentMessage) // only the provider's message says what is wrong with the request
	}
	if s.Waited > 0 && gateway.IsTemporary(status) {
		message += "; Airlock waited for it for " + roundUp(s.Waited).String()
	}
	return newFailure(execution.CodeModelError, "%s", message)
}

// waitMessage says that a job waits for its model. The status is that of the provider's answer; 0: there was none.
func waitMessage(status int, delay time.Duration) string {
	problem := "the model is busy (status " + strconv.Itoa(status) + ")"
	switch {
	case status == 0:
		problem = "the model cannot be reached"
	case status != http.StatusTooManyRequests && status != gateway.StatusOverloaded:
		problem = "the model's provider failed (status " + strconv.Itoa(status) + ")"
	}
	return fmt.Sprintf("%s, next try in %d s", problem, int(roundUp(delay).Seconds()))
}

// roundUp returns whole seconds.
func roundUp(d time.Duration) time.Duration { return (d + time.Second - 1).Truncate(time.Second) }

// modelStatusMessage explains a status of the model's API to the tenant.
func modelStatusMessage(status int) string {
	switch status {
	case 0:
		return "the model could not be reached, or its response broke off"
	case http.StatusUnauthorized, http.StatusForbidden:
		return "the model's provider rejects the operator's API key (status " + strconv.Itoa(status) + ")"
	case http.StatusNotFound:
		return "the model's provider does not know the model (status 404)"
	case http.StatusRequestEntityTooLarge:
		return "the request is too large for the model (status 413)"
	case http.StatusTooManyRequests:
		return "the model's provider limits the rate of requests (status 429); try again later"
	case http.StatusGatewayTimeout:
		return "the model did not answer in time (status 504)"
	case gateway.StatusOverloaded:
		return "the model's provider is overloaded (status 529); try again later"
	default:
		if status >= http.StatusInternalServerError {
			return "the model's provider failed (status " + strconv.Itoa(status) + "); try again later"
		}
		return "the model rejected the request (status " + strconv.Itoa(status) + ")"
	}
}
