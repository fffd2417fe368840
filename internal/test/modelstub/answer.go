package modelstub

import (
	"encoding/json"
	"net/http"
	"strings"
)

// Answer is one answer of the stand-in. Make it with the functions below.
type Answer struct {
	// Usage is what the answer says was used; nil: DefaultUsage.
	Usage map[string]any
	// Model is what the answer says has answered; empty: the model asked for.
	Model string
	// StopReason is why the answer ended; empty: what fits the blocks.
	StopReason string

	blocks []block
	custom func(w http.ResponseWriter, r *http.Request, ended <-chan struct{})
	hold   hold
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
type hold int

const (
	holdNowhere hold = iota
	holdMiddle       // after the first piece of the stream
	cutMiddle        // the connection is reset there
)

// Text answers with words.
func Text(text string) Answer { return Answer{blocks: []block{{Type: "text", Text: text}}} }

// Tool answers with a call of a tool. The input has to marshal to a JSON object.
func Tool(name string, input any) Answer {
	data, err := json.Marshal(input)
	if err != nil {
		panic(err) // a mistake in a test
	}
	return Answer{blocks: []block{{Type: "tool_use", ID: "toolu_01" + name, Name: name, Input: data}}}
}

// Stall answers with the beginning of a stream and then nothing, until the client goes.
func Stall(text string) Answer { a := Text(text); a.hold = holdMiddle; return a }

// Cut answers with the beginning of a stream and then resets the connection.
func Cut(text string) Answer { a := Text(text); a.hold = cutMiddle; return a }

// Hang gives no answer at all until the client goes.
func Hang() Answer {
	return Answer{custom: func(_ http.ResponseWriter, r *http.Request, ended <-chan struct{}) { wait(r, ended) }}
}

// Die resets the connection without an answer.
func Die() Answer {
	return Answer{custom: func(http.ResponseWriter, *http.Request, <-chan struct{}) { panic(http.ErrAbortHandler) }}
}

// Status answers with an error of the API.
func Status(code int, kind, message string) Answer {
	body, err := json.Marshal(map[string]any{
		"type": "error", "error": map[string]string{"type": kind, "message": message},
	})
	if err != nil {
		panic(err) // strings always marshal
	}
	return Raw(code, http.Header{"Content-Type": {"application/json"}}, string(body))
}

// Raw answers with exactly this.
func Raw(code int, header http.Header, body string) Answer {
	return Answer{custom: func(w http.ResponseWriter, _ *http.Request, _ <-chan struct{}) {
		for name, values := range header {
			w.Header()[name] = values
		}
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	}}
}

// Always gives the same answer to every request.
func Always(a Answer) Script { return func(Request) Answer { return a } }

// Sequence answers the n-th message with the n-th answer, and goes on with the
// last. Requests without a body get an empty 200 and do not count.
func Sequence(answers ...Answer) Script {
	next := make(chan int, 1)
	next <- 0
	return func(r Request) Answer {
		if len(r.Raw) == 0 {
			return Raw(http.StatusOK, nil, "")
		}
		i := <-next
		next <- min(i+1, len(answers)-1)
		return answers[i]
	}
}

// ByPrompt chooses the script whose key the newest message contains, and
// answers with a 400 when there is none.
func ByPrompt(scripts map[string]Script) Script {
	return func(r Request) Answer {
		for key, script := range scripts {
			if strings.Contains(r.Prompt(), key) {
				return script(r)
			}
		}
		return Status(http.StatusBadRequest, "invalid_request_error", "the script has no answer to this prompt")
	}
}

func wait(r *http.Request, ended <-chan struct{}) {
	select {
	case <-r.Context().Done():
	case <-ended:
	}
}
