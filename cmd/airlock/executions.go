package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/client"
	"github.com/airlock-run/airlock/internal/process"
)

func executionsCommand() *cobra.Command {
	var s serverFlags
	return commandGroup("executions", "List, get, follow, cancel and retry executions", &s,
		executionsList(&s), executionsGet(&s), executionsAttempts(&s), executionsLogs(&s), executionsTranscript(&s), executionsWorkspace(&s), executionsWatch(&s), executionsCancel(&s), executionsRetry(&s))
}

func executionsList(s *serverFlags) *cobra.Command {
	var (
		filter       client.Filter
		agent        string
		status, kind string
		limit        int
	)
	cmd := &cobra.Command{Use: "list", Short: "List executions, the newest first", Args: checkArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.newClient()
			if err != nil {
				return err
			}
			filter.Status, filter.Kind = client.Status(status), client.Kind(kind)
			if agent != "" {
				a, err := findAgent(cmd.Context(), c, agent)
				if err != nil {
					return err
				}
				filter.AgentID = a.Id
			}
			return showAll(s, cmd.OutOrStdout(), c.Executions(cmd.Context(), filter), table[client.Execution]{
				header: "ID STATUS KIND CREATED INPUT", limit: limit,
				row: func(e client.Execution) []string {
					return []string{e.Id, string(e.Status), string(e.Kind), formatTime(e.CreatedAt), truncate(e.Input)}
				},
			})
		}}
	f := cmd.Flags()
	f.StringVar(&status, "status", "", "queued, running, succeeded, failed, timed_out or canceled")
	f.StringVar(&kind, "kind", "", "run or conversation")
	f.StringVar(&agent, "agent", "", "name or ID of an agent")
	f.StringVar(&filter.ConversationID, "conversation", "", "ID of a conversation")
	f.StringVar(&filter.BatchID, "batch", "", "ID of a batch")
	f.StringVar(&filter.Label, "label", "", "a label, as name=value")
	f.IntVar(&limit, "limit", 20, "number of executions to show; 0: all")
	return cmd
}

func executionsGet(s *serverFlags) *cobra.Command {
	var wait bool
	cmd := &cobra.Command{Use: "get EXECUTION", Short: "Show an execution", Args: checkArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := process.Context()
			defer stop()
			c, err := s.newClient()
			if err != nil {
				return err
			}
			read := c.Execution
			if wait {
				read = c.Wait
			}
			e, err := read(ctx, args[0])
			if err != nil {
				return err
			}
			return show(s, cmd.OutOrStdout(), e, showExecution)
		}}
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until it has ended")
	return cmd
}

func showExecution(out io.Writer, e client.Execution) {
	writeField(out, "ID", e.Id)
	writeField(out, "Status", string(e.Status))
	writeField(out, "Waiting for", string(e.WaitingFor))
	writeField(out, "Kind", string(e.Kind))
	writeField(out, "Agent", e.AgentId)
	if e.AgentVersion > 0 {
		writeField(out, "Version", strconv.Itoa(e.AgentVersion))
	}
	if env := e.Environment; env.Id != "" {
		writeField(out, "Environment", fmt.Sprintf("%s, version %d", env.Id, env.Version))
	}
	writeField(out, "Conversation", e.ConversationId)
	writeField(out, "Batch", e.BatchId)
	writeField(out, "Retry of", e.RetryOf)
	for _, name := range slices.Sorted(maps.Keys(e.Labels)) {
		writeField(out, "Label", name+"="+e.Labels[name])
	}
	writeField(out, "Runtime", e.Runtime)
	writeField(out, "Model", e.Model)
	writeField(out, "Attempt", fmt.Sprint(e.Attempt))
	writeField(out, "Created", formatTime(e.CreatedAt))
	writeField(out, "Started", formatTime(e.StartedAt))
	writeField(out, "Finished", formatTime(e.FinishedAt))
	if !e.TranscriptExpiresAt.IsZero() {
		writeField(out, "Transcript", "until "+formatTime(e.TranscriptExpiresAt))
	}
	if !e.TranscriptDeletedAt.IsZero() {
		writeField(out, "Transcript", "deleted "+formatTime(e.TranscriptDeletedAt))
	}
	for _, h := range e.Network.Hosts {
		name := cmp.Or(h.Host, "further hosts")
		writeField(out, "Network", fmt.Sprintf("%s: %d connections, %d bytes sent, %d received", name, h.Connections, h.SentBytes, h.ReceivedBytes))
	}
	for _, name := range e.Network.Refused {
		writeField(out, "Refused", name)
	}
	if e.Usage.Calls > 0 {
		usage := fmt.Sprintf("%d tokens in, %d out, %.4f USD", e.Usage.InputTokens, e.Usage.OutputTokens, e.Usage.CostUsd)
		if e.Usage.EstimatedCalls > 0 {
			usage += fmt.Sprintf(" (%d of %d calls estimated)", e.Usage.EstimatedCalls, e.Usage.Calls)
		}
		writeField(out, "Usage", usage)
	}
	writeField(out, "Model wait", e.Usage.ModelWait)
	if e.Usage.OomKills > 0 {
		writeField(out, "Memory", fmt.Sprintf("%d processes killed because of the memory limit", e.Usage.OomKills))
	}
	if w := e.Workspace; w.From != "" {
		writeField(out, "Began with", "the files of "+w.From)
	}
	if w := e.Workspace; w.Size > 0 {
		writeField(out, "Workspace", fmt.Sprintf("%d bytes packed", w.Size))
	}
	if w := e.Workspace; w.Lost != "" {
		writeField(out, "Workspace", "not stored: "+string(w.Lost))
	}
	for _, f := range e.Files {
		writeField(out, "File", fmt.Sprintf("%s (%d bytes)", f.Path, f.Size))
	}
	if e.PartialText != "" {
		writeField(out, "Said so far", e.PartialText)
	}
	if e.Error.Code != "" {
		writeField(out, "Error", fmt.Sprintf("%s (%s)", e.Error.Message, e.Error.Code))
	}
	if e.Result.Text != "" {
		fmt.Fprintf(out, "\n%s\n", e.Result.Text)
	}
}

