package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/client"
)

func executorCommand() *cobra.Command {
	s := serverFlags{operator: true}
	return commandGroup("executor", "List executors, drain and resume one, as the operator", &s, executorList(&s),
		executorAction(&s, "drain", "Let an executor take no more executions; what it runs goes on", (*client.Client).DrainExecutor, executorState),
		executorAction(&s, "resume", "Let an executor take executions again", (*client.Client).ResumeExecutor, resumedState))
}

func executorList(s *serverFlags) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List all executors, by name", Args: checkArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.newClient()
			if err != nil {
				return err
			}
			return showAll(s, cmd.OutOrStdout(), c.Executors(cmd.Context()), table[client.Executor]{
				header: "NAME STATE BUSY SLOTS RUNTIMES ARCH VERSION STARTED",
				row: func(x client.Executor) []string {
					return []string{
						truncate(x.Name), executorState(x), strconv.Itoa(x.BusySlots), strconv.Itoa(x.Slots), runtimeNames(x.Runtimes),
						orDash(x.Architecture), orDash(x.Version), formatTime(x.StartedAt),
					}
				},
			})
		}}
}

// executorState says in a word what an executor does, and then why.
func executorState(x client.Executor) string {
	switch {
	case !x.Alive:
		return "dead"
	case x.Draining && x.BusySlots > 0:
		return "draining"
	case x.Draining:
		return "drained"
	case !x.Pulling && x.Reason != "":
		return "waits: " + truncate(x.Reason)
	case !x.Pulling:
		return "waits"
	default:
		return "ready"
	}
}

// resumedState says what an executor does that an operator has just resumed. What it said about itself before can be
// older than that.
func resumedState(x client.Executor) string {
	if x.Pulling || x.Reason == "" {
		return executorState(x)
	}
	return "resumed: " + truncate(x.Reason)
}

// runtimeNames marks the runtimes that cannot be started.
func runtimeNames(runtimes []client.ExecutorRuntime) string {
	names := make([]string, len(runtimes))
	for i, r := range runtimes {
		names[i] = r.Name
		if r.Unavailable != "" {
			names[i] += "(!)"
		}
	}
	return orDash(strings.Join(names, ","))
}

func executorAction(
	s *serverFlags, name, short string, action func(*client.Client, context.Context, string) (client.Executor, error),
	state func(client.Executor) string,
) *cobra.Command {
	return &cobra.Command{Use: name + " NAME", Short: short, Args: checkArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.newClient()
			if err != nil {
				return err
			}
			x, err := action(c, cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return show(s, cmd.OutOrStdout(), x, func(out io.Writer, x client.Executor) {
				fmt.Fprintf(out, "%s %s, %d of %d slots busy\n", x.Name, state(x), x.BusySlots, x.Slots)
			})
		}}
}

func statusCommand() *cobra.Command {
	s := serverFlags{operator: true}
	cmd := &cobra.Command{
		Use: "status", Short: "Show the health of each part and how much work waits and runs, as the operator", Args: checkArgs(cobra.NoArgs),
		Long: "Show the health of each part and how much work waits and runs, as the operator. It fails if a part does not work.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.newClient()
			if err != nil {
				return err
			}
			status, err := c.Status(cmd.Context())
			if err != nil {
				return err
			}
			if err := show(&s, cmd.OutOrStdout(), status, writeStatus); err != nil {
				return err
			}
			for _, check := range status.Checks {
				if !check.Ok {
					return fmt.Errorf("%s: %s", check.Name, check.Detail)
				}
			}
			return nil
		},
	}
	s.addServerFlag(cmd.Flags())
	s.addJSONFlag(cmd.Flags())
	return cmd
}

func writeStatus(out io.Writer, status client.InstallationStatus) {
	for _, check := range status.Checks {
		state := "ok"
		if !check.Ok {
			state = check.Detail
		}
		writeField(out, check.Name, state)
	}
	writeField(out, "version", status.Version)
	if f := status.Fleet; f.Leader != "" {
		writeField(out, "processes", fmt.Sprintf("%d executors, %d APIs", f.Executors, f.Apis))
		writeField(out, "leader", fmt.Sprintf("%s, %s ago", f.Leader, max(0, status.Time.Sub(f.RenewedAt)).Round(time.Second)))
		writeField(out, "dispatchers", fmt.Sprintf("for %d of %d parts of the tenants", f.OwnedPartitions, f.Partitions))
		writeField(out, "runtimes", strings.Join(f.Runtimes, ", "))
	}
	if status.Work.CountLimit > 0 {
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "LANE\tWAITING\tRUNNING\tSLOTS")
		row := func(lane string, of func(client.LaneCounts) int) {
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\n", lane, formatCount(of(status.Work.Waiting), status.Work), formatCount(of(status.Work.Running), status.Work),
				of(status.Fleet.Slots))
		}
		row("interactive", interactive)
		row("batch", batchLane)
		_ = w.Flush() // the caller's writer reports its own errors
	}
}

func interactive(c client.LaneCounts) int { return c.Interactive }
func batchLane(c client.LaneCounts) int   { return c.Batch }

// formatCount marks a count at which counting stopped.
func formatCount(n int, w client.Work) string {
	if n >= w.CountLimit {
		return strconv.Itoa(n) + "+"
	}
	return strconv.Itoa(n)
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
