// Package stdinform writes and reads the form in which a program gets the earlier messages of a conversation on its
// standard input: lines that begin with a mark, and after the last mark the new message, unchanged. Each line of an
// earlier message begins with "| ", so no message can contain a mark. The package touches no file system.
// docs/runtimes.md describes the form.
package stdinform

import (
	"regexp"
	"strings"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Bounds of the earlier messages, in bytes of their texts.
const (
	maxMessageBytes = 64 << 10  // the rest of a longer message is left out
	maxBytes        = 256 << 10 // of all messages; the oldest ones are left out
)

// The marks. Each is one line.
const (
	markPrefix = "[airlock: "
	linePrefix = "| "

	markAll      = markPrefix + `the earlier messages of this conversation, the oldest first. Each of their lines begins with "| ".]`
	markNewest   = markPrefix + `the newest messages of this conversation, the oldest first; you may remember some. Each of their lines begins with "| ".]`
	markOmitted  = markPrefix + "older messages are left out.]"
	markUser     = markPrefix + "user]"
	markReply    = markPrefix + "assistant]"
	markNoAnswer = markPrefix + "assistant, in a turn without an answer]"
	markCut      = markPrefix + "the rest of this message is left out.]"
	markMessage  = markPrefix + "the new message]"
)

// lineEnd matches everything that a reader may take for the end of a line.
var lineEnd = regexp.MustCompile("\r\n|[\n\v\f\r\u0085\u2028\u2029]")

// Encode returns a message after the earlier messages. With remembers the reader has a session, and history is what it
// may not have. A message without a history is returned as it is, unless it begins like a mark.
func Encode(history []execution.Message, remembers bool, message string) []byte {
	kept := newest(history)
	if len(kept) == 0 && !strings.HasPrefix(message, markPrefix) {
		return []byte(message)
	}
	var b strings.Builder
	writeLine := func(line string) { b.WriteString(line + "\n") }
	if len(kept) > 0 {
		begin := markAll
		if remembers {
			begin = markNewest
		}
		writeLine(begin)
		if len(kept) < len(history) || !remembers && kept[0].Turn > 1 {
			writeLine(markOmitted)
		}
	}
	for _, m := range kept {
		writeLine(mark(m))
		text := execution.TruncateText(m.Text, maxMessageBytes)
		for _, line := range lineEnd.Split(text, -1) {
			writeLine(linePrefix + line)
		}
		if len(text) < len(m.Text) {
			writeLine(markCut)
		}
	}
	writeLine(markMessage)
	b.WriteString(message)
	return []byte(b.String())
}

// newest returns the newest messages that fit.
func newest(history []execution.Message) []execution.Message {
	size := 0
	for i := len(history) - 1; i >= 0; i-- {
		if size += min(len(history[i].Text), maxMessageBytes); size > maxBytes {
			return history[i+1:]
		}
	}
	return history
}

func mark(m execution.Message) string {
	switch {
	case m.Role == execution.RoleUser:
		return markUser
	case m.Failed:
		return markNoAnswer
	default:
		return markReply
	}
}

// Decode returns the messages that Encode wrote, with line feeds at the ends of their lines, and the new one. ok is
// false if the text begins with a mark, and Encode does not write it.
func Decode(text string) (history []execution.Message, message string, ok bool) {
	if !strings.HasPrefix(text, markPrefix) {
		return nil, text, true
	}
	for {
		line, rest, found := strings.Cut(text, "\n")
		if !found {
			return nil, "", false
		}
		text = rest
		switch line {
		case markAll, markNewest, markOmitted, markCut:
		case markUser:
			history = append(history, execution.Message{Role: execution.RoleUser})
		case markReply, markNoAnswer:
			history = append(history, execution.Message{Role: execution.RoleAssistant, Failed: line == markNoAnswer})
		case markMessage:
			for i := range history {
				history[i].Text = strings.TrimPrefix(history[i].Text, "\n")
			}
			return history, text, true
		default:
			said, isText := strings.CutPrefix(line, linePrefix)
			if !isText || len(history) == 0 {
				return nil, "", false
			}
			history[len(history)-1].Text += "\n" + said
		}
	}
}
