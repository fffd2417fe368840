package modelstub

import (
	"encoding/json"
	"net/http"
	"strings"
)

// Response is one response. The functions below create it.
type Response struct {
	// Usage is the usage that the response reports; nil: DefaultUsage.
	Usage map[string]any
	// Model is the model that the response names; empty: the requested model.
	Model string
	// StopReason is the stop reason of the response; empty: the one that fits its blocks.
	StopReason string

	blocks     []block
	handler    func(w http.ResponseWriter, r *http.Request, closed <-chan struct{}) // replaces the blocks
	end        End                                                                  // of a stream
	endAfter   int                                                                  // blocks before the end; 0: one delta
	generation *Generation                                                          // replaces everything else
}

// DefaultUsage is the usage field of responses without their own Usage.
var DefaultUsage = map[string]any{
	"input_tokens": 100, "output_tokens": 20, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0,
}

type block struct {
	Type      string          `json:"type"`
	Text      string          `json:"text,omitempty"`
	Thinking  string          `json:"thinking,omitempty"`
	Signature string          `json:"signature,omitempty"`
	ID        string          `json:"id,omitempty"` // set when the response is written
	Name      string          `json:"name,omitempty"`
	Input     json.RawMessage `json:"input,omitempty"`
}

// Text returns a response with a text.
func Text(text string) Response { return Response{blocks: []block{{Type: "text", Text: text}}} }

// ToolUse returns a response that calls a tool. The input must marshal to a JSON object. Each response has another ID
// for its call, as a provider's have.
func ToolUse(name string, input any) Response {
	data, err := json.Marshal(input)
	if err != nil {
		panic(err) // a mistake in a test
	}
	return Response{blocks: []block{{Type: "tool_use", Name: name, Input: data}}}
}

// Saying returns the same response with a text before its blocks.
func (res Response) Saying(text string) Response {
	res.blocks = append([]block{{Type: "text", Text: text}}, res.blocks...)
	return res
}

// Thinking returns the same response with a block of thinking before its blocks.
func (res Response) Thinking(text string) Response {
	res.blocks = append([]block{{Type: "thinking", Thinking: text, Signature: "c2lnbmVk"}}, res.blocks...)
	return res
}

// AllEvents is the number of blocks with which EndingAfter ends a stream after its last event.
const AllEvents = -1

// EndingAfter returns the same response with another end of its stream, after so many complete blocks. It does not
// change a response without a stream.
func (res Response) EndingAfter(blocks int, end End) Response {
	res.end, res.endAfter = end, blocks
	return res
}

// Stall returns a response that sends the first part of a stream and then nothing until the client disconnects.
func Stall(text string) Response { return Text(text).EndingAfter(0, Silent) }

// ResetMidStream returns a response that sends the first part of a stream and then resets the connection.
func ResetMidStream(text string) Response { return Text(text).EndingAfter(0, Breaks) }

// Hang returns a response that sends nothing until the client disconnects.
func Hang() Response {
	return Response{handler: func(_ http.ResponseWriter, r *http.Request, closed <-chan struct{}) { waitForDisconnect(r, closed) }}
}

// Reset returns a response that resets the connection without sending anything.
func Reset() Response {
	return Response{handler: func(http.ResponseWriter, *http.Request, <-chan struct{}) { panic(http.ErrAbortHandler) }}
}

// Status returns an error response of the API.
func Status(code int, kind, message string) Response {
	body, err := json.Marshal(map[string]any{
		"type": "error", "error": map[string]string{"type": kind, "message": message},
	})
	if err != nil {
		panic(err) // strings always marshal
	}
	return Raw(code, http.Header{"Content-Type": {"application/json"}}, string(body))
}

// Raw returns a response with exactly this status, header and body.
func Raw(code int, header http.Header, body string) Response {
	return Response{handler: func(w http.ResponseWriter, _ *http.Request, _ <-chan struct{}) {
		for name, values := range header {
			w.Header()[name] = values
		}
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	}}
}

// Always returns a script that gives every request the same response.
func Always(r Response) Script { return func(Request) Response { return r } }

// Sequence returns a script that gives the n-th request the n-th response, and repeats the last one. Requests without a
// body get an empty 200 and are not counted.
func Sequence(responses ...Response) Script {
	next := make(chan int, 1)
	next <- 0
	return func(r Request) Response {
		if len(r.Raw) == 0 {
			return Raw(http.StatusOK, nil, "")
		}
		i := <-next
		next <- min(i+1, len(responses)-1)
		return responses[i]
	}
}

// ByPrompt returns a script that uses the script whose key the newest message contains. Without one it returns 400.
func ByPrompt(scripts map[string]Script) Script {
	return func(r Request) Response {
		for key, script := range scripts {
			if strings.Contains(r.Prompt(), key) {
				return script(r)
			}
		}
		return Status(http.StatusBadRequest, "invalid_request_error", "the script has no response for this prompt")
	}
}

func waitForDisconnect(r *http.Request, closed <-chan struct{}) {
	select {
	case <-r.Context().Done():
	case <-closed:
	}
}
