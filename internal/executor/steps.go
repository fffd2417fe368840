package executor

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/transcript"
	"github.com/airlock-run/airlock/internal/livesteps"
)

// stepBuffer holds the newest steps of an attempt. It is safe for concurrent use: the sandbox adds steps while others
// read them.
type stepBuffer struct {
	mu      sync.Mutex
	recent  []execution.Step
	saying  livesteps.Saying  // what the agent has not said to its end
	result  livesteps.Result  // of a tool, the newest
	tools   map[string]string // names of the tools whose calls have no result yet, by call
	total   int
	ended   bool          // there will be no more
	changed chan struct{} // closed and replaced by every change
}

func newStepBuffer() *stepBuffer { return &stepBuffer{changed: make(chan struct{})} }

func (s *stepBuffer) add(kind execution.StepKind, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total++
	if kind == execution.StepOutput && s.saying.Text != "" {
		s.saying = livesteps.Saying{Version: s.saying.Version + 1}
	}
	s.recent = append(s.recent, execution.NewStep(s.total, kind, text))
	s.recent = s.recent[max(0, len(s.recent)-execution.MaxSteps):]
	s.notify()
}

// say adds to the text that the agent is saying. A new text replaces the one before.
func (s *stepBuffer) say(part string, begins bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if begins {
		s.saying.Text = ""
	}
	text := s.saying.Text + part
	for len(text) > livesteps.MaxSayingBytes {
		_, size := utf8.DecodeRuneInString(text)
		text = text[size:]
	}
	s.saying = livesteps.Saying{Text: text, Version: s.saying.Version + 1}
	s.notify()
}

// addToolItem keeps the newest result of a tool, with the name of the tool.
func (s *stepBuffer) addToolItem(i transcript.Item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch i.Kind {
	case transcript.KindToolCall:
		if s.tools == nil || len(s.tools) >= maxOpenCalls {
			s.tools = map[string]string{}
		}
		s.tools[i.Call] = i.Tool
	case transcript.KindToolResult:
		text := transcript.Mask(execution.TruncateText(i.Text, 2*livesteps.MaxResultBytes)) // more than is sent: no key is cut
		text = strings.ToValidUTF8(execution.TruncateText(text, livesteps.MaxResultBytes), "\uFFFD")
		s.result = livesteps.Result{Tool: s.tools[i.Call], Text: text, IsError: i.IsError, Version: s.result.Version + 1}
		delete(s.tools, i.Call)
		s.notify()
	default:
	}
}

// maxOpenCalls bounds the calls without a result that are remembered.
const maxOpenCalls = 256

// end tells those who wait that no more steps will come.
func (s *stepBuffer) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.notify()
}

func (s *stepBuffer) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// newest returns the newest steps.
func (s *stepBuffer) newest() []execution.Step {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.recent)
}

// after returns what is new after a position, and what livesteps.Source says besides.
func (s *stepBuffer) after(ctx context.Context, have livesteps.Position) (livesteps.News, error) {
	for {
		s.mu.Lock()
		missing, ended, changed := min(max(0, s.total-have.Step), len(s.recent)), s.ended, s.changed
		news := livesteps.News{Steps: slices.Clone(s.recent[len(s.recent)-missing:]), Saying: s.saying, Result: s.result}
		s.mu.Unlock()
		switch {
		case missing > 0 || news.Saying.Version != have.Saying, news.Result.Version != have.Result:
			return news, nil
		case ended:
			return livesteps.News{}, livesteps.ErrNotRunning
		}
		select {
		case <-ctx.Done():
			return news, nil
		case <-changed:
		}
	}
}

// stepOf returns the step that an item is; the kind is empty if it is none.
func stepOf(i transcript.Item) (execution.StepKind, string) {
	switch i.Kind {
	case transcript.KindText, transcript.KindOutput:
		return execution.StepOutput, transcript.Mask(i.Text)
	case transcript.KindToolCall:
		return execution.StepProgress, toolStep(i)
	case transcript.KindRetry, transcript.KindNotice:
		return execution.StepProgress, i.Text
	default: // thinking, results of tools (see addToolItem), and the end
		return "", ""
	}
}

// mainInputs are the names under which tools of the known agents take what says best what they do.
var mainInputs = []string{"command", "file_path", "path", "pattern", "query", "url", "description", "prompt"}

// toolStep says which tool is used, and for what.
func toolStep(i transcript.Item) string {
	var input map[string]any
	if json.Unmarshal(i.Input, &input) == nil {
		for _, name := range mainInputs {
			if value, ok := input[name].(string); ok && value != "" {
				return "uses " + i.Tool + ": " + transcript.Mask(value)
			}
		}
	}
	return "uses " + i.Tool
}

// runningSteps finds the steps of the attempts that run here. Its zero value has none.
type runningSteps struct {
	mu      sync.Mutex
	buffers map[execution.Ref]attemptSteps
}

type attemptSteps struct {
	number int
	steps  *stepBuffer
}

// add adds the steps of an attempt until remove is called.
func (r *runningSteps) add(e *execution.Execution, steps *stepBuffer) (remove func()) {
	mine := attemptSteps{e.Attempt, steps}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.buffers == nil {
		r.buffers = map[execution.Ref]attemptSteps{}
	}
	r.buffers[e.Ref()] = mine
	return func() {
		steps.end()
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.buffers[e.Ref()] == mine { // and not those of a later attempt
			delete(r.buffers, e.Ref())
		}
	}
}

// StepsAfter is the executor's part of livesteps.Source.
func (x *Executor) StepsAfter(ctx context.Context, ref execution.Ref, attempt int, have livesteps.Position) (livesteps.News, error) {
	x.steps.mu.Lock()
	running, ok := x.steps.buffers[ref]
	x.steps.mu.Unlock()
	if !ok || running.number != attempt {
		return livesteps.News{}, livesteps.ErrNotRunning
	}
	return running.steps.after(ctx, have)
}
