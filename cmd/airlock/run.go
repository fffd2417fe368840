package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/client"
	"github.com/airlock-run/airlock/internal/process"
)

func runCommand() *cobra.Command {
	var (
		s           serverFlags
		agent       string
		environment string
		version     int
		files       inputFileFlags
		labels      map[string]string
		from        string
		wait        bool
	)
	cmd := &cobra.Command{
		Use:   "run [--agent NAME] [--wait] PROMPT",
		Short: "Submit a prompt, to an agent or to a new conversation; - reads standard input",
		Args:  checkArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			prompt, err := textOrStdin(cmd, args[0])
			if err != nil {
				return err
			}
			if agent == "" && len(labels)+len(from)+version > 0 {
				return usageError(cmd, errors.New("--label, --workspace-from and --agent-version need --agent"))
			}
			ctx, stop := process.Context()
			defer stop()
			c, err := s.newClient()
			if err != nil {
				return err
			}
			environmentID, err := findEnvironmentID(ctx, c, environment)
			if err != nil {
				return err
			}
			input, err := files.read(ctx, c, false)
			if err != nil {
				return err
			}
			accepted, err := submitPrompt(ctx, c, agent, client.RunAgent{
				Input: prompt, AgentVersion: version, EnvironmentId: environmentID, Files: input.Files, Labels: labels, Workspace: client.WorkspaceSource{From: from},
			})
			input.release(ctx, c)
			if err != nil {
				return err
			}
			if !wait {
				return show(&s, cmd.OutOrStdout(), accepted, func(out io.Writer, a client.AcceptedExecution) { fmt.Fprintln(out, a.ExecutionId) })
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s %s\n", accepted.ExecutionId, accepted.Status)
			e, err := waitForExecution(ctx, c, accepted.ExecutionId)
			if err != nil {
				return err
			}
			return showOutcome(&s, cmd, e)
		},
	}
	f := cmd.Flags()
	s.addServerFlag(f)
	s.addJSONFlag(f)
	f.StringVar(&agent, "agent", "", "name or ID of the agent that runs the prompt")
	f.IntVar(&version, "agent-version", 0, "version of the agent; default: the newest")
	f.StringVar(&environment, "environment", "", "name or ID of the environment; default: the agent's")
	files.add(f)
	f.StringToStringVar(&labels, "label", nil, "labels of the run, as name=value")
	f.StringVar(&from, "workspace-from", "", "execution with whose files the run begins")
	f.BoolVar(&wait, "wait", false, "wait for the execution and print its result")
	return cmd
}

// submitPrompt runs an agent, or begins a conversation if no agent is named.
func submitPrompt(ctx context.Context, c *client.Client, agent string, run client.RunAgent) (client.AcceptedExecution, error) {
	if agent == "" {
		return c.SendMessage(ctx, client.SendMessage{Message: run.Input, EnvironmentId: run.EnvironmentId, Files: run.Files})
	}
	a, err := findAgent(ctx, c, agent)
	if err != nil {
		return client.AcceptedExecution{}, err
	}
	return c.Run(ctx, a.Id, run)
}

// waitForExecution waits for the end of an execution, without a limit.
func waitForExecution(ctx context.Context, c *client.Client, executionID string) (client.Execution, error) {
	e, err := c.Wait(ctx, executionID)
	switch {
	case errors.Is(err, context.Canceled):
		err = errors.New("interrupted")
		fallthrough
	case err != nil:
		return e, fmt.Errorf("%w; the execution %s continues on the server", err, executionID)
	}
	return e, nil
}

// showOutcome prints the result of an execution. An unsuccessful execution is an error, so that a script notices it.
func showOutcome(s *serverFlags, cmd *cobra.Command, e client.Execution) error {
	if s.jsonOutput {
		if err := json.NewEncoder(cmd.OutOrStdout()).Encode(e); err != nil {
			return err
		}
	}
	if e.Status != client.StatusSucceeded {
		return executionError(e)
	}
	if s.jsonOutput {
		return nil
	}
	fmt.Fprintln(cmd.OutOrStdout(), e.Result.Text)
	if e.Result.Truncated {
		fmt.Fprintf(cmd.ErrOrStderr(), "The result has %d bytes and is cut here; the whole result: %s%s\n", e.Result.Size, s.baseURL, e.Result.Url)
	}
	for _, f := range e.Files {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s (%d bytes): %s%s\n", f.Path, f.Size, s.baseURL, f.Url)
	}
	return nil
}

func executionError(e client.Execution) error {
	return fmt.Errorf("%s %s: %s (%s)", e.Id, e.Status, e.Error.Message, e.Error.Code)
}
