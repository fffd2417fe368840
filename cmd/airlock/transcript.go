package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/client"
	"github.com/airlock-run/airlock/internal/process"
)

func executionsTranscript(s *serverFlags) *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use: "transcript EXECUTION", Short: "Show all that the agent of an execution said and did", Args: checkArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := process.Context()
			defer stop()
			c, err := s.newClient()
			if err != nil {
				return err
			}
			for item, err := range c.Transcript(ctx, args[0], follow) {
				switch {
				case ctx.Err() != nil:
					return nil // interrupted by the user
				case err != nil:
					return err
				}
				if err := show(s, cmd.OutOrStdout(), item, showTranscriptItem); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the execution has finished")
	return cmd
}

// showTranscriptItem prints an item: what the agent says as it is, and the rest behind a mark.
func showTranscriptItem(out io.Writer, i client.TranscriptItem) {
	text := i.Text
	if i.Truncated {
		text += " …"
	}
	indent := ""
	if i.Parent != "" {
		indent = "  | " // of a sub-agent
	}
	switch i.Type {
	case client.TranscriptText, client.TranscriptOutput:
	case client.TranscriptToolCall:
		text = fmt.Sprintf("> %s %s", i.Tool, compact(i.Input))
	case client.TranscriptToolResult:
		mark := "< "
		if i.IsError {
			mark = "! "
		}
		text = mark + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n  ")
	case client.TranscriptEnd:
		text = fmt.Sprintf("-- attempt %d: %s", i.Attempt, text)
	default:
		text = fmt.Sprintf("-- %s: %s", i.Type, text)
	}
	fmt.Fprintln(out, indent+strings.ReplaceAll(text, "\n", "\n"+indent))
}

// compact returns the input of a tool on one line.
func compact(input json.RawMessage) string {
	var values map[string]any
	if json.Unmarshal(input, &values) == nil && len(values) == 1 {
		for _, value := range values {
			if text, ok := value.(string); ok {
				return text
			}
		}
	}
	return string(input)
}
