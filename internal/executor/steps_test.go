package executor

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/transcript"
	"github.com/airlock-run/airlock/internal/livesteps"
	"github.com/airlock-run/airlock/internal/sandbox"
)

func assistantMessage(text string) []byte {
	return []byte(fmt.Sprintf(`{"type":"assistant","message":{"content":[{"type":"text","text":%q}]}}`+"\n", text))
}

// Nothing of an execution is written while it runs. Its steps are stored with its end.
func TestStepsAreStoredWithTheEnd(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	resume := make(chan struct{})
	b := newFakeSandbox(func(_ context.Context, job sandbox.Job) (sandbox.Outcome, error) {
		job.OnStdout(assistantMessage("first"))
		<-resume
		job.OnStdout(assistantMessage("last"))
		return successOutcome("done"), nil
	})
	f.run(testConfig(), b)
	ref := f.submit("offline", "x")
	next(t, b.started)
	require.Empty(t, f.stored(ref).Steps)
	close(resume)
	e := f.await(ref, execution.Succeeded)
	require.Equal(t, []execution.Step{
		{Number: 1, Kind: execution.StepOutput, Text: "first"}, {Number: 2, Kind: execution.StepOutput, Text: "last"},
	}, e.Steps)
}

// While the job runs, others can ask for its steps: those after the ones that they have, as soon as there are any.
func TestStepsOfRunningAttempt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	resume := make(chan struct{})
	b := newFakeSandbox(func(_ context.Context, job sandbox.Job) (sandbox.Outcome, error) {
		job.OnStdout(assistantMessage("first"))
		<-resume
		job.OnStdout(assistantMessage("last"))
		<-resume
		return successOutcome("done"), nil
	})
	x := f.newExecutor(testConfig(), f.store, f.queue, b)
	stop := f.start(x)
	ref := f.submit("offline", "x")
	next(t, b.started)
	first := execution.Step{Number: 1, Kind: execution.StepOutput, Text: "first"}
	last := execution.Step{Number: 2, Kind: execution.StepOutput, Text: "last"}
	news, err := x.StepsAfter(t.Context(), ref, 1, livesteps.Position{Step: 0})
	require.NoError(t, err)
	require.Equal(t, []execution.Step{first}, news.Steps)

	noTime, cancel := context.WithCancel(t.Context())
	cancel()
	news, err = x.StepsAfter(noTime, ref, 1, livesteps.Position{Step: 1})
	require.NoError(t, err)
	require.Empty(t, news.Steps)

	resume <- struct{}{}
	news, err = x.StepsAfter(t.Context(), ref, 1, livesteps.Position{Step: 1})
	require.NoError(t, err)
	require.Equal(t, []execution.Step{last}, news.Steps)
	_, err = x.StepsAfter(t.Context(), ref, 2, livesteps.Position{Step: 0})
	require.ErrorIs(t, err, livesteps.ErrNotRunning, "another attempt")
	_, err = x.StepsAfter(t.Context(), execution.Ref{Tenant: "bob", ID: ref.ID}, 1, livesteps.Position{Step: 0})
	require.ErrorIs(t, err, livesteps.ErrNotRunning, "another tenant")

	ended := make(chan error)
	go func() {
		_, err := x.StepsAfter(t.Context(), ref, 1, livesteps.Position{Step: 2})
		ended <- err
	}()
	resume <- struct{}{}
	require.ErrorIs(t, <-ended, livesteps.ErrNotRunning)
	f.await(ref, execution.Succeeded)
	stop() // and waits for the attempt
	require.Empty(t, x.steps.buffers)
}

func TestStepBufferKeepsNewestSteps(t *testing.T) {
	s := newStepBuffer()
	for i := range 1000 {
		s.add(execution.StepOutput, fmt.Sprint(i+1))
	}
	recent := s.newest()
	require.Len(t, recent, execution.MaxSteps)
	require.Equal(t, execution.Step{Number: 1000, Kind: execution.StepOutput, Text: "1000"}, recent[len(recent)-1])
	for after, want := range map[int]int{0: execution.MaxSteps, 990: 10, 999: 1} {
		news, err := s.after(t.Context(), livesteps.Position{Step: after})
		require.NoError(t, err)
		require.Equal(t, recent[len(recent)-want:], news.Steps, after)
	}
}

// What the agent is saying grows, is bounded, and goes when it has been said.
func TestStepBufferHasWhatIsSaid(t *testing.T) {
	s := newStepBuffer()
	saying := func(have livesteps.Position) livesteps.Saying {
		news, err := s.after(t.Context(), have)
		require.NoError(t, err)
		return news.Saying
	}
	s.say("I ", true)
	s.say("look.", false)
	require.Equal(t, livesteps.Saying{Text: "I look.", Version: 2}, saying(livesteps.Position{Saying: 1}))
	s.say("Another", true)
	require.Equal(t, livesteps.Saying{Text: "Another", Version: 3}, saying(livesteps.Position{Saying: 2}))
	s.say(strings.Repeat("한", livesteps.MaxSayingBytes), false)
	text := saying(livesteps.Position{Saying: 3}).Text
	require.True(t, utf8.ValidString(text))
	require.InDelta(t, livesteps.MaxSayingBytes, len(text), 3)
	s.add(execution.StepProgress, "uses Bash")
	require.NotEmpty(t, saying(livesteps.Position{}).Text)
	s.add(execution.StepOutput, "Another 한")
	require.Equal(t, livesteps.Saying{Version: 5}, saying(livesteps.Position{Step: 1, Saying: 4}))
}

// Who watches gets the newest result of a tool, cut and masked.
func TestStepBufferHasNewestResult(t *testing.T) {
	s := newStepBuffer()
	result := func(have int) livesteps.Result {
		news, err := s.after(t.Context(), livesteps.Position{Result: have})
		require.NoError(t, err)
		return news.Result
	}
	s.addToolItem(transcript.Item{Kind: transcript.KindToolCall, Call: "a", Tool: "Bash"})
	s.addToolItem(transcript.Item{Kind: transcript.KindToolCall, Call: "b", Tool: "Read"})
	s.addToolItem(transcript.Item{Kind: transcript.KindToolResult, Call: "a", Text: "key sk-ant-REDACTED", IsError: true})
	first := result(0)
	require.Equal(t, "Bash", first.Tool)
	require.True(t, first.IsError)
	require.NotContains(t, first.Text, "sk-ant-api03")
	s.addToolItem(transcript.Item{Kind: transcript.KindToolResult, Call: "b", Text: strings.Repeat("한", 9000)})
	second := result(first.Version)
	require.Equal(t, "Read", second.Tool)
	require.True(t, utf8.ValidString(second.Text))
	require.InDelta(t, livesteps.MaxResultBytes, len(second.Text), 3)
	s.addToolItem(transcript.Item{Kind: transcript.KindToolResult, Call: "unknown", Text: "x"})
	require.Equal(t, livesteps.Result{Text: "x", Version: 3}, result(2))
}

func TestToolStep(t *testing.T) {
	t.Parallel()
	for input, want := range map[string]string{
		`{"command":"go test","description":"run the tests"}`:         "uses T: go test",
		`{"file_path":"/workspace/a.go","content":"x"}`:               "uses T: /workspace/a.go",
		`{"command":"curl -H sk-ant-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}`: "uses T: curl -H sk-ant-[masked]",
		`{"todos":[]}`:  "uses T",
		`{"command":7}`: "uses T",
		`[]`:            "uses T",
		``:              "uses T",
	} {
		require.Equal(t, want, toolStep(transcript.Item{Tool: "T", Input: json.RawMessage(input)}), input)
	}
}
