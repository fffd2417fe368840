package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/client"
	"github.com/airlock-run/airlock/internal/process"
)

func batchCommand() *cobra.Command {
	var s serverFlags
	return commandGroup("batch", "Run an agent on many inputs", &s,
		batchSubmit(&s), batchList(&s), batchStatus(&s), batchResults(&s),
		batchAction(&s, "cancel", "Cancel the unfinished inputs of a batch", (*client.Client).CancelBatch),
		batchAction(&s, "retry", "Run the failed and timed-out inputs again, as a new batch", (*client.Client).RetryBatch))
}

func batchSubmit(s *serverFlags) *cobra.Command {
	var (
		submission batchSubmission
		results    string
		wait       bool
	)
	cmd := &cobra.Command{
		Use:   "submit FILE.jsonl --agent NAME [--wait] [-o RESULTS]",
		Short: "Submit a file with one input per line, a JSON string or {\"input\": …}; - reads standard input",
		Args:  checkArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := process.Context()
			defer stop()
			c, err := s.newClient()
			if err != nil {
				return err
			}
			b, err := submitBatch(ctx, cmd, c, args[0], &submission)
			if err != nil {
				return err
			}
			if !wait && results == "" {
				return show(s, cmd.OutOrStdout(), b, func(out io.Writer, b client.Batch) { fmt.Fprintln(out, b.Id) })
			}
			fmt.Fprintln(cmd.ErrOrStderr(), b.Id)
			if b, err = waitForBatch(ctx, cmd, c, b); err != nil {
				return err
			}
			if results != "" {
				if err := saveResults(ctx, c, b.Id, results, false); err != nil {
					return err
				}
			}
			if n := b.Total - b.Progress.Succeeded; n > 0 {
				return fmt.Errorf("%d of %d did not succeed; airlock batch results %s shows why", n, b.Total, b.Id)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&submission.agent, "agent", "", "name or ID of the agent (required)")
	submission.files.add(f)
	f.IntVar(&submission.version, "agent-version", 0, "version of the agent; default: the newest")
	f.StringVar(&submission.environment, "environment", "", "name or ID of the environment; default: the agent's")
	f.BoolVar(&wait, "wait", false, "show the progress until the batch is finished")
	f.StringVarP(&results, "output", "o", "", "wait, and write the results to this file (JSON Lines)")
	return cmd
}

// batchSubmission has the flags of a batch besides its inputs.
type batchSubmission struct {
	agent, environment string // names or IDs
	version            int
	files              inputFileFlags
}

func submitBatch(ctx context.Context, cmd *cobra.Command, c *client.Client, file string, s *batchSubmission) (client.Batch, error) {
	if s.agent == "" {
		return client.Batch{}, usageError(cmd, errors.New("--agent is missing"))
	}
	input := cmd.InOrStdin()
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return client.Batch{}, err
		}
		defer f.Close()
		input = f
	}
	a, err := findAgent(ctx, c, s.agent)
	if err != nil {
		return client.Batch{}, err
	}
	environmentID, err := findEnvironmentID(ctx, c, s.environment)
	if err != nil {
		return client.Batch{}, err
	}
	shared, err := s.files.read(ctx, c, true)
	if err != nil {
		return client.Batch{}, err
	}
	defer shared.release(ctx, c)
	if len(shared.Files) > 0 {
		lines := addFilesToLines(input, shared.Files)
		defer lines.Close()
		input = lines
	}
	return c.SubmitBatchWith(ctx, a.Id, client.BatchOptions{AgentVersion: s.version, EnvironmentID: environmentID}, input)
}

// waitForBatch shows the progress until the batch is finished.
func waitForBatch(ctx context.Context, cmd *cobra.Command, c *client.Client, b client.Batch) (client.Batch, error) {
	for {
		var err error
		if b, err = c.Batch(ctx, b.Id); err != nil {
			return b, fmt.Errorf("%w; the batch %s continues on the server", err, b.Id)
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "\r%s", progressBar(b))
		if b.Status == client.BatchFinished {
			fmt.Fprintln(cmd.ErrOrStderr())
			return b, nil
		}
		select {
		case <-ctx.Done():
			return b, fmt.Errorf("interrupted; the batch %s continues on the server", b.Id)
		case <-time.After(time.Second):
		}
	}
}

