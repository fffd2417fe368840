package modelstub

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// Generation is a response that the server bills as a provider does: see Server.Billed. It is in the format of the
// Responses API if the path of the request ends with /responses, and otherwise in that of the Messages API.
type Generation struct {
	Events   int // events with content in a stream; without one, the response has as many tokens
	PerEvent int // tokens of one event
	// End is what happens after the first After events of a stream, or instead of any other response.
	End   End
	After int
}

// End is how a stream or a Generation ends.
type End int

// The ends.
const (
	Completes End = iota
	Silent        // nothing more is sent until the client disconnects; nothing at all without a stream
	Hangs         // nothing is sent, not even the header, until the client disconnects; only of a Generation
	Breaks        // the server resets the connection
	Stops         // a stream ends without its last events, as if it were complete
)

// take ends a stream that has begun before its last events.
func (e End) take(r *http.Request, closed <-chan struct{}) {
	switch e {
	case Silent, Hangs:
		waitForDisconnect(r, closed)
	case Breaks:
		panic(http.ErrAbortHandler)
	case Completes, Stops:
	}
}

// tokenText is a token of the generated text.
const tokenText = "word"

// Generate returns a generated response.
func Generate(g Generation) Response { return Response{generation: &g} }

// Billed returns the tokens of all generated responses. Without a stream the server bills the complete response, even
// if the client disconnects before it is sent. Of a stream it bills what it has sent. It bills only the input of a
// response that it breaks. One input token is billed for four bytes of a request.
func (s *Server) Billed() (input, output int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.billedInput, s.billedOutput
}

func (s *Server) bill(input, output int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.billedInput, s.billedOutput = s.billedInput+int64(input), s.billedOutput+int64(output)
}

func (s *Server) generate(w http.ResponseWriter, r *http.Request, request Request, g Generation) {
	input := len(request.Raw) / 4
	s.bill(input, 0)
	if !request.Stream && g.End != Breaks {
		s.bill(0, g.Events*g.PerEvent)
	}
	switch {
	case g.End == Hangs, g.End == Silent && !request.Stream:
		waitForDisconnect(r, s.closed)
		return
	case g.End == Breaks && !request.Stream:
		panic(http.ErrAbortHandler)
	case !request.Stream:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{ // fails if the client has disconnected
			"model": request.Model, "usage": map[string]int{"input_tokens": input, "output_tokens": g.Events * g.PerEvent},
		})
		return
	}
	stream := messagesStream
	if strings.HasSuffix(r.URL.Path, "/responses") {
		stream = responsesStream
	}
	w.Header().Set("Content-Type", "text/event-stream")
	send := func(event string) {
		_, _ = fmt.Fprintf(w, "data: %s\n\n", event) // fails if the client has disconnected
		_ = http.NewResponseController(w).Flush()
	}
	send(fmt.Sprintf(stream.first, request.Model, input))
	for i := range g.Events {
		if g.End != Completes && i == g.After {
			break
		}
		s.bill(0, g.PerEvent)
		send(fmt.Sprintf(stream.content, strings.Repeat(tokenText, g.PerEvent)))
	}
	if g.End != Completes {
		g.End.take(r, s.closed)
		return
	}
	send(fmt.Sprintf(stream.usage, request.Model, input, g.Events*g.PerEvent))
	if stream.last != "" {
		send(stream.last)
	}
}

// streamFormat has the formats of a stream's events: first of the model and the input tokens, content of the text,
// usage of the model, the input tokens and the output tokens. last is the event after it, if the API has one.
type streamFormat struct{ first, content, usage, last string }

var (
	messagesStream = streamFormat{
		`{"type":"message_start","message":{"model":%q,"usage":{"input_tokens":%d,"output_tokens":1}}}`,
		`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":%q}}`,
		`{"type":"message_delta","model":%q,"usage":{"input_tokens":%d,"output_tokens":%d}}`,
		`{"type":"message_stop"}`,
	}
	responsesStream = streamFormat{
		`{"type":"response.created","response":{"model":%q,"input":%d,"usage":null}}`,
		`{"type":"response.output_text.delta","delta":%q}`,
		`{"type":"response.completed","response":{"model":%q,"usage":{"input_tokens":%d,"output_tokens":%d}}}`,
		"",
	}
)
