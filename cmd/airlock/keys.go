package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/internal/app"
	"github.com/airlock-run/airlock/internal/caller"
	"github.com/airlock-run/airlock/internal/process"
)

func keysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Keys of the API",
		Args:  usageArgs(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(keysIssue())
	return cmd
}

// issueTimeout bounds what the command waits for Firestore.
const issueTimeout = 15 * time.Second

func keysIssue() *cobra.Command {
	var (
		tenant, name string
		scopes       []string
		lifetime     time.Duration
	)
	cmd := &cobra.Command{
		Use:   "issue --tenant TENANT",
		Short: "Issue a key as the operator, straight in Firestore: the first one of a tenant",
		Long: "Issue a key as the operator, straight in Firestore, without the API. It takes the environment of the API:\n" +
			"GOOGLE_CLOUD_PROJECT or FIRESTORE_EMULATOR_HOST, and KEY_PEPPER or KEY_PEPPER_FILE.",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			issuer, err := app.LoadIssuer()
			if err != nil {
				return err
			}
			ctx, stop := process.Context()
			defer stop()
			ctx, cancel := context.WithTimeout(ctx, issueTimeout)
			defer cancel()
			granted := make([]caller.Scope, len(scopes))
			for i, s := range scopes {
				granted[i] = caller.Scope(s)
			}
			k, secret, err := issuer.Issue(ctx, tenant, name, granted, lifetime)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s of tenant %s. This is its secret; it cannot be shown again:\n", k.ID, k.Owner)
			fmt.Fprintln(cmd.OutOrStdout(), secret.Reveal())
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&tenant, "tenant", "", "whose key it is")
	f.StringVar(&name, "name", "issued by the operator", "what it is for")
	f.StringSliceVar(&scopes, "scopes", names(caller.All), "what it may do")
	f.DurationVar(&lifetime, "expires-in", 0, "how long it is good (0: for ever)")
	_ = cmd.MarkFlagRequired("tenant") // there is such a flag
	return cmd
}

func names(scopes []caller.Scope) []string {
	list := make([]string, len(scopes))
	for i, s := range scopes {
		list[i] = string(s)
	}
	return list
}
