package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/client"
)

func usageCommand() *cobra.Command {
	var (
		s serverFlags
		q client.UsageQuery
	)
	cmd := &cobra.Command{Use: "usage", Short: "Sum up executions, tokens and cost", Args: checkArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.newClient()
			if err != nil {
				return err
			}
			report, err := c.Usage(cmd.Context(), q)
			if err != nil {
				return err
			}
			return show(&s, cmd.OutOrStdout(), report, func(out io.Writer, r client.UsageReport) { writeUsage(out, q.GroupBy, r) })
		}}
	f := cmd.Flags()
	s.addServerFlag(f)
	s.addJSONFlag(f)
	f.StringVar(&q.From, "from", "", "first day, UTC, such as 2026-11-01; default: 29 days before the last")
	f.StringVar(&q.To, "to", "", "last day, UTC; default: today")
	f.StringSliceVar(&q.GroupBy, "group-by", []string{"day"}, "day, agent, model, kind, lane; or day, label")
	return cmd
}

// writeUsage prints a table with a column for each dimension, the total, and the warnings.
func writeUsage(out io.Writer, dimensions []string, r client.UsageReport) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(group []string, executions, unsuccessful, input, output, cost string) {
		fmt.Fprintln(w, strings.Join(append(group, executions, unsuccessful, input, output, cost), "\t"))
	}
	counts := func(group []string, c client.UsageCounts) {
		line(group, strconv.FormatInt(c.Executions, 10), strconv.FormatInt(c.Executions-c.Succeeded, 10),
			strconv.FormatInt(c.InputTokens, 10), strconv.FormatInt(c.OutputTokens, 10), fmt.Sprintf("%.4f", c.CostUsd))
	}
	var titles []string
	for _, d := range dimensions {
		titles = append(titles, strings.ToUpper(d))
	}
	line(titles, "EXECUTIONS", "NOT_SUCCEEDED", "INPUT_TOKENS", "OUTPUT_TOKENS", "COST_USD")
	for _, row := range r.Rows {
		values := map[string]string{
			"day": row.Day, "agent": row.AgentId, "model": row.Model, "kind": string(row.Kind), "lane": row.Lane, "label": row.Label,
		}
		var group []string
		for _, d := range dimensions {
			value := truncate(values[d])
			if value == "" {
				value = "-"
			}
			group = append(group, value)
		}
		counts(group, row.Counts)
	}
	total := make([]string, len(dimensions))
	if len(total) > 0 {
		total[0] = "total"
	}
	counts(total, r.Total)
	_ = w.Flush() // the writer is standard output
	for _, warning := range r.Warnings {
		whose := "the tenant"
		if warning.AgentId != "" {
			whose = warning.AgentId
		}
		fmt.Fprintf(out, "%s: %s limit of %s reached: %.4f of %.4f USD\n", warning.Day, warning.Level, whose, warning.SpentUsd, warning.LimitUsd)
	}
}
