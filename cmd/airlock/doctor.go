package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/internal/app/dev"
	"github.com/airlock-run/airlock/internal/app/doctor"
)

func doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Check what Airlock needs on this machine and how to fix what is missing",
		Args:  checkArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), time.Minute)
			defer cancel()
			c, err := dev.Load()
			if err != nil {
				return err
			}
			findings := doctor.Diagnose(ctx, c.Executor)
			printFindings(cmd.OutOrStdout(), findings)
			for _, f := range findings {
				if f.Required && f.Err != nil {
					return errors.New("a required check failed")
				}
			}
			return nil
		},
	}
}

func printFindings(out io.Writer, findings []doctor.Finding) {
	for _, f := range findings {
		mark := "ok"
		switch {
		case f.Err != nil && f.Required:
			mark = "MISSING"
		case f.Err != nil:
			mark = "optional"
		}
		fmt.Fprintf(out, "%-8s  %-22s %s\n", mark, f.Name, f.Detail)
		if f.Err != nil {
			fmt.Fprintf(out, "          %-22s %v\n          %-22s -> %s\n", "", f.Err, "", f.Advice)
		}
	}
}
