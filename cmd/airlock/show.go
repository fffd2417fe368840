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
func show[T any](s *server, out io.Writer, v T, people func(io.Writer, T)) error {
	if s.json {
		return json.NewEncoder(out).Encode(v)
	}
	people(out, v)
	return nil
}

// showAll prints a list, at most limit of it (0: all of it): as JSON, one
// object a line, or as a table under a header.
func showAll[T any](s *server, out io.Writer, list iter.Seq2[T, error], limit int, header string, row func(T) []string) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if !s.json {
		fmt.Fprintln(table, strings.ReplaceAll(header, " ", "\t"))
	}
	n := 0
	for one, err := range list {
		if err != nil {
			return err
		}
		if s.json {
			if err := json.NewEncoder(out).Encode(one); err != nil {
				return err
			}
		} else {
			fmt.Fprintln(table, strings.Join(row(one), "\t"))
		}
		if n++; n == limit {
			break
		}
	}
	return table.Flush()
}

// short is a text in one line of a table.
func short(text string) string {
	const most = 40
	line := []rune(strings.Join(strings.Fields(text), " "))
	if len(line) > most {
		return string(line[:most-1]) + "…"
	}
	return string(line)
}

func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format(time.DateTime)
}

// pair prints a name and a value in a column; nothing where there is no value.
func pair(out io.Writer, name, value string) {
	if value != "" {
		fmt.Fprintf(out, "%-14s %s\n", name, value)
	}
}
