package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/client"
)

func agentsCommand() *cobra.Command {
	var s serverFlags
	return commandGroup("agents", "List, get, create, edit and delete agents, and see their versions", &s,
		agentsList(&s), agentsGet(&s), agentsCreate(&s), agentsEdit(&s), agentsVersions(&s), agentsRollback(&s), agentsDelete(&s))
}

func agentsList(s *serverFlags) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List all agents, the newest first", Args: checkArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.newClient()
			if err != nil {
				return err
			}
			return showAll(s, cmd.OutOrStdout(), c.Agents(cmd.Context()), table[client.Agent]{
				header: "ID NAME RUNTIME MODEL UPDATED",
				row: func(a client.Agent) []string {
					return []string{a.Id, truncate(a.Name), a.Runtime, cmp.Or(a.Model, "-"), formatTime(a.UpdatedAt)}
				},
			})
		}}
}

func agentsGet(s *serverFlags) *cobra.Command {
	version := 0
	cmd := &cobra.Command{Use: "get AGENT [--version N]", Short: "Show an agent, by its name or ID; --json shows all of it", Args: checkArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.newClient()
			if err != nil {
				return err
			}
			a, err := findAgent(cmd.Context(), c, args[0])
			if err == nil {
				a, err = wholeAgent(cmd.Context(), c, a, version)
			}
			if err != nil {
				return err
			}
			return show(s, cmd.OutOrStdout(), a, showAgent)
		}}
	cmd.Flags().IntVar(&version, "version", 0, "show the agent as it was in this version")
	return cmd
}

func showAgent(out io.Writer, a client.Agent) {
	writeField(out, "ID", a.Id)
	writeField(out, "Name", a.Name)
	writeField(out, "Description", a.Description)
	writeField(out, "Runtime", a.Runtime)
	writeField(out, "Model", a.Model)
	writeField(out, "Timeout", a.Timeout)
	writeField(out, "Transcripts", a.TranscriptRetention)
	writeField(out, "Environment", a.EnvironmentId)
	if !a.Conversations {
		writeField(out, "Conversations", "no")
	}
	if a.Budget.MaxTokens > 0 {
		writeField(out, "Budget", fmt.Sprintf("%d tokens", a.Budget.MaxTokens))
	}
	if a.Budget.MaxCostUsd > 0 {
		writeField(out, "Budget", fmt.Sprintf("%g USD", a.Budget.MaxCostUsd))
	}
	if a.DailyBudget.Usd > 0 {
		writeField(out, "Daily budget", fmt.Sprintf("%g USD", a.DailyBudget.Usd))
	}
	if a.Retry.MaxAttempts > 1 {
		writeField(out, "Attempts", fmt.Sprintf("at most %d", a.Retry.MaxAttempts))
	}
	showSettings(out, a)
	writeField(out, "Version", strconv.Itoa(a.Version))
	writeField(out, "Created", formatTime(a.CreatedAt))
	writeField(out, "Updated", formatTime(a.UpdatedAt))
	fmt.Fprintf(out, "\n%s\n", a.Instructions)
}

// agentFields are the flags of an agent that hold a text.
var agentFields = []struct{ flag, field, usage string }{
	{"name", "name", "name of the agent"},
	{"description", "description", "purpose of the agent"},
	{"instructions", "instructions", "what the agent does with its input; - reads standard input"},
	{"runtime", "runtime", "runtime; default: the server's"},
	{"model", "model", "model for the runtime; default: the runtime's"},
	{"timeout", "timeout", "longest duration of one run, such as 90s"},
	{"transcript-retention", "transcriptRetention", "how long a transcript is stored after the end of its execution, such as 72h; default: as long as the tenant allows"},
}

func agentFlags(cmd *cobra.Command) {
	for _, f := range agentFields {
		cmd.Flags().String(f.flag, "", f.usage)
	}
	cmd.Flags().String("environment", "", "name or ID of the environment of the agent's executions")
	cmd.Flags().Int64("max-tokens", 0, "tokens that one run may use")
	cmd.Flags().Float64("max-cost", 0, "US dollars that one run may cost")
	settingFlags(cmd)
}

