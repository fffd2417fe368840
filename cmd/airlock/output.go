package main

import (
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"strings"
	"text/tabwriter"
	"time"
)

// show prints one resource: as JSON, or as writeText writes it for people.
func show[T any](s *serverFlags, out io.Writer, v T, writeText func(io.Writer, T)) error {
	if s.jsonOutput {
		return json.NewEncoder(out).Encode(v)
	}
	writeText(out, v)
	return nil
}

// table describes how a list is printed for people.
type table[T any] struct {
	header string // titles of the columns, separated by blanks
	row    func(T) []string
	limit  int // number of items; 0: all
}

// showAll prints a list: as JSON, one object per line, or as a table.
func showAll[T any](s *serverFlags, out io.Writer, list iter.Seq2[T, error], t table[T]) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if !s.jsonOutput {
		fmt.Fprintln(w, strings.ReplaceAll(t.header, " ", "\t"))
	}
	n := 0
	for item, err := range list {
		if err != nil {
			return err
		}
		if s.jsonOutput {
			if err := json.NewEncoder(out).Encode(item); err != nil {
				return err
			}
		} else {
			fmt.Fprintln(w, strings.Join(t.row(item), "\t"))
		}
		if n++; n == t.limit {
			break
		}
	}
	return w.Flush()
}

// truncate shortens a text to one cell of a table.
func truncate(text string) string {
	const maxRunes = 40
	line := []rune(strings.Join(strings.Fields(text), " "))
	if len(line) > maxRunes {
		return string(line[:maxRunes-1]) + "…"
	}
	return string(line)
}

func formatTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format(time.DateTime)
}

// writeField prints a name and its value; nothing if the value is empty.
func writeField(out io.Writer, name, value string) {
	if value != "" {
		fmt.Fprintf(out, "%-14s %s\n", name, value)
	}
}
