package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/internal/app/operator"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/process"
)

func redriveCommand() *cobra.Command {
	var (
		r     operator.Redrive
		codes []string
	)
	cmd := &cobra.Command{
		Use:   "redrive",
		Short: "Run again, as the operator, executions that failed because of Airlock itself",
		Long: "Run again, directly in Firestore, executions that failed because of Airlock itself, after the cause is fixed.\n" +
			"Each becomes a new execution with retryOf. The command may be repeated: an execution is redriven at most once.\n" +
			"It reads the API's environment variables:\n" +
			"GOOGLE_CLOUD_PROJECT, or FIRESTORE_EMULATOR_HOST and PUBSUB_EMULATOR_HOST.",
		Args: checkArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, c := range codes {
				r.Codes = append(r.Codes, execution.Code(c))
			}
			err := r.CheckSelection()
			if cmd.Flags().Changed("tenant") && r.Tenant == "" {
				err = errors.Join(err, errors.New("--tenant is empty; without the flag, all tenants are selected"))
			}
			if err != nil {
				return usageError(cmd, err)
			}
			loaded, err := operator.LoadRedrive()
			if err != nil {
				return err
			}
			r.Services = loaded.Services
			ctx, stop := process.Context()
			defer stop()
			redriven, skipped := 0, 0
			err = r.Run(ctx, func(original execution.Ref, retryID string, err error) {
				switch {
				case err != nil:
					skipped++
					fmt.Fprintf(cmd.ErrOrStderr(), "%s of %s: %v\n", original.ID, original.Tenant, err)
				case r.DryRun:
					redriven++
					fmt.Fprintf(cmd.OutOrStdout(), "%s of %s\n", original.ID, original.Tenant)
				default:
					redriven++
					fmt.Fprintf(cmd.OutOrStdout(), "%s of %s runs again as %s\n", original.ID, original.Tenant, retryID)
				}
			})
			verb := "redriven"
			if r.DryRun {
				verb = "to redrive"
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%d %s, %d not redriven\n", redriven, verb, skipped)
			return err
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&codes, "code", []string{string(execution.CodeAttemptsExhausted), string(execution.CodeNoExecutor), string(execution.CodeDeadLettered)}, "failure codes, see docs/api.md")
	f.StringVar(&r.Tenant, "tenant", "", "only this tenant's executions (default: all tenants)")
	f.DurationVar(&r.MaxAge, "since", 24*time.Hour, "only executions that ended within this time")
	f.BoolVar(&r.DryRun, "dry-run", false, "list the executions without running them")
	return cmd
}
