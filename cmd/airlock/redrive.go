package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/internal/app"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/process"
)

func redriveCommand() *cobra.Command {
	var (
		codes  []string
		tenant string
		within time.Duration
		dryRun bool
	)
	cmd := &cobra.Command{
		Use:   "redrive",
		Short: "Run again, as the operator, what failed for want of Airlock's own parts",
		Long: "Run again, straight in Firestore and Pub/Sub, what failed for want of Airlock's own parts, once they are mended: each as a\n" +
			"new execution with retryOf. Repeating the command doubles nothing. It takes the environment of the API:\n" +
			"GOOGLE_CLOUD_PROJECT, or FIRESTORE_EMULATOR_HOST and PUBSUB_EMULATOR_HOST.",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := app.LoadRedrive()
			if err != nil {
				return err
			}
			for _, c := range codes {
				r.Codes = append(r.Codes, execution.Code(c))
			}
			r.Tenant, r.Within, r.DryRun = tenant, within, dryRun
			ctx, stop := process.Context()
			defer stop()
			done, left := 0, 0
			err = r.Run(ctx, func(old execution.Ref, again string, err error) {
				switch {
				case err != nil:
					left++
					fmt.Fprintf(cmd.ErrOrStderr(), "%s of %s: %v\n", old.ID, old.Owner, err)
				case dryRun:
					done++
					fmt.Fprintf(cmd.OutOrStdout(), "%s of %s\n", old.ID, old.Owner)
				default:
					done++
					fmt.Fprintf(cmd.OutOrStdout(), "%s of %s runs again as %s\n", old.ID, old.Owner, again)
				}
			})
			verb := "driven again"
			if dryRun {
				verb = "to drive again"
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%d %s, %d left as they are\n", done, verb, left)
			return err
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&codes, "code", []string{string(execution.CodeAttemptsExhausted), string(execution.CodeDeadLettered)}, "reasons of failure, see docs/api.md")
	f.StringVar(&tenant, "tenant", "", "whose executions (all tenants')")
	f.DurationVar(&within, "since", 24*time.Hour, "how long ago they may have ended")
	f.BoolVar(&dryRun, "dry-run", false, "only say which")
	return cmd
}