// progressBar shows the progress in one line.
func progressBar(b client.Batch) string {
	const width = 30
	p := b.Progress
	finished := p.Succeeded + p.Failed + p.TimedOut + p.Canceled + p.Missing
	filled := width * finished / max(1, b.Total)
	line := fmt.Sprintf("[%-*s] %d/%d", width, strings.Repeat("=", filled), finished, b.Total)
	if unsuccessful := finished - p.Succeeded; unsuccessful > 0 {
		line += fmt.Sprintf(", %d not succeeded", unsuccessful)
	}
	if p.Eta != "" {
		line += ", " + p.Eta + " left"
	}
	return fmt.Sprintf("%-79s", line) // overwrites the previous line
}

func batchList(s *serverFlags) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List all batches, the newest first", Args: checkArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.newClient()
			if err != nil {
				return err
			}
			return showAll(s, cmd.OutOrStdout(), c.Batches(cmd.Context()), table[client.Batch]{
				header: "ID STATUS INPUTS CREATED",
				row: func(b client.Batch) []string {
					return []string{b.Id, string(b.Status), strconv.Itoa(b.Total), formatTime(b.CreatedAt)}
				},
			})
		},
	}
}

func batchStatus(s *serverFlags) *cobra.Command {
	return readCommand(s, "status BATCH", "Show the progress of a batch", (*client.Client).Batch, showBatch)
}

func showBatch(out io.Writer, b client.Batch) {
	p := b.Progress
	fmt.Fprintf(out, "%s  %s\npending %d, queued %d, running %d, succeeded %d, failed %d, timed out %d, canceled %d, missing %d, of %d\n",
		b.Id, b.Status, p.Pending, p.Queued, p.Running, p.Succeeded, p.Failed, p.TimedOut, p.Canceled, p.Missing, b.Total)
	if p.CostUsd > 0 {
		fmt.Fprintf(out, "cost %.4f USD\n", p.CostUsd)
	}
	if p.Eta != "" {
		fmt.Fprintf(out, "about %s left\n", p.Eta)
	}
}

func batchResults(s *serverFlags) *cobra.Command {
	var (
		output string
		follow bool
	)
	cmd := &cobra.Command{
		Use: "results BATCH [-o FILE] [--follow]", Short: "Print the results in input order, as JSON Lines", Args: checkArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := process.Context()
			defer stop()
			c, err := s.newClient()
			if err != nil {
				return err
			}
			if output != "" {
				return saveResults(ctx, c, args[0], output, follow)
			}
			return writeResults(ctx, c, args[0], follow, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "write to this file")
	cmd.Flags().BoolVar(&follow, "follow", false, "wait for the results of unfinished inputs")
	return cmd
}

// saveResults writes the results to a file. They are in a temporary file beside it until all have arrived, so a failure
// leaves the old content.
func saveResults(ctx context.Context, c *client.Client, batch, file string, follow bool) error {
	if target, err := filepath.EvalSymlinks(file); err == nil {
		file = target // a rename would replace the link
	}
	mode, partial := os.FileMode(0o666), file+".part"
	if info, err := os.Stat(file); err == nil {
		mode = info.Mode().Perm()
		if !info.Mode().IsRegular() {
			partial = file // such as /dev/stdout, which has no old content and must not be replaced
		}
	}
	out, err := os.OpenFile(partial, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	err = errors.Join(writeResults(ctx, c, batch, follow, out), out.Close())
	switch {
	case partial == file:
		return err
	case err != nil:
		_ = os.Remove(partial) // the earlier error is the one to report
		return err
	default:
		return os.Rename(partial, file)
	}
}

func writeResults(ctx context.Context, c *client.Client, batch string, follow bool, out io.Writer) error {
	lines := json.NewEncoder(out)
	for r, err := range c.Results(ctx, batch, follow) {
		if err != nil {
			return err
		}
		if err := lines.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

func batchAction(s *serverFlags, verb, short string, action func(*client.Client, context.Context, string) (client.Batch, error)) *cobra.Command {
	return &cobra.Command{
		Use: verb + " BATCH", Short: short, Args: checkArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.newClient()
			if err != nil {
				return err
			}
			b, err := action(c, cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return show(s, cmd.OutOrStdout(), b, func(out io.Writer, b client.Batch) { fmt.Fprintln(out, b.Id, b.Status) })
		},
	}
}
