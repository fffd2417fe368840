package sessionfile

import (
	"bytes"
	"fmt"
	"io"
	"slices"

	"github.com/google/uuid"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// removedNote tells the agent why its conversation has no beginning.
const removedNote = "[The beginning of this conversation was removed because it was too long. What follows is its newest part.]"

// maxNoteBytes is more than the note and the changed line add to a file.
const maxNoteBytes = 4 << 10

// Read returns a file that an agent left, in at most maxBytes. Lines that are not JSON objects are left out, such as
// the last line of a CLI that was killed. Of a longer file it returns the newest part, with a note to the agent in
// front unless the agent does not read the rest any more. The part begins where no result of a tool is separated from
// its call. The error is ErrMalformed if nothing is left.
func Read(file *io.SectionReader, id uuid.UUID, maxBytes int64) ([]byte, error) {
	tooLong := file.Size() > maxBytes
	offset := int64(0)
	if tooLong {
		offset = file.Size() - maxBytes + maxNoteBytes
	}
	data := make([]byte, file.Size()-offset)
	if _, err := io.ReadFull(io.NewSectionReader(file, offset, file.Size()-offset), data); err != nil {
		return nil, err
	}
	if tooLong {
		_, data, _ = bytes.Cut(data, []byte("\n")) // the first line is probably incomplete
	}
	lines, dropped := parseLines(data)
	if len(lines) == 0 {
		return nil, fmt.Errorf("%w: it has no JSON object", ErrMalformed)
	}
	switch {
	case tooLong:
		return newestPart(lines, id, len(data))
	case dropped:
		return joinLines(lines), nil
	default:
		return data, nil
	}
}

// newestPart returns the lines from the first entry at which a session can begin. If the agent has compacted the
// conversation, it returns all lines: the agent reads from its summary on, which has no parent, and some entries before
// that, to which the summary refers.
func newestPart(lines []line, id uuid.UUID, size int) ([]byte, error) {
	entries, complete := chain(lines)
	if complete {
		return joinLines(lines), nil
	}
	first := firstEntry(lines, entries)
	if first < 0 {
		return nil, fmt.Errorf("%w: no entry of its newest part can be the first", ErrMalformed)
	}
	w := writer{id: id, seed: uuid.NewSHA1(id, []byte(lines[first].UUID))}
	w.out.Grow(size + maxNoteBytes)
	if err := w.writeNote(removedNote); err != nil {
		return nil, err
	}
	begin, err := lines[first].withParent(*w.parent)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	w.out.Write(begin.raw)
	for _, l := range lines[first+1:] {
		w.out.Write(l.raw)
	}
	return w.out.Bytes(), nil
}

// firstEntry returns the index of the oldest entry at which a session can begin; -1 if there is none. It is a message
// of the user, or the first entry of an answer, and all results after it belong to calls after it.
func firstEntry(lines []line, entries []int) int {
	first, next := -1, len(entries)-1
	withoutCall := map[string]bool{}
	for i := len(lines) - 1; i >= 0 && next >= 0; i-- {
		calls, results := lines[i].toolBlocks()
		for _, result := range results {
			withoutCall[result] = true
		}
		for _, call := range calls {
			delete(withoutCall, call)
		}
		if i != entries[next] {
			continue
		}
		beginsAnswer := lines[i].Type == typeAssistant && next > 0 && lines[entries[next-1]].Type != typeAssistant
		if len(withoutCall) == 0 && (lines[i].Type == typeUser || beginsAnswer) {
			first = i
		}
		next--
	}
	return first
}

// HasUserMessage reports whether a part of a session file has a message of the user, or a result of a tool.
func HasUserMessage(data []byte) bool {
	lines, _ := parseLines(data)
	return slices.ContainsFunc(lines, func(l line) bool { return l.Type == typeUser })
}

// Append returns a session file with later messages at its end, after a note to the agent, unless that is empty.
func Append(data []byte, id uuid.UUID, note string, messages []execution.Message) ([]byte, error) {
	if len(messages) == 0 {
		return data, nil
	}
	lines, _ := parseLines(data)
	w := writer{id: id, seed: id}
	w.out.Grow(len(data))
	for _, l := range lines {
		if l.Type != typeLastPrompt { // it would name another entry than the last
			w.out.Write(l.raw)
		}
	}
	if newest := newestEntry(lines); newest >= 0 {
		w.seed = uuid.NewSHA1(id, []byte(lines[newest].UUID))
		if parent, err := uuid.Parse(lines[newest].UUID); err == nil {
			w.parent = &parent
		}
	}
	if err := w.writeConversation(note, messages); err != nil {
		return nil, err
	}
	return w.out.Bytes(), nil
}
