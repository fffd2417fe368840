package sessionfile_test

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/agentruntime/sessionfile"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

func readFile(data string, maxBytes int64) (string, error) {
	got, err := sessionfile.Read(io.NewSectionReader(strings.NewReader(data), 0, int64(len(data))), id, maxBytes)
	return string(got), err
}

// entry is what the tests read of a line.
type entry struct {
	Type             string
	UUID, ParentUUID string
	IsMeta           bool
	Message          struct{ Content json.RawMessage }
}

type block struct {
	Type, Text, ID string
	ToolUseID      string `json:"tool_use_id"`
}

func (e entry) blocks() (blocks []block) {
	_ = json.Unmarshal(e.Message.Content, &blocks) // it may be a text
	return blocks
}

func parse(t require.TestingT, data string) (entries []entry) {
	for line := range strings.Lines(data) {
		var e entry
		require.NoError(t, json.Unmarshal([]byte(line), &e), line)
		entries = append(entries, e)
	}
	return entries
}

// file builds a session file as the CLI writes it.
type file struct {
	strings.Builder
	parent string
	count  int
}

// add adds an entry below the newest one.
func (f *file) add(kind, content string) {
	f.count++
	uuid := fmt.Sprintf("00000000-0000-4000-8000-%012d", f.count)
	parent := "null"
	if f.parent != "" {
		parent = `"` + f.parent + `"`
	}
	fmt.Fprintf(f, `{"parentUuid":%s,"isSidechain":false,"type":%q,"message":{"role":%q,"content":%s},"uuid":%q}`+"\n", parent, kind, kind, content, uuid)
	f.parent = uuid
}

func (f *file) call(n, size int) {
	f.add("assistant", fmt.Sprintf(`[{"type":"tool_use","id":"call-%d","input":{"x":%q}}]`, n, strings.Repeat("x", size)))
}

func (f *file) result(n, size int) {
	f.add("user", fmt.Sprintf(`[{"type":"tool_result","tool_use_id":"call-%d","content":%q}]`, n, strings.Repeat("x", size)))
}

// Of any session that is too long, the newest part is kept, from a place where a session can begin.
func TestReadCutsLongFile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var f file
		size := rapid.IntRange(0, 2000)
		calls := 0
		for range rapid.IntRange(1, 12).Draw(t, "turns") {
			f.add("user", `"question `+strings.Repeat("<", size.Draw(t, "question"))+`"`)
			for range rapid.IntRange(0, 4).Draw(t, "steps") {
				parallel := rapid.IntRange(1, 3).Draw(t, "parallel calls")
				for i := range parallel {
					f.call(calls+i, size.Draw(t, "call"))
				}
				for i := range parallel {
					f.result(calls+i, size.Draw(t, "result"))
				}
				calls += parallel
				f.WriteString(`{"type":"progress","data":"x"}` + "\n")
			}
			f.add("assistant", `[{"type":"text","text":"answer"}]`)
		}
		whole := f.String()
		limit := int64(rapid.IntRange(8<<10, 32<<10).Draw(t, "limit"))
		got, err := readFile(whole, limit)
		if int64(len(whole)) <= limit {
			require.NoError(t, err)
			require.Equal(t, whole, got)
			return
		}
		if err != nil { // one step alone may be too long
			require.ErrorIs(t, err, sessionfile.ErrMalformed)
			return
		}
		require.LessOrEqual(t, int64(len(got)), limit)
		entries := parse(t, got)
		require.Equal(t, "user", entries[0].Type)
		require.True(t, entries[0].IsMeta)
		require.Contains(t, entries[0].blocks()[0].Text, "was removed")
		known, seen := map[string]bool{}, map[string]bool{}
		for i, e := range entries {
			for _, b := range e.blocks() {
				known[b.ID] = true
				require.True(t, b.Type != "tool_result" || known[b.ToolUseID], "a result without its call")
			}
			if e.UUID != "" {
				require.True(t, i == 0 || seen[e.ParentUUID], "an entry without its parent")
				seen[e.UUID] = true
			}
		}
		require.True(t, seen[f.parent], "the newest entry is there")
	})
}

