package gateway

import (
	"encoding/json"
	"net/http"
)

// denial is an answer of the gateway itself. It has the shape of the Messages
// API's errors, so that an agent understands it as one.
type denial struct {
	status  int
	kind    string // the API's name for the sort of error
	message string // for people; tells the sandbox nothing about the operator
	retry   bool   // whether asking again can help
}

func (d denial) Error() string { return d.message }

// Shorthands for the sorts of errors that the gateway gives.
func forbidden(message string) denial {
	return denial{http.StatusForbidden, "permission_error", message, false}
}

func invalid(message string) denial {
	return denial{http.StatusBadRequest, "invalid_request_error", message, false}
}

func busy(message string) denial {
	return denial{http.StatusTooManyRequests, "rate_limit_error", message, true}
}

func unreachable(message string) denial {
	return denial{http.StatusBadGateway, "api_error", message, true}
}

func tooSlow(message string) denial {
	return denial{http.StatusGatewayTimeout, "timeout_error", message, true}
}

func (d denial) body() []byte {
	type inner struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	}
	body, err := json.Marshal(struct {
		Type  string `json:"type"`
		Error inner  `json:"error"`
	}{"error", inner{d.kind, "airlock gateway: " + d.message}})
	if err != nil {
		return nil // strings always marshal
	}
	return body
}

func (d denial) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	if !d.retry {
		w.Header().Set("X-Should-Retry", "false") // the CLI's SDK heeds it
	}
	w.WriteHeader(d.status)
	_, _ = w.Write(d.body()) // the sandbox may be gone
}
