package modelstub

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
)

// pieceSize is how much text one event of a stream carries.
const chunkSize = 4096

func (a Response) write(w http.ResponseWriter, r *http.Request, request Request, closed <-chan struct{}) {
	switch {
	case a.handler != nil:
		a.handler(w, r, closed)
	case request.Stream:
		a.writeStream(w, r, request, closed)
	default:
		a.writeJSON(w, request)
	}
}

func (a Response) message(request Request) map[string]any {
	model := a.Model
	if model == "" {
		model = request.Model
	}
	return map[string]any{
		"id": fmt.Sprintf("msg_%d", request.Number), "type": "message", "role": "assistant", "model": model,
		"content": []block{}, "stop_reason": nil, "stop_sequence": nil,
	}
}

func (a Response) usage() map[string]any {
	if a.Usage != nil {
		return a.Usage
	}
	return DefaultUsage
}

func (a Response) stopReason() string {
	switch {
	case a.StopReason != "":
		return a.StopReason
	case len(a.blocks) > 0 && a.blocks[len(a.blocks)-1].Type == "tool_use":
		return "tool_use"
	default:
		return "end_turn"
	}
}

func (a Response) writeJSON(w http.ResponseWriter, request Request) {
	message := a.message(request)
	message["content"], message["stop_reason"], message["usage"] = a.blocks, a.stopReason(), a.usage()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(message) // the client may be gone
}

// stream writes the events in the API's order: the input tokens are named at
// the beginning, the output tokens at the end.
func (a Response) writeStream(w http.ResponseWriter, r *http.Request, request Request, closed <-chan struct{}) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	event := func(kind string, fields map[string]any) {
		fields["type"] = kind
		data, err := json.Marshal(fields)
		if err != nil {
			panic(err) // maps of plain values always marshal
		}
		_, _ = fmt.Fprintf(w, "event: %s\ndata: %s\n\n", kind, data)
		_ = http.NewResponseController(w).Flush()
	}

	message := a.message(request)
	first := maps.Clone(a.usage())
	first["output_tokens"] = 1
	message["usage"] = first
	event("message_start", map[string]any{"message": message})
	for i, b := range a.blocks {
		event("content_block_start", map[string]any{"index": i, "content_block": startBlock(b)})
		for _, delta := range deltas(b) {
			event("content_block_delta", map[string]any{"index": i, "delta": delta})
			switch a.interruption {
			case noInterruption:
			case stallMidStream:
				waitForDisconnect(r, closed)
				return
			case resetMidStream:
				panic(http.ErrAbortHandler)
			}
		}
		event("content_block_stop", map[string]any{"index": i})
	}
	event("message_delta", map[string]any{
		"delta": map[string]any{"stop_reason": a.stopReason(), "stop_sequence": nil},
		"usage": map[string]any{"output_tokens": a.usage()["output_tokens"]},
	})
	event("message_stop", map[string]any{})
}

func startBlock(b block) map[string]any {
	if b.Type == "tool_use" {
		return map[string]any{"type": b.Type, "id": b.ID, "name": b.Name, "input": map[string]any{}}
	}
	return map[string]any{"type": b.Type, "text": ""}
}

func deltas(b block) []map[string]any {
	kind, field, text := "text_delta", "text", []rune(b.Text)
	if b.Type == "tool_use" {
		kind, field, text = "input_json_delta", "partial_json", []rune(string(b.Input))
	}
	var out []map[string]any
	for len(text) > 0 {
		n := min(chunkSize, len(text))
		out = append(out, map[string]any{"type": kind, field: string(text[:n])})
		text = text[n:]
	}
	return out
}