// The CLI reads nothing before the summary that it made, so nothing is lost.
func TestReadCutsAtSummary(t *testing.T) {
	var f file
	f.add("user", `"`+strings.Repeat("x", 20<<10)+`"`)
	f.parent = ""
	begin := f.Len()
	f.add("system", `"compacted"`)
	f.add("user", `"summary"`)
	got, err := readFile(f.String(), 16<<10)
	require.NoError(t, err)
	require.Equal(t, f.String()[begin:], got)
}

func TestReadFileThatCannotBeCut(t *testing.T) {
	large := strings.Repeat("x", 20<<10)
	var oneLine, ring, opaque file
	oneLine.add("user", `"`+large+`"`)
	ring.WriteString(`{"type":"user","data":"` + large + `"}` + "\n" + `{"type":"system","uuid":"a","parentUuid":"a"}` + "\n")
	opaque.WriteString(`{"data":"` + large + `"}` + "\n" + `{"data":1}` + "\n")
	for name, f := range map[string]*file{"one line": &oneLine, "its own parent": &ring, "another format": &opaque} {
		t.Run(name, func(t *testing.T) {
			_, err := readFile(f.String(), 16<<10)
			require.ErrorIs(t, err, sessionfile.ErrMalformed)
		})
	}
}

// Messages are added below the newest entry of the conversation.
func TestAppend(t *testing.T) {
	var f file
	f.add("user", `"question"`)
	newest := f.parent
	complete := f.String()
	f.WriteString(`{"type":"user","isSidechain":true,"uuid":"of a sub-agent"}` + "\n")
	sidechain := f.String()
	f.WriteString(`{"type":"last-prompt","leafUuid":"x"}` + "\n" + `{"incomplete":`)

	got, err := sessionfile.Append([]byte(f.String()), id, "", []execution.Message{
		{Role: execution.RoleAssistant, Text: "[canceled]"}, {Role: execution.RoleUser, Text: ""}, {Role: execution.RoleUser, Text: "next"},
	})
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(got), sidechain))
	added := parse(t, strings.TrimPrefix(string(got), sidechain))
	require.Len(t, added, 2)
	require.Equal(t, newest, added[0].ParentUUID)
	require.Equal(t, "assistant", added[0].Type)
	require.Equal(t, added[0].UUID, added[1].ParentUUID)

	again, err := sessionfile.Append(got, id, "a note", []execution.Message{{Role: execution.RoleUser, Text: "next"}})
	require.NoError(t, err)
	later := parse(t, strings.TrimPrefix(string(again), string(got)))
	require.Len(t, later, 2)
	require.True(t, later[0].IsMeta)
	require.Equal(t, added[1].UUID, later[0].ParentUUID)
	require.Equal(t, later[0].UUID, later[1].ParentUUID)
	require.NotContains(t, []string{added[0].UUID, added[1].UUID}, later[1].UUID)

	got, err = sessionfile.Append([]byte(complete), id, "a note", nil)
	require.NoError(t, err)
	require.Equal(t, complete, string(got))
}

func FuzzRead(f *testing.F) {
	f.Add(`{"type":"user","uuid":"a","parentUuid":null,"message":{"content":"x"}}`+"\n", 10)
	f.Add(`{"type":1,"uuid":[],"message":[]}`+"\n{", 100)
	f.Fuzz(func(t *testing.T, data string, limit int) {
		limit = max(limit%(1<<20), 8<<10)
		got, err := readFile(data, int64(limit))
		if err != nil {
			require.ErrorIs(t, err, sessionfile.ErrMalformed)
			return
		}
		require.LessOrEqual(t, len(got), limit)
		_, err = sessionfile.Append([]byte(got), id, "a note", []execution.Message{{Role: execution.RoleUser, Text: "x"}})
		require.NoError(t, err)
	})
}
