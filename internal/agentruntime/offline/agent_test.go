package offline_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/agentruntime/offline"
	"github.com/airlock-run/airlock/internal/agentruntime/sessionfile"
	"github.com/airlock-run/airlock/internal/agentruntime/streamjson"
	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

const builderSchema = conversation.BuilderSchema

var requiredFlags = []string{"--print", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose", "--model", "none", "--max-turns", "1"}

type runResult struct {
	code   int
	stdout []byte
	stderr string
}

func run(t *testing.T, home, prompt string, args ...string) runResult {
	t.Helper()
	return runJob(t, home, streamjson.Input{Prompt: prompt}, args...)
}

func runJob(t require.TestingT, home string, job streamjson.Input, args ...string) runResult {
	stdin, err := job.Encode()
	require.NoError(t, err)
	var stdout, stderr bytes.Buffer
	code := offline.Run(offline.Invocation{
		Args: append(requiredFlags[:len(requiredFlags):len(requiredFlags)], args...),
		Home: home, Stdin: bytes.NewReader(stdin), Stdout: &stdout, Stderr: &stderr,
	})
	return runResult{code, stdout.Bytes(), stderr.String()}
}

// result returns the result of a run and requires that it succeeded.
func (r runResult) result(t *testing.T) streamjson.Result {
	t.Helper()
	require.Zero(t, r.code, r.stderr)
	result, err := streamjson.Parse(r.stdout)
	require.NoError(t, err)
	require.Equal(t, 1, result.NumTurns)
	return result
}

func runInstructions(t *testing.T, instructions, input string) string {
	t.Helper()
	return runJob(t, t.TempDir(), streamjson.Input{Prompt: input, Instructions: instructions}).result(t).Text
}

func TestSkills(t *testing.T) {
	const text = "First. Second sentence! Third? Fourth.\nFifth without an end"
	for name, c := range map[string]struct{ instructions, input, want string }{
		"summarise":           {"Summarise the text.", text, "First. Second sentence! Third?"},
		"summarise, how long": {"Write a summary of 2 sentences", text, "First. Second sentence!"},
		"summarise, in words": {"Give me one-sentence summaries.", text, "First."},
		"summarise in Korean": {"주어진 글을 두 문장으로 요약하세요.", "첫째입니다. 둘째입니다. 셋째입니다.", "첫째입니다. 둘째입니다."},
		"summarise, short":    {"Summarise", "no full stop", "no full stop"},
		"a dot in a version":  {"summarise in 1 sentence", "Go 1.26 is out. Good.", "Go 1.26 is out."},
		"count":               {"Count the words", "one two  three\nfour", "4 words, 19 characters, 2 lines"},
		"count in Korean":     {"단어 수를 세세요", "안녕 세상", "단어 2개, 글자 5자, 1줄"},
		"JSON":                {"Pretty-print JSON", `{"a":[1]}`, "{\n  \"a\": [\n    1\n  ]\n}"},
		"not JSON":            {"Format the JSON", "hello", "The input is not JSON: invalid character 'h' looking for beginning of value."},
		"upper":               {"Convert to UPPER case", "abc é", "ABC É"},
		"lower":               {"to lowercase please", "ABC", "abc"},
		"echo":                {"Echo the input", "  as it is\n", "  as it is\n"},
		"the first named":     {"Upper-case it; do not summarise", "a. b. c. d.", "A. B. C. D."},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, runInstructions(t, c.instructions, c.input))
		})
	}
}

func TestUnsupportedInstructions(t *testing.T) {
	require.Contains(t, runInstructions(t, "Write a poem", "autumn"), "has no model")
	require.Contains(t, runInstructions(t, "시를 써 주세요", "가을"), "모델이 필요합니다")
}

func TestConversations(t *testing.T) {
	for name, c := range map[string]struct{ message, want string }{
		"greeting":           {"Hello!", "not a model"},
		"greeting in Korean": {"안녕하세요", "안녕하세요!"},
		"hi within a word":   {"What is this?", "cannot answer that"},
		"thanks":             {"thanks a lot", "welcome"},
		"thanks in Korean":   {"고마워요", "천만에요"},
		"open question":      {"What is the capital of France?", "cannot answer that"},
		"open in Korean":     {"프랑스의 수도는?", "답할 수 없습니다"},
		"the first message":  {"what did I say earlier?", "first message"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, run(t, t.TempDir(), c.message).result(t).Text, c.want)
		})
	}
}

type proposal struct {
	Reply string
	Agent *struct{ Name, Description, Instructions, Runtime string }
}

func propose(t *testing.T, message string) proposal {
	t.Helper()
	result := runJob(t, t.TempDir(), streamjson.Input{Prompt: message, Schema: builderSchema, Instructions: "You build agents."}).result(t)
	var p proposal
	require.NoError(t, json.Unmarshal(result.Structured, &p))
	require.Equal(t, result.Text, p.Reply)
	return p
}

