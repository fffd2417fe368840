package modelstub

import (
	"encoding/json"
	"net/http"
	"strings"
)

// Answer is one answer of the stand-in. Make it with the functions below.
type Response struct {
	// Usage is what the answer says was used; nil: DefaultUsage.
	Usage map[string]any
	// Model is what the answer says has answered; empty: the model asked for.
	Model string
	// StopReason is why the answer ended; empty: what fits the blocks.
	StopReason string

	blocks       []block
	handler      func(w http.ResponseWriter, r *http.Request, ended <-chan struct{})
	interruption interruption
}

// DefaultUsage is in the shape of the API's usage field.
var DefaultUsage = map[string]any{
	"input_tokens": 100, "output_tokens": 20, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0,
}

type block struct {
	Type  string          `json:"type"`
	Text  string          `json:"text,omitempty"`
	ID    string          `json:"id,omitempty"`
	Name  string          `json:"name,omitempty"`
	Input json.RawMessage `json:"input,omitempty"`
}

// hold says where an answer stops going on.
type interruption int

const (
	noInterruption interruption = iota
	stallMidStream              // after the first piece of the stream
	resetMidStream              // the connection is reset there
)

// Text answers with words.
func Text(text string) Response { return Response{blocks: []block{{Type: "text", Text: text}}} }

// Tool answers with a call of a tool. The input has to marshal to a JSON object.
func ToolUse(name string, input any) Response {
	data, err := json.Marshal(input)
	if err != nil {
		panic(err) // a mistake in a test
	}
	return Response{blocks: []block{{Type: "tool_use", ID: "toolu_01" + name, Name: name, Input: data}}}
}

// Stall answers with the beginning of a stream and then nothing, until the client goes.
func Stall(text string) Response { a := Text(text); a.interruption = stallMidStream; return a }

// Cut answers with the beginning of a stream and then resets the connection.
func ResetMidStream(text string) Response { a := Text(text); a.interruption = resetMidStream; return a }

// Hang gives no answer at all until the client goes.
func Hang() Response {
	return Response{handler: func(_ http.ResponseWriter, r *http.Request, closed <-chan struct{}) { waitForDisconnect(r, closed) }}
}

// Die resets the connection without an answer.
func Reset() Response {
	return Response{handler: func(http.ResponseWriter, *http.Request, <-chan struct{}) { panic(http.ErrAbortHandler) }}
}

// Status answers with an error of the API.
func Status(code int, kind, message string) Response {
	body, err := json.Marshal(map[string]any{
		"type": "error", "error": map[string]string{"type": kind, "message": message},
	})
	if err != nil {
		panic(err) // strings always marshal
	}
	return Raw(code, http.Header{"Content-Type": {"application/json"}}, string(body))
}

// Raw answers with exactly this.
func Raw(code int, header http.Header, body string) Response {
	return Response{handler: func(w http.ResponseWriter, _ *http.Request, _ <-chan struct{}) {
		for name, values := range header {
			w.Header()[name] = values
		}
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	}}
}

// Always gives the same answer to every request.
func Always(a Response) Script { return func(Request) Response { return a } }

// Sequence answers the n-th message with the n-th answer, and goes on with the
// last. Requests without a body get an empty 200 and do not count.
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

// ByPrompt chooses the script whose key the newest message contains, and
// answers with a 400 when there is none.
func ByPrompt(scripts map[string]Script) Script {
	return func(r Request) Response {
		for key, script := range scripts {
			if strings.Contains(r.Prompt(), key) {
				return script(r)
			}
		}
		return Status(http.StatusBadRequest, "invalid_request_error", "the script has no answer to this prompt")
	}
}

func waitForDisconnect(r *http.Request, closed <-chan struct{}) {
	select {
	case <-r.Context().Done():
	case <-closed:
	}
}
