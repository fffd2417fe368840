package modelstub

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Request is one recorded request.
type Request struct {
	Number int // counts from 1
	Proto  string
	Method string
	Host   string
	Target string // path and query as sent
	Header http.Header
	Raw    []byte

	Model    string
	Stream   bool
	System   string
	Tools    []string // their names
	Messages []Message
}

// Message is one message of a request.
type Message struct {
	Role string
	Text string // of its text blocks and tool results, one block a line
}

// Prompt returns the text of the newest message.
func (r Request) Prompt() string {
	if len(r.Messages) == 0 {
		return ""
	}
	return r.Messages[len(r.Messages)-1].Text
}

// APIKey returns the API key of the request.
func (r Request) APIKey() string { return r.Header.Get("X-Api-Key") }

func parseRequest(r *http.Request) (Request, error) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return Request{}, fmt.Errorf("read the body: %w", err)
	}
	request := Request{Proto: r.Proto, Method: r.Method, Host: r.Host, Target: r.RequestURI, Header: r.Header.Clone(), Raw: raw}
	if len(raw) == 0 {
		return request, nil
	}
	var body struct {
		Model    string
		Stream   bool
		System   content
		Tools    []struct{ Name string }
		Messages []struct {
			Role    string
			Content content
		}
	}
	if err := json.Unmarshal(raw, &body); err != nil {
		return Request{}, fmt.Errorf("parse the body: %w", err)
	}
	request.Model, request.Stream, request.System = body.Model, body.Stream, string(body.System)
	for _, tool := range body.Tools {
		request.Tools = append(request.Tools, tool.Name)
	}
	for _, m := range body.Messages {
		request.Messages = append(request.Messages, Message{Role: m.Role, Text: string(m.Content)})
	}
	return request, nil
}

// content is the text of a JSON string or of a JSON list of blocks.
type content string

func (c *content) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		return json.Unmarshal(data, (*string)(c))
	}
	var blocks []struct {
		Text    string
		Content content
	}
	if err := json.Unmarshal(data, &blocks); err != nil {
		return err
	}
	var lines []string
	for _, b := range blocks {
		if text := b.Text + string(b.Content); text != "" {
			lines = append(lines, text)
		}
	}
	*c = content(strings.Join(lines, "\n"))
	return nil
}
