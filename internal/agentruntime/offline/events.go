package offline

import (
	"encoding/json"
	"io"
	"time"

	"github.com/google/uuid"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// reply is the agent's answer.
type reply struct {
	text       string
	structured *builderAnswer
	isError    bool
}

// eventWriter prints the events of one job. It ignores write errors: the reader notices that the result is missing.
type eventWriter struct {
	enc     *json.Encoder
	opts    options
	started time.Time
}

func newEventWriter(w io.Writer, opts options) *eventWriter {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return &eventWriter{enc: enc, opts: opts, started: time.Now()}
}

func (w *eventWriter) writeInit() {
	_ = w.enc.Encode(map[string]any{
		"type": "system", "subtype": "init", "cwd": sandbox.WorkspaceDir, "session_id": w.opts.session,
		"tools": []string{}, "model": w.opts.model, "permissionMode": "bypassPermissions",
	})
}

func (w *eventWriter) writeResult(a reply) {
	_ = w.enc.Encode(map[string]any{
		"type": "assistant", "session_id": w.opts.session,
		"message": map[string]any{
			"type": "message", "role": "assistant", "model": w.opts.model,
			"content": []map[string]string{{"type": "text", "text": a.text}},
		},
	})
	result := map[string]any{
		"type": "result", "subtype": "success", "is_error": a.isError, "num_turns": 1,
		"duration_ms": time.Since(w.started).Milliseconds(), "result": a.text, "stop_reason": "end_turn",
		"session_id": w.opts.session, "total_cost_usd": 0,
		"usage": map[string]int{"input_tokens": 0, "output_tokens": 0}, "uuid": uuid.New(),
	}
	if a.structured != nil {
		result["structured_output"] = a.structured
	}
	_ = w.enc.Encode(result)
}
