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
		maxAge time.Duration
		dryRun bool
	)
	cmd := &cobra.Command{
		Use:   "redrive",
		Short: "Run again, as the operator, what failed for want of Airlock's own parts",
		Long: "Run again, straight in Firestore and Pub/Sub, what failed for want of Airlock's own parts, once they are mended: each as a\n" +
			"new execution with retryOf. Repeating the command doubles nothing. It takes the environment of the API:\n" +
			"GOOGLE_CLOUD_PROJECT, or FIRESTORE_EMULATOR_HOST and PUBSUB_EMULATOR_HOST.",
		Args: checkArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := app.LoadRedrive()
			if err != nil {
				return err
			}
			for _, c := range codes {
				r.Codes = append(r.Codes, execution.Code(c))
			}
			r.Tenant, r.MaxAge, r.DryRun = tenant, maxAge, dryRun
			ctx, stop := process.Context()
			defer stop()
			redriven, skipped := 0, 0
			err = r.Run(ctx, func(original execution.Ref, retryID string, err error) {
				switch {
				case err != nil:
					skipped++
					fmt.Fprintf(cmd.ErrOrStderr(), "%s of %s: %v\n", original.ID, original.Tenant, err)
				case dryRun:
					redriven++
					fmt.Fprintf(cmd.OutOrStdout(), "%s of %s\n", original.ID, original.Tenant)
				default:
					redriven++
					fmt.Fprintf(cmd.OutOrStdout(), "%s of %s runs again as %s\n", original.ID, original.Tenant, retryID)
				}
			})
			verb := "driven again"
			if dryRun {
				verb = "to drive again"
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%d %s, %d left as they are\n", redriven, verb, skipped)
			return err
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&codes, "code", []string{string(execution.CodeAttemptsExhausted), string(execution.CodeDeadLettered)}, "reasons of failure, see docs/api.md")
	f.StringVar(&tenant, "tenant", "", "whose executions (all tenants')")
	f.DurationVar(&maxAge, "since", 24*time.Hour, "how long ago they may have ended")
	f.BoolVar(&dryRun, "dry-run", false, "only say which")
	return cmd
}
