package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/internal/app"
)

func doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Check what Airlock needs on this machine, and say how to mend what is missing",
		Args:  checkArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), time.Minute)
			defer cancel()
			config, err := app.LoadDev()
			if err != nil {
				return err
			}
			findings := app.Diagnose(ctx, config.Executor)
			printFindings(cmd.OutOrStdout(), findings)
			for _, f := range findings {
				if f.Required && f.Err != nil {
					return errors.New("something that Airlock needs is missing")
				}
			}
			return nil
		},
	}
}

func printFindings(out io.Writer, findings []app.Finding) {
	for _, f := range findings {
		mark := "ok     "
		switch {
		case f.Err != nil && f.Required:
			mark = "MISSING"
		case f.Err != nil:
			mark = "without"
		}
		fmt.Fprintf(out, "%s  %-22s %s\n", mark, f.Name, f.Detail)
		if f.Err != nil {
			fmt.Fprintf(out, "         %-22s %v\n         %-22s -> %s\n", "", f.Err, "", f.Advice)
		}
	}
}
