package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/client"
)

func executionsAttempts(s *serverFlags) *cobra.Command {
	return readCommand(s, "attempts EXECUTION", "List the attempts of an execution, the newest last", (*client.Client).Attempts, showAttempts)
}

func showAttempts(out io.Writer, l client.AttemptList) {
	if l.Omitted > 0 {
		fmt.Fprintf(out, "Older attempts that are not kept: %d\n", l.Omitted)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.ReplaceAll("ATTEMPT EXECUTOR CLAIMED STARTED ENDED OUTCOME TOKENS USD", " ", "\t"))
	for _, a := range l.Attempts {
		fmt.Fprintln(w, strings.Join([]string{
			fmt.Sprint(a.Number), a.Executor, formatTime(a.ClaimedAt), formatTime(a.StartedAt), formatTime(a.EndedAt), attemptOutcome(a),
			fmt.Sprint(a.Usage.InputTokens + a.Usage.OutputTokens), fmt.Sprintf("%.4f", a.Usage.CostUsd),
		}, "\t"))
	}
	_ = w.Flush() // a failed write shows at the next one
}

// attemptOutcome is the outcome of an attempt with its reason.
func attemptOutcome(a client.Attempt) string {
	switch {
	case a.Detail != "":
		return fmt.Sprintf("%s: %s", a.Outcome, a.Detail)
	case a.Code != "" && string(a.Code) != string(a.Outcome):
		return fmt.Sprintf("%s: %s", a.Outcome, a.Code)
	default:
		return string(a.Outcome)
	}
}
