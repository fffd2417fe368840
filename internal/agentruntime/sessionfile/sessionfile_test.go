package sessionfile_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/agentruntime/sessionfile"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

var id = uuid.MustParse("0d9b1a3e-6f0e-4f0c-9d0f-1f2a3b4c5d6e")

func TestPath(t *testing.T) {
	require.Equal(t,
		"/home/agent/.claude/projects/-workspace/0d9b1a3e-6f0e-4f0c-9d0f-1f2a3b4c5d6e.jsonl",
		sessionfile.Path("/home/agent", id))
}

func TestEncodeLinksParents(t *testing.T) {
	data, err := sessionfile.Encode(id, "", []execution.Message{
		{Role: execution.RoleUser, Text: "hello"},
		{Role: execution.RoleUser, Text: ""},
		{Role: execution.RoleAssistant, Text: "hi"},
		{Role: execution.RoleUser, Text: "bye"},
	})
	require.NoError(t, err)

	type link struct{ UUID, ParentUUID, SessionID string }
	var chain []link
	for l := range strings.Lines(string(data)) {
		var parsed link
		require.NoError(t, json.Unmarshal([]byte(l), &parsed))
		chain = append(chain, parsed)
	}
	require.Len(t, chain, 3, "the message without text is omitted")
	require.Empty(t, chain[0].ParentUUID)
	require.Equal(t, chain[0].UUID, chain[1].ParentUUID)
	require.Equal(t, chain[1].UUID, chain[2].ParentUUID)
	for _, l := range chain {
		require.Equal(t, id.String(), l.SessionID)
	}
}

func TestDecodeMalformed(t *testing.T) {
	_, err := sessionfile.Decode([]byte("hello\n"))
	require.ErrorIs(t, err, sessionfile.ErrMalformed)
}

func TestEncodeDecodeRoundTrip(t *testing.T) {
	messages := rapid.SliceOf(rapid.Custom(func(t *rapid.T) execution.Message {
		return execution.Message{
			Role: rapid.SampledFrom([]execution.Role{execution.RoleUser, execution.RoleAssistant}).Draw(t, "role"),
			Text: rapid.StringN(1, -1, 200).Draw(t, "text"),
		}
	}))
	rapid.Check(t, func(t *rapid.T) {
		history := messages.Draw(t, "history")
		note := rapid.SampledFrom([]string{"", "a note"}).Draw(t, "note")
		data, err := sessionfile.Encode(id, note, history)
		require.NoError(t, err)
		reencoded, err := sessionfile.Encode(id, note, history)
		require.NoError(t, err)
		require.Equal(t, data, reencoded, "encoding is deterministic")

		got, err := sessionfile.Decode(data)
		require.NoError(t, err)
		if len(history) == 0 {
			history = nil
		}
		require.Empty(t, cmp.Diff(history, got))
	})
}

func FuzzDecode(f *testing.F) {
	data, err := sessionfile.Encode(id, "", []execution.Message{{Role: execution.RoleUser, Text: "hello"}, {Role: execution.RoleAssistant, Text: "hi"}})
	require.NoError(f, err)
	f.Add(data)
	f.Add([]byte("{}\n[]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		history, err := sessionfile.Decode(data)
		if err != nil {
			require.ErrorIs(t, err, sessionfile.ErrMalformed)
			require.Empty(t, history)
		}
	})
}
