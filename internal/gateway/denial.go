package gateway

import (
	"encoding/json"
	"net/http"
)

// denialError is an error response of the gateway itself. It has the shape of the Messages API's errors, so that the
// agent understands it.
type denialError struct {
	status  int
	kind    string // the error type of the Messages API
	message string // for people; tells the sandbox nothing about the operator
	retry   bool   // another request may succeed
}

func (d denialError) Error() string { return d.message }

func forbidden(message string) denialError {
	return denialError{http.StatusForbidden, "permission_error", message, false}
}

func invalidRequest(message string) denialError {
	return denialError{http.StatusBadRequest, "invalid_request_error", message, false}
}

func rateLimited(message string) denialError {
	return denialError{http.StatusTooManyRequests, "rate_limit_error", message, true}
}

func badGateway(message string) denialError {
	return denialError{http.StatusBadGateway, "api_error", message, true}
}

func gatewayTimeout(message string) denialError {
	return denialError{http.StatusGatewayTimeout, "timeout_error", message, true}
}

func (d denialError) body() []byte {
	type inner struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	}
	body, err := json.Marshal(struct {
		Type  string `json:"type"`
		Error inner  `json:"error"`
	}{"error", inner{d.kind, "airlock gateway: " + d.message}})
	if err != nil {
		return nil // not possible: strings can always be marshaled
	}
	return body
}

func (d denialError) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	if !d.retry {
		w.Header().Set("X-Should-Retry", "false") // the CLI's SDK obeys this header
	}
	w.WriteHeader(d.status)
	_, _ = w.Write(d.body()) // the sandbox may have disconnected
}