// agentPatch holds the fields whose flags are set. An empty text, or 0, resets a field to its default.
func agentPatch(cmd *cobra.Command) (client.Patch, error) {
	patch, err := readSettings(cmd)
	if err != nil {
		return nil, err
	}
	for _, f := range agentFields {
		if !cmd.Flags().Changed(f.flag) {
			continue
		}
		text, err := cmd.Flags().GetString(f.flag)
		if err == nil && f.flag == "instructions" {
			text, err = textOrStdin(cmd, text)
		}
		if err != nil {
			return nil, err
		}
		patch[f.field] = nilIfZero(text)
	}
	budget := client.Patch{}
	if cmd.Flags().Changed("max-tokens") {
		n, err := cmd.Flags().GetInt64("max-tokens")
		if err != nil {
			return nil, err
		}
		budget["maxTokens"] = nilIfZero(n)
	}
	if cmd.Flags().Changed("max-cost") {
		n, err := cmd.Flags().GetFloat64("max-cost")
		if err != nil {
			return nil, err
		}
		budget["maxCostUsd"] = nilIfZero(n)
	}
	if fromFile, ok := patch["budget"].(map[string]any); ok {
		maps.Copy(fromFile, budget)
	} else if len(budget) > 0 {
		patch["budget"] = budget
	}
	return patch, nil
}

func nilIfZero[T comparable](v T) any {
	var zero T
	if v == zero {
		return nil
	}
	return v
}

func agentsCreate(s *serverFlags) *cobra.Command {
	cmd := &cobra.Command{Use: "create --name NAME --instructions TEXT | --from FILE", Short: "Create an agent and print its ID", Args: checkArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			fields, err := agentPatch(cmd)
			if err != nil {
				return err
			}
			c, err := s.newClient()
			if err != nil {
				return err
			}
			if err := addEnvironment(cmd, c, fields); err != nil {
				return err
			}
			a, err := newAgent(fields)
			if err != nil {
				return usageError(cmd, err)
			}
			created, err := c.CreateAgent(cmd.Context(), a)
			if err != nil {
				return err
			}
			return show(s, cmd.OutOrStdout(), created, func(out io.Writer, a client.Agent) { fmt.Fprintln(out, a.Id) })
		}}
	agentFlags(cmd)
	return cmd
}

func agentsEdit(s *serverFlags) *cobra.Command {
	ifVersion := 0
	cmd := &cobra.Command{Use: "edit AGENT [--name NAME] … [--from FILE]", Short: "Change the fields whose flags are set; an empty value resets a field to its default", Args: checkArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			patch, err := agentPatch(cmd)
			if err != nil {
				return err
			}
			if len(patch) == 0 && !cmd.Flags().Changed("environment") {
				return usageError(cmd, errors.New("no flag names a field to change"))
			}
			if ifVersion > 0 {
				patch["version"] = ifVersion
			}
			c, err := s.newClient()
			if err != nil {
				return err
			}
			if err := addEnvironment(cmd, c, patch); err != nil {
				return err
			}
			a, err := findAgent(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			if a, err = c.UpdateAgent(cmd.Context(), a.Id, patch); err != nil {
				return err
			}
			return show(s, cmd.OutOrStdout(), a, showAgent)
		}}
	agentFlags(cmd)
	cmd.Flags().IntVar(&ifVersion, "if-version", 0, "change the agent only if this is its newest version")
	return cmd
}

func agentsDelete(s *serverFlags) *cobra.Command {
	return deleteCommand(s, "delete AGENT", "Delete an agent; its accepted executions still run",
		func(ctx context.Context, c *client.Client, nameOrID string) error {
			a, err := findAgent(ctx, c, nameOrID)
			if err != nil {
				return err
			}
			return c.DeleteAgent(ctx, a.Id)
		})
}

// deleteCommand returns a command that deletes one resource by its name or ID.
func deleteCommand(s *serverFlags, use, short string, remove func(ctx context.Context, c *client.Client, nameOrID string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: checkArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.newClient()
			if err != nil {
				return err
			}
			return remove(cmd.Context(), c, args[0])
		}}
}

// findAgent finds an agent by its ID, or by its name if only one agent has that name.
func findAgent(ctx context.Context, c *client.Client, nameOrID string) (client.Agent, error) {
	if strings.HasPrefix(nameOrID, "agt_") {
		if a, err := c.Agent(ctx, nameOrID); err == nil || !client.IsNotFound(err) {
			return a, err
		}
	}
	return findByName("agent", nameOrID, c.Agents(ctx), func(a client.Agent) (id, name string) { return a.Id, a.Name })
}

// findByName finds the one resource of a list that has a name.
func findByName[T any](resource, wanted string, list iter.Seq2[T, error], names func(T) (id, name string)) (T, error) {
	var (
		found, none T
		ids         []string
	)
	for v, err := range list {
		if err != nil {
			return none, err
		}
		if id, name := names(v); name == wanted {
			found, ids = v, append(ids, id)
		}
	}
	switch len(ids) {
	case 0:
		return none, fmt.Errorf("there is no %s %q", resource, wanted)
	case 1:
		return found, nil
	default:
		return none, fmt.Errorf("several %ss have this name; use the ID of one of them: %v", resource, ids)
	}
}
