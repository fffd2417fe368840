package sessionfile_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/agentruntime/sessionfile"
)

// snapshot adds a line with a system prompt.
func (f *file) snapshot(instructions string) {
	f.add("attachment", "[]")
	text := strings.TrimSuffix(f.String(), "\n")
	begin := strings.LastIndexByte(text, '\n') + 1
	last := strings.Replace(text[begin:], `"message"`, fmt.Sprintf(`"attachment":{"type":"prompt_snapshot","systemPrompt":["base",%q]},"message"`, instructions), 1)
	f.Reset()
	f.WriteString(text[:begin] + last + "\n")
}

func TestPromptsWithOtherInstructionsAreLeftOut(t *testing.T) {
	var f file
	f.add("user", `"question"`)
	f.snapshot("old")
	f.snapshot("old")
	f.add("assistant", `"answer"`)
	f.WriteString(`{"type":"last-prompt","leafUuid":"x"}` + "\n")
	whole := f.String()

	same, err := sessionfile.WithInstructions([]byte(whole), "old\n")
	require.NoError(t, err)
	require.Equal(t, whole, string(same))

	changed, err := sessionfile.WithInstructions([]byte(whole), "new")
	require.NoError(t, err)
	entries := parse(t, string(changed))
	require.Len(t, entries, 2)
	require.Equal(t, []string{"user", "assistant"}, []string{entries[0].Type, entries[1].Type})
	require.Equal(t, entries[0].UUID, entries[1].ParentUUID)
	ring := `{"type":"attachment","uuid":"a","parentUuid":"b","attachment":{"type":"prompt_snapshot"}}` + "\n" +
		`{"type":"attachment","uuid":"b","parentUuid":"a","attachment":{"type":"prompt_snapshot"}}` + "\n" + `{"type":"user","uuid":"c","parentUuid":"b"}` + "\n"
	_, err = sessionfile.WithInstructions([]byte(ring), "new")
	require.NoError(t, err, "it ends")
	text := `{"type":"user","uuid":"a","message":{"content":"prompt_snapshot"}}` + "\n" + `{"type":"attachment","uuid":"b","parentUuid":"a","attachment":{"type":"prompt_snapshot"}}` + "\n" +
		`{"type":"user","uuid":"c","parentUuid":"b"}` + "\n"
	odd, err := sessionfile.WithInstructions([]byte(text), "new")
	require.NoError(t, err)
	require.Equal(t, text, string(odd), "IDs that are not the CLI's")
}
