package streamjson

import (
	"bytes"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/airlock-run/airlock/internal/agentruntime/strictjson"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// ParseSteps calls onStep for each step that a line describes. It ignores a line that it cannot read, because the steps
// are only shown to people; Parse decides whether the output is valid.
func ParseSteps(line []byte, onStep func(execution.StepKind, string)) {
	var event struct {
		Type    string `json:"type"`
		Subtype string `json:"subtype"`
		Attempt int    `json:"attempt"`
		Message struct {
			Content []struct {
				Type string `json:"type"`
				Text string `json:"text"`
				Name string `json:"name"`
			} `json:"content"`
		} `json:"message"`
	}
	line = bytes.TrimSpace(line)
	if len(line) == 0 || line[0] != '{' || strictjson.Unmarshal(line, &event, allowLoneSurrogates, jsontext.AllowDuplicateNames(true)) != nil {
		return
	}
	switch {
	case event.Type == "system" && event.Subtype == "api_retry":
		onStep(execution.StepProgress, fmt.Sprintf("retries the model request (attempt %d)", event.Attempt))
	case event.Type == "assistant":
		for _, part := range event.Message.Content {
			switch part.Type {
			case "text":
				onStep(execution.StepOutput, part.Text)
			case "tool_use":
				onStep(execution.StepProgress, "uses "+part.Name)
			}
		}
	}
}
