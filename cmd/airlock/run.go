package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/process"
)

func runCommand() *cobra.Command {
	var (
		c     client
		agent string
		files []string
		wait  bool
	)
	cmd := &cobra.Command{
		Use:   "run [--agent NAME] [--wait] PROMPT",
		Short: "Submit a prompt, to an agent or to a new conversation; - reads standard input",
		Args:  usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			prompt := args[0]
			if prompt == "-" {
				text, err := io.ReadAll(cmd.InOrStdin())
				if err != nil {
					return err
				}
				prompt = string(text)
			}
			ctx, stop := process.Context()
			defer stop()
			given, err := givenFiles(files)
			if err != nil {
				return err
			}
			if agent == "" && len(given) > 0 {
				return fmt.Errorf("%w: --file needs --agent", errUsage)
			}
			return submit(ctx, cmd, c, agent, contract.RunAgent{Input: prompt, Files: given}, wait)
		},
	}
	f := cmd.Flags()
	serverFlag(f, &c)
	f.StringVar(&agent, "agent", "", "name or ID of the agent that runs the prompt")
	f.StringArrayVar(&files, "file", nil, "file that the agent is given in its folder, by its name alone; may be repeated")
	f.BoolVar(&wait, "wait", false, "follow the execution and print its result")
	return cmd
}

func submit(ctx context.Context, cmd *cobra.Command, c client, agent string, run contract.RunAgent, wait bool) error {
	var accepted contract.Accepted
	if agent == "" {
		if err := c.call(ctx, http.MethodPost, "/api/conversation", contract.SendMessage{Message: run.Input}, &accepted); err != nil {
			return err
		}
	} else {
		id, err := c.agentID(ctx, agent)
		if err != nil {
			return err
		}
		if err := c.call(ctx, http.MethodPost, "/agents/"+id+"/run", run, &accepted); err != nil {
			return err
		}
	}
	if !wait {
		fmt.Fprintln(cmd.OutOrStdout(), accepted.ExecutionId)
		return nil
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s %s\n", accepted.ExecutionId, accepted.Status)
	e, err := c.follow(ctx, accepted)
	if err != nil {
		return err
	}
	if e.Status != contract.StatusSucceeded {
		return fmt.Errorf("%s %s: %s (%s)", e.Id, e.Status, e.Error.Message, e.Error.Code)
	}
	fmt.Fprintln(cmd.OutOrStdout(), e.Result.Text)
	if e.Result.Truncated {
		fmt.Fprintf(cmd.ErrOrStderr(), "This is the beginning of a result of %d bytes; all of it: %s%s\n", e.Result.Size, c.base, e.Result.Url)
	}
	for _, f := range e.Files {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s (%d bytes): %s%s\n", f.Path, f.Size, c.base, f.Url)
	}
	return nil
}

// follow waits for the end of an execution, however long that takes.
func (c client) follow(ctx context.Context, a contract.Accepted) (contract.Execution, error) {
	for {
		var e contract.Execution
		if err := c.call(ctx, http.MethodGet, a.Urls.Self+"?wait=30s", nil, &e); err != nil {
			return e, fmt.Errorf("%w; the execution %s goes on without this command", err, a.ExecutionId)
		}
		if e.Status != contract.StatusQueued && e.Status != contract.StatusRunning {
			return e, nil
		}
	}
}

// agentID finds an agent by its ID or its name, which must be the only one of that name.
func (c client) agentID(ctx context.Context, agent string) (string, error) {
	var list contract.AgentList
	if err := c.call(ctx, http.MethodGet, "/agents", nil, &list); err != nil {
		return "", err
	}
	var found []string
	for _, a := range list.Agents {
		if a.Id == agent {
			return a.Id, nil
		}
		if a.Name == agent {
			found = append(found, a.Id)
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("there is no agent %q", agent)
	case 1:
		return found[0], nil
	default:
		return "", errors.New("several agents have this name; give the ID of one of them: " + fmt.Sprint(found))
	}
}
