package api

import (
	"fmt"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/netguard"
	"github.com/airlock-run/airlock/internal/store"
)

// Checks of fields that the schemas of the contract cannot express.

// checkPrompt rejects a text that is not valid as a prompt or that a rule of the operator denies.
func (s *Server) checkPrompt(field, text string) error {
	if err := checkText(field, text); err != nil {
		return err
	}
	return s.checkRules(field, text)
}

// checkRules rejects a text that a rule of the operator denies.
func (s *Server) checkRules(field, text string) error {
	if rule := s.config.PromptRules.FirstMatch(text); rule != "" {
		return &promptDeniedError{field: field, rule: rule}
	}
	return nil
}

// checkText rejects a text that no agent can receive.
func checkText(field, text string) error {
	fields := textField{name: field, required: true}.check(text)
	if len(text) > execution.MaxInputBytes && len(fields) == 0 {
		return &contentTooLargeError{
			detail: fmt.Sprintf("%s has %d bytes; at most %d are accepted. Split it into several requests.", field, len(text), execution.MaxInputBytes),
			fields: []contract.FieldError{fieldError(field, fmt.Sprintf("must have at most %d bytes", execution.MaxInputBytes))},
		}
	}
	return invalidFields(fields)
}

// textField is a field that holds text in UTF-8.
type textField struct {
	name     string
	maxBytes int // 0: no limit here
	required bool
}

// check returns what is wrong with the text.
func (f textField) check(text string) []contract.FieldError {
	switch {
	case f.required && strings.TrimSpace(text) == "":
		return []contract.FieldError{fieldError(f.name, "must contain text")}
	case f.maxBytes > 0 && len(text) > f.maxBytes:
		return []contract.FieldError{fieldError(f.name, fmt.Sprintf("has %d bytes; at most %d are accepted", len(text), f.maxBytes))}
	case strings.ContainsRune(text, 0):
		return []contract.FieldError{fieldError(f.name, "must not contain a NUL character")}
	default:
		return nil
	}
}

// durationField is a field that holds a duration such as 90s.
type durationField struct {
	name             string
	minimum, maximum time.Duration
}

var (
	timeoutField      = durationField{"timeout", execution.MinTimeout, execution.MaxTimeout}
	queueTimeoutField = durationField{"queueTimeout", execution.MinQueueTimeout, execution.MaxQueueTimeout}

	transcriptRetentionField = durationField{"transcriptRetention", 0, execution.MaxTranscriptRetention}
)

// parse returns the fallback if there is no text, and what is wrong with the text.
func (f durationField) parse(text string, fallback time.Duration) (time.Duration, []contract.FieldError) {
	if text == "" {
		return fallback, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < f.minimum || d > f.maximum {
		return 0, []contract.FieldError{fieldError(f.name, fmt.Sprintf("must be a duration from %s to %s, such as 90s", f.minimum, f.maximum))}
	}
	return d, nil
}

// parseOptional returns nil if there is no text, and what is wrong with the text.
func (f durationField) parseOptional(text string) (*time.Duration, []contract.FieldError) {
	if text == "" {
		return nil, nil
	}
	d, errs := f.parse(text, 0)
	return &d, errs
}

// checkWebhook rejects a URL that no webhook dispatcher would send to.
func (s *Server) checkWebhook(rawURL string) error {
	if rawURL == "" {
		return nil
	}
	if err := netguard.CheckURL(rawURL, s.config.WebhookGuard); err != nil {
		return invalidField("webhook", err.Error())
	}
	return nil
}

// resourceNames are the names that people use for the resources, by the prefixes of their IDs.
var resourceNames = map[string]string{
	id.Agent: "agent", id.APIKey: "key", id.Batch: "batch", id.Conversation: "conversation", id.Delivery: "delivery", id.Environment: "environment", id.File: "file", id.Execution: "execution",
}

// checkID returns a NotFoundError for a text that cannot be the ID of a resource, without a read of the store. The
// error is the same as the store's for a missing resource.
func checkID(prefix, value string) error {
	if !id.Valid(prefix, value) {
		return &store.NotFoundError{Resource: resourceNames[prefix], ID: value}
	}
	return nil
}

// checkFilterID rejects a filter of a list that cannot be an ID.
func checkFilterID(field, prefix, value string) error {
	if value != "" && !id.Valid(prefix, value) {
		return invalidField(field, "must be an ID such as "+prefix+"…")
	}
	return nil
}
