package agentruntime_test

import (
	"cmp"
	"context"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/agentruntime"
	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/docker"
)

// rememberingProgram behaves like a CLI with sessions: it writes what it is told to a file whose name has the ID of the
// session, and prints the whole file. With an ID it resumes that session, and fails if there is none.
const rememberingProgram = `
folder=~/.program/sessions/2026/01
file=$(find ~/.program/sessions -name "*-$1.log" 2>/dev/null)
if [ -z "$1" ]; then
	mkdir -p "$folder"
	file=$folder/session-$(tr -d - </proc/sys/kernel/random/uuid).log
elif [ ! -f "$file" ]; then
	echo "there is no session $1" >&2
	exit 1
fi
input=$(cat)
printf 'told: %s\n' "$input" >>"$file"
case $input in
*"wait for ever") echo waiting; sleep 1000 & wait ;;
*fail) exit 3 ;;
esac
cat "$file"
`

// programTalk is a conversation with a program in its container, as the executor and the store have it.
type programTalk struct {
	t        *testing.T
	driver   *docker.Driver
	runtime  agentruntime.Runtime
	messages []conversation.Message
	session  *execution.AgentSession
	data     []byte
	rejected bool
}

func newProgramTalk(t *testing.T) *programTalk {
	t.Helper()
	image := cmp.Or(os.Getenv("AIRLOCK_CLAUDE_IMAGE"), claudeImage)
	return &programTalk{t: t, driver: newDriver(t, image), runtime: agentruntime.FromCatalog(catalog.Runtime{
		Name: "program", Image: image, Contract: catalog.Command, Argv: []string{"/bin/bash", "-c", rememberingProgram, "program"},
		Conversation: &catalog.Conversation{History: catalog.HistoryStdin, Resume: &catalog.Resume{
			Argv:   []string{"/bin/bash", "-c", rememberingProgram, "program", "{session}"},
			Folder: "/home/agent/.program/sessions", ID: `session-([0-9a-f]{32})\.log$`,
		}},
	}, nil)}
}

// turn runs a turn, which is stopped when it prints that it waits.
func (c *programTalk) turn(input string) (answer string, failure *execution.Failure) {
	c.t.Helper()
	number := len(c.messages)/2 + 1
	e := task(execution.Task{Input: input, History: conversation.History(c.messages), Session: c.session, SessionData: c.data})
	if c.rejected {
		e.Task.Session = nil
	}
	e.Tenant, e.ConversationID = "ada", "con_1"
	run, failure := agentruntime.NewRegistry(c.runtime).Prepare(c.t.Context(), e)
	require.Nil(c.t, failure)
	ctx, stop := context.WithCancelCause(c.t.Context())
	defer stop(nil)
	run.Job.OnStdout = func(part []byte) {
		if strings.Contains(string(part), "waiting") {
			stop(sandbox.ErrStop)
		}
	}
	outcome, err := c.driver.Run(ctx, run.Job)
	require.NoError(c.t, err)
	defer outcome.Close()
	result, failure := run.ParseOutcome(outcome)
	reply := conversation.Message{Turn: number, Role: execution.RoleAssistant, Failure: failure}
	if result != nil {
		reply.Text = result.Text
	}
	c.messages = append(c.messages, conversation.Message{Turn: number, Role: execution.RoleUser, Text: input}, reply)
	c.rejected = failure != nil && run.SessionRejected(outcome)
	if session, data := run.ExtractSession(outcome); session != nil {
		session.Turn = number
		c.session, c.data = session, data
	}
	return reply.Text, failure
}

// A program goes on from its session in another container, also after a turn that was canceled and after one that
// failed. It then is told of that turn. After its session is lost it is told everything.
func TestProgramRemembersConversation(t *testing.T) {
	t.Parallel()
	c := newProgramTalk(t)
	answer, failure := c.turn("the first message")
	require.Nil(t, failure)
	require.Equal(t, "told: the first message", answer)
	id := c.session.ID
	require.Len(t, id, 32)

	_, failure = c.turn("wait for ever")
	require.Equal(t, execution.CodeCanceled, failure.Code)
	require.Equal(t, 2, c.session.Turn)
	_, failure = c.turn("now fail")
	require.Equal(t, execution.CodeAgentError, failure.Code)
	require.False(t, c.rejected)
	require.Equal(t, 3, c.session.Turn)

	answer, failure = c.turn("the fourth message")
	require.Nil(t, failure)
	requireInOrder(t, answer, "told: the first message", "told: wait for ever", "| wait for ever", "canceled", "now fail",
		"| now fail", "| [This turn failed", "[airlock: the new message]\nthe fourth message")
	require.Equal(t, 1, strings.Count(answer, "the first message"), "what the session has is not said again")
	require.Equal(t, id, c.session.ID)

	c.data = nil
	answer, failure = c.turn("the fifth message")
	require.Nil(t, failure)
	requireInOrder(t, answer, "told: [airlock: the earlier messages", "| the first message", "| now fail", "| the fourth message", "\nthe fifth message")
	require.NotEqual(t, id, c.session.ID)
}

// A session that the program does not take is set aside: the next turn begins with the messages.
func TestProgramRejectsItsSession(t *testing.T) {
	t.Parallel()
	c := newProgramTalk(t)
	_, failure := c.turn("the first message")
	require.Nil(t, failure)
	require.NotNil(t, c.session)
	c.session.ID = "00000000000000000000000000000000"
	_, failure = c.turn("the second message")
	require.Equal(t, execution.CodeAgentError, failure.Code)
	require.Contains(t, failure.Message, "there is no session 0000")
	require.True(t, c.rejected)
	answer, failure := c.turn("the third message")
	require.Nil(t, failure)
	requireInOrder(t, answer, "the earlier messages", "| the first message", "| the second message", "\nthe third message")
	require.Equal(t, 3, c.session.Turn)
}

// The session is as large as the agent makes it.
func TestProgramWithTooLargeSession(t *testing.T) {
	t.Parallel()
	c := newProgramTalk(t)
	c.runtime.Argv = []string{"/bin/bash", "-c", "mkdir -p ~/.program/sessions; head -c 17M /dev/zero >~/.program/sessions/session-" +
		strings.Repeat("0", 32) + ".log; echo ok; cat >/workspace/told"}
	answer, failure := c.turn("hello")
	require.Nil(t, failure)
	require.Equal(t, "ok", answer)
	require.Nil(t, c.session)
}
