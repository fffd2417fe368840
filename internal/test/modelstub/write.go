package modelstub

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
)

// chunkSize is how many characters one event of a stream contains.
const chunkSize = 4096

func (res Response) write(w http.ResponseWriter, r *http.Request, request Request, closed <-chan struct{}) {
	res.blocks = slices.Clone(res.blocks)
	for i := range res.blocks {
		if res.blocks[i].Type == "tool_use" {
			res.blocks[i].ID = fmt.Sprintf("toolu_%d_%d", request.Number, i)
		}
	}
	switch {
	case res.handler != nil:
		res.handler(w, r, closed)
	case request.Stream:
		res.writeStream(w, r, request, closed)
	default:
		res.writeJSON(w, request)
	}
}

func (res Response) message(request Request) map[string]any {
	model := res.Model
	if model == "" {
		model = request.Model
	}
	return map[string]any{
		"id": fmt.Sprintf("msg_%d", request.Number), "type": "message", "role": "assistant", "model": model,
		"content": []block{}, "stop_reason": nil, "stop_sequence": nil,
	}
}

func (res Response) usage() map[string]any {
	if res.Usage != nil {
		return res.Usage
	}
	return DefaultUsage
}

func (res Response) stopReason() string {
	switch {
	case res.StopReason != "":
		return res.StopReason
	case len(res.blocks) > 0 && res.blocks[len(res.blocks)-1].Type == "tool_use":
		return "tool_use"
	default:
		return "end_turn"
	}
}

func (res Response) writeJSON(w http.ResponseWriter, request Request) {
	message := res.message(request)
	message["content"], message["stop_reason"], message["usage"] = res.blocks, res.stopReason(), res.usage()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(message) // fails if the client has disconnected
}

// writeStream writes the events in the API's order, up to the response's end. The first event reports the input tokens,
// the last but one the output tokens.
func (res Response) writeStream(w http.ResponseWriter, r *http.Request, request Request, closed <-chan struct{}) {
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

	message := res.message(request)
	first := maps.Clone(res.usage())
	first["output_tokens"] = 1
	message["usage"] = first
	event("message_start", map[string]any{"message": message})
	for i, b := range res.blocks {
		event("content_block_start", map[string]any{"index": i, "content_block": startBlock(b)})
		for _, delta := range deltas(b) {
			event("content_block_delta", map[string]any{"index": i, "delta": delta})
			if res.end != Completes && res.endAfter == 0 {
				res.end.take(r, closed)
				return
			}
		}
		event("content_block_stop", map[string]any{"index": i})
		if res.end != Completes && res.endAfter == i+1 {
			res.end.take(r, closed)
			return
		}
	}
	event("message_delta", map[string]any{
		"delta": map[string]any{"stop_reason": res.stopReason(), "stop_sequence": nil},
		"usage": map[string]any{"output_tokens": res.usage()["output_tokens"]},
	})
	event("message_stop", map[string]any{})
	if res.endAfter == AllEvents {
		res.end.take(r, closed)
	}
}

func startBlock(b block) map[string]any {
	switch b.Type {
	case "tool_use":
		return map[string]any{"type": b.Type, "id": b.ID, "name": b.Name, "input": map[string]any{}}
	case "thinking":
		return map[string]any{"type": b.Type, "thinking": "", "signature": ""}
	default:
		return map[string]any{"type": b.Type, "text": ""}
	}
}

func deltas(b block) []map[string]any {
	kind, field, text := "text_delta", "text", []rune(b.Text)
	switch b.Type {
	case "tool_use":
		kind, field, text = "input_json_delta", "partial_json", []rune(string(b.Input))
	case "thinking":
		kind, field, text = "thinking_delta", "thinking", []rune(b.Thinking)
	}
	var out []map[string]any
	for len(text) > 0 {
		n := min(chunkSize, len(text))
		out = append(out, map[string]any{"type": kind, field: string(text[:n])})
		text = text[n:]
	}
	if b.Signature != "" {
		out = append(out, map[string]any{"type": "signature_delta", "signature": b.Signature})
	}
	return out
}
