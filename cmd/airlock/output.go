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

// show prints one resource: as JSON, or as people says.
func show[T any](s *serverFlags, out io.Writer, v T, writeText func(io.Writer, T)) error {
	if s.jsonOutput {
		return json.NewEncoder(out).Encode(v)
	}
	writeText(out, v)
	return nil
}

// showAll prints a list, at most limit of it (0: all of it): as JSON, one
// object a line, or as a table under a header.
func showAll[T any](s *serverFlags, out io.Writer, list iter.Seq2[T, error], limit int, header string, row func(T) []string) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if !s.jsonOutput {
		fmt.Fprintln(table, strings.ReplaceAll(header, " ", "\t"))
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
			fmt.Fprintln(table, strings.Join(row(item), "\t"))
		}
		if n++; n == limit {
			break
		}
	}
	return table.Flush()
}

// short is a text in one line of a table.
func truncate(text string) string {
	const most = 40
	line := []rune(strings.Join(strings.Fields(text), " "))
	if len(line) > most {
		return string(line[:most-1]) + "…"
	}
	return string(line)
}

func formatTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format(time.DateTime)
}

// pair prints a name and a value in a column; nothing where there is no value.
func writeField(out io.Writer, name, value string) {
	if value != "" {
		fmt.Fprintf(out, "%-14s %s\n", name, value)
	}
}
