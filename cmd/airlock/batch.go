package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/process"
)

func batchCommand() *cobra.Command {
	var c client
	cmd := &cobra.Command{Use: "batch", Short: "Run an agent on many inputs", Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	serverFlag(cmd.PersistentFlags(), &c)
	cmd.AddCommand(batchSubmit(&c), batchStatus(&c), batchResults(&c),
		batchPost(&c, "cancel", "Cancel what is left of a batch"),
		batchPost(&c, "retry", "Run the inputs that failed or timed out again, as a new batch"))
	return cmd
}

func batchSubmit(c *client) *cobra.Command {
	var (
		agent, results string
		wait           bool
	)
	cmd := &cobra.Command{
		Use:   "submit FILE.jsonl --agent NAME [--wait] [-o RESULTS]",
		Short: "Submit a file with one input a line, a JSON string or {\"input\": …}; - reads standard input",
		Args:  usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := process.Context()
			defer stop()
			b, err := submitBatch(ctx, cmd, *c, args[0], agent)
			if err != nil {
				return err
			}
			if !wait && results == "" {
				fmt.Fprintln(cmd.OutOrStdout(), b.Id)
				return nil
			}
			fmt.Fprintln(cmd.ErrOrStderr(), b.Id)
			if b, err = followBatch(ctx, cmd, *c, b); err != nil {
				return err
			}
			if results != "" {
				if err := saveResults(ctx, *c, b.Id, results, false); err != nil {
					return err
				}
			}
			if n := b.Total - b.Progress.Succeeded; n > 0 {
				return fmt.Errorf("%d of %d did not succeed; airlock batch results %s says why", n, b.Total, b.Id)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&agent, "agent", "", "name or ID of the agent (required)")
	f.BoolVar(&wait, "wait", false, "show the progress until the batch has ended")
	f.StringVarP(&results, "output", "o", "", "wait, and write the results to this file (JSON Lines)")
	return cmd
}

func submitBatch(ctx context.Context, cmd *cobra.Command, c client, file, agent string) (contract.Batch, error) {
	var b contract.Batch
	if agent == "" {
		return b, usage(cmd, errors.New("--agent is missing"))
	}
	input := cmd.InOrStdin()
	if file != "-" {
		opened, err := os.Open(file)
		if err != nil {
			return b, err
		}
		defer opened.Close()
		input = opened
	}
	id, err := c.agentID(ctx, agent)
	if err != nil {
		return b, err
	}
	return b, c.send(ctx, "/agents/"+id+"/batches", "application/jsonl", input, &b)
}

// followBatch shows the progress until the batch has ended.
func followBatch(ctx context.Context, cmd *cobra.Command, c client, b contract.Batch) (contract.Batch, error) {
	for {
		if err := c.call(ctx, http.MethodGet, b.Urls.Self, nil, &b); err != nil {
			return b, fmt.Errorf("%w; the batch %s goes on without this command", err, b.Id)
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "\r%s", bar(b))
		if b.Status == contract.BatchEnded {
			fmt.Fprintln(cmd.ErrOrStderr())
			return b, nil
		}
		select {
		case <-ctx.Done():
			return b, fmt.Errorf("interrupted; the batch %s goes on without this command", b.Id)
		case <-time.After(time.Second):
		}
	}
}

// bar draws the progress in one line.
func bar(b contract.Batch) string {
	const width = 30
	p := b.Progress
	ended := p.Succeeded + p.Failed + p.TimedOut + p.Canceled
	full := width * ended / max(1, b.Total)
	line := fmt.Sprintf("[%-*s] %d/%d", width, strings.Repeat("=", full), ended, b.Total)
	if bad := ended - p.Succeeded; bad > 0 {
		line += fmt.Sprintf(", %d not succeeded", bad)
	}
	if p.Eta != "" {
		line += ", " + p.Eta + " left"
	}
	return fmt.Sprintf("%-79s", line) // covers what stood there
}

func batchStatus(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "status BATCH", Short: "Show how far a batch is", Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var b contract.Batch
			if err := c.call(cmd.Context(), http.MethodGet, "/batches/"+url.PathEscape(args[0]), nil, &b); err != nil {
				return err
			}
			showBatch(cmd.OutOrStdout(), b)
			return nil
		},
	}
}

func showBatch(out io.Writer, b contract.Batch) {
	p := b.Progress
	fmt.Fprintf(out, "%s  %s\npending %d, queued %d, running %d, succeeded %d, failed %d, timed out %d, canceled %d, of %d\n",
		b.Id, b.Status, p.Pending, p.Queued, p.Running, p.Succeeded, p.Failed, p.TimedOut, p.Canceled, b.Total)
	if p.CostUsd > 0 {
		fmt.Fprintf(out, "cost %.4f USD\n", p.CostUsd)
	}
	if p.Eta != "" {
		fmt.Fprintf(out, "about %s left\n", p.Eta)
	}
}

func batchResults(c *client) *cobra.Command {
	var (
		output string
		follow bool
	)
	cmd := &cobra.Command{
		Use: "results BATCH [-o FILE] [--follow]", Short: "Print the results in input order, as JSON Lines", Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := process.Context()
			defer stop()
			if output != "" {
				return saveResults(ctx, *c, args[0], output, follow)
			}
			return c.copyResults(ctx, args[0], follow, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "write to this file")
	cmd.Flags().BoolVar(&follow, "follow", false, "wait for the results that are not there yet")
	return cmd
}

func saveResults(ctx context.Context, c client, batch, file string, follow bool) error {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := c.copyResults(ctx, batch, follow, out); err != nil {
		_ = out.Close() // what failed before is what counts
		return err
	}
	return out.Close()
}

func batchPost(c *client, verb, short string) *cobra.Command {
	return &cobra.Command{
		Use: verb + " BATCH", Short: short, Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var b contract.Batch
			if err := c.call(cmd.Context(), http.MethodPost, "/batches/"+url.PathEscape(args[0])+"/"+verb, nil, &b); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), b.Id, b.Status)
			return nil
		},
	}
}