func TestBuilderProposesDraft(t *testing.T) {
	for name, c := range map[string]struct{ message, name, instructions, runtime string }{
		"a skill":             {"make an agent that summarises articles", "Summarizer", "three sentences", "offline"},
		"a skill in Korean":   {"요약하는 에이전트 만들어줘", "요약 도우미", "세 문장으로 요약", "offline"},
		"counting in Korean":  {"단어 수를 세는 에이전트를 만들어 주세요", "단어 세기 도우미", "단어 수", "offline"},
		"for a model":         {"I want a bot which writes haiku about the weather.", "New agent: writes haiku", "writes haiku about the weather", "claude"},
		"for a model, Korean": {"시를 쓰는 에이전트 만들어줘", "새 에이전트: 시를 쓰는", "시를 쓰는", "claude"},
	} {
		t.Run(name, func(t *testing.T) {
			p := propose(t, c.message)
			require.NotNil(t, p.Agent)
			require.Contains(t, p.Agent.Name, c.name)
			require.Contains(t, p.Agent.Instructions, c.instructions)
			require.Equal(t, c.runtime, p.Agent.Runtime)
			require.Contains(t, p.Reply, p.Agent.Name)
		})
	}
}

func TestOfflineDraftRuns(t *testing.T) {
	for _, message := range []string{"make an agent that summarises", "대문자로 바꾸는 에이전트 만들어줘", "build an agent to count words"} {
		p := propose(t, message)
		require.NotNil(t, p.Agent)
		require.Equal(t, "offline", p.Agent.Runtime)
		require.NotContains(t, runInstructions(t, p.Agent.Instructions, "some input"), "has no model")
	}
}

func TestDraftLengthsAreBounded(t *testing.T) {
	for _, message := range []string{
		"make an agent that writes " + strings.Repeat("long words ", 5000),
		strings.Repeat("긴 글을 쓰고 ", 5000) + "번역하는 에이전트 만들어줘",
	} {
		result := runJob(t, t.TempDir(), streamjson.Input{Prompt: message, Schema: builderSchema}).result(t)
		answer := conversation.ParseBuilderAnswer(execution.Result{Output: string(result.Structured)})
		require.NotNil(t, answer.AgentDraft)
	}
}

func TestBuilderAsksForPurpose(t *testing.T) {
	p := propose(t, "make me an agent")
	require.Nil(t, p.Agent)
	require.Contains(t, p.Reply, "What should the agent do")
}

func TestBuilderRepliesWithoutDraft(t *testing.T) {
	p := propose(t, "안녕하세요")
	require.Nil(t, p.Agent)
	require.Contains(t, p.Reply, "오프라인 에이전트")
}

func TestUnknownSchemaIsError(t *testing.T) {
	result := runJob(t, t.TempDir(), streamjson.Input{Prompt: "hello", Schema: `{"properties":{"score":{"type":"number"}}}`}).result(t)
	require.True(t, result.IsError)
	require.Empty(t, result.Structured)
	require.Contains(t, result.Text, "needs a model")
}

func TestResumeReadsHistory(t *testing.T) {
	home, id := t.TempDir(), uuid.New()
	data, err := sessionfile.Encode(id, "a note", []execution.Message{
		{Role: execution.RoleUser, Text: "make an agent that summarises"},
		{Role: execution.RoleAssistant, Text: "Here is a draft"},
	})
	require.NoError(t, err)
	file := sessionfile.Path(home, id)
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
	require.NoError(t, os.WriteFile(file, data, 0o600))

	result := run(t, home, "What did I say?", "--resume", id.String()).result(t)
	require.Contains(t, result.Text, `"make an agent that summarises"`)
	require.NotContains(t, result.Text, "Here is a draft")
	require.NotContains(t, result.Text, "a note")
	require.Contains(t, run(t, home, "yes, ok", "--resume", id.String()).result(t).Text, "still there")
	require.Contains(t, run(t, home, "아까 뭐라고 했죠?", "--resume", id.String()).result(t).Text, "지금까지 하신 말씀")
}

func TestInvalidFlags(t *testing.T) {
	id := uuid.NewString()
	for name, c := range map[string]struct {
		prompt string
		args   []string
		says   string
	}{
		"an unknown flag":      {"hi", []string{"--from-the-future"}, "not defined"},
		"a prompt as argument": {"hi", []string{"hello"}, "unexpected argument"},
		"zero turns":           {"hi", []string{"--max-turns", "0"}, "at least 1"},
		"another format":       {"hi", []string{"--output-format", "text"}, "required"},
		"new and resumed":      {"hi", []string{"--session-id", id, "--resume", id}, "exclude each other"},
		"not a UUID":           {"hi", []string{"--session-id", "x"}, "invalid UUID"},
		"nothing to resume":    {"hi", []string{"--resume", id}, "session to resume"},
		"no prompt":            {" \n ", nil, "the message has no text"},
	} {
		t.Run(name, func(t *testing.T) {
			got := run(t, t.TempDir(), c.prompt, c.args...)
			require.Equal(t, 1, got.code)
			require.Empty(t, got.stdout)
			require.Contains(t, got.stderr, c.says)
		})
	}
}
