package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/client"
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

// readCommand returns a command that reads one thing by the ID in its argument, and shows it.
func readCommand[T any](
	s *serverFlags, use, short string, read func(*client.Client, context.Context, string) (T, error), print func(io.Writer, T),
) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: checkArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.newClient()
			if err != nil {
				return err
			}
			v, err := read(c, cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return show(s, cmd.OutOrStdout(), v, print)
		}}
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