func executionsCancel(s *serverFlags) *cobra.Command {
	return &cobra.Command{Use: "cancel EXECUTION", Short: "Cancel an execution", Args: checkArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.newClient()
			if err != nil {
				return err
			}
			e, err := c.Cancel(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return show(s, cmd.OutOrStdout(), e, func(out io.Writer, e client.Execution) { fmt.Fprintln(out, e.Id, e.Status) })
		}}
}

func executionsRetry(s *serverFlags) *cobra.Command {
	return &cobra.Command{Use: "retry EXECUTION", Short: "Run an unsuccessful execution again, and print the new execution's ID", Args: checkArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.newClient()
			if err != nil {
				return err
			}
			a, err := c.Retry(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return show(s, cmd.OutOrStdout(), a, func(out io.Writer, a client.AcceptedExecution) { fmt.Fprintln(out, a.ExecutionId) })
		}}
}

func executionsLogs(s *serverFlags) *cobra.Command {
	return &cobra.Command{Use: "logs EXECUTION", Short: "Show the output and steps of an execution until it has ended", Args: checkArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := process.Context()
			defer stop()
			c, err := s.newClient()
			if err != nil {
				return err
			}
			for e, err := range c.Events(ctx, args[0]) {
				if err != nil {
					return err
				}
				if err := show(s, cmd.OutOrStdout(), e, showEvent); err != nil {
					return err
				}
			}
			return nil
		}}
}

func executionsWatch(s *serverFlags) *cobra.Command {
	return &cobra.Command{Use: "watch", Short: "Show the changes of all executions, and budget warnings, as they happen", Args: checkArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := process.Context()
			defer stop()
			c, err := s.newClient()
			if err != nil {
				return err
			}
			for ch, err := range c.Changes(ctx) {
				switch {
				case ctx.Err() != nil:
					return nil // interrupted by the user
				case err != nil:
					return err
				}
				if err := show(s, cmd.OutOrStdout(), ch, showChange); err != nil {
					return err
				}
			}
			return nil
		}}
}

func showChange(out io.Writer, ch client.Change) {
	if ch.Reload {
		fmt.Fprintln(out, "changes may be missing here: list the executions again")
		return
	}
	if w := ch.BudgetWarning; w != nil {
		whose := string(w.Scope)
		if w.AgentId != "" {
			whose += " " + w.AgentId
		}
		fmt.Fprintf(out, "%s  %s has reached its soft limit: %s of %s USD on %s\n", formatTime(w.At), whose, formatUSD(w.SpentUsd), formatUSD(w.LimitUsd), w.Day)
		return
	}
	fmt.Fprintf(out, "%s  %s  %s, attempt %d\n", formatTime(ch.At), ch.ExecutionId, ch.Status, ch.Attempt)
}

// formatUSD writes an amount with two decimals, or up to four if it has them.
func formatUSD(usd float64) string {
	text := strconv.FormatFloat(usd, 'f', 4, 64)
	return strings.TrimSuffix(strings.TrimSuffix(text, "0"), "0")
}

func showEvent(out io.Writer, e client.Event) {
	switch e.Kind {
	case "status":
		fmt.Fprintf(out, "[%s, attempt %d]\n", e.Status.Status, e.Status.Attempt)
	case "partial": // the whole text follows
	case "tool_result": // what a tool returned is long; the transcript has it
	default:
		fmt.Fprintf(out, "%-8s  %s\n", e.Kind, e.Step.Text)
	}
}
