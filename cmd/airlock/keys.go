package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/client"
	"github.com/airlock-run/airlock/internal/app/operator"
	"github.com/airlock-run/airlock/internal/domain/tenant"
	"github.com/airlock-run/airlock/internal/process"
)

func keysCommand() *cobra.Command {
	var s serverFlags
	return commandGroup("keys", "List, create and revoke API keys; issue one as the operator", &s,
		keysList(&s), keysCreate(&s), keysRevoke(&s), keysIssue())
}

func keysList(s *serverFlags) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List all keys, the newest first, without their secrets", Args: checkArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.newClient()
			if err != nil {
				return err
			}
			return showAll(s, cmd.OutOrStdout(), c.APIKeys(cmd.Context()), table[client.APIKey]{
				header: "ID NAME SCOPES CREATED EXPIRES LAST_USED",
				row: func(k client.APIKey) []string {
					return []string{k.Id, truncate(k.Name), strings.Join(scopeNames(k.Scopes), ","),
						formatTime(k.CreatedAt), formatTime(k.ExpiresAt), formatTime(k.LastUsedAt)}
				},
			})
		}}
}

func keysCreate(s *serverFlags) *cobra.Command {
	var (
		k      client.IssueAPIKey
		scopes []string
	)
	cmd := &cobra.Command{Use: "create --name NAME", Short: "Create a key and print its secret, which cannot be shown again", Args: checkArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.newClient()
			if err != nil {
				return err
			}
			for _, scope := range scopes {
				k.Scopes = append(k.Scopes, client.Scope(scope))
			}
			issued, err := c.IssueAPIKey(cmd.Context(), k)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s. This is its secret; it cannot be shown again:\n", issued.Key.Id)
			return show(s, cmd.OutOrStdout(), issued, func(out io.Writer, k client.IssuedAPIKey) { fmt.Fprintln(out, k.Secret) })
		}}
	f := cmd.Flags()
	f.StringVar(&k.Name, "name", "", "name of the key")
	f.StringSliceVar(&scopes, "scopes", []string{string(tenant.ScopeRead), string(tenant.ScopeRun)}, "scopes of the key, among "+strings.Join(scopeNames(tenant.AllScopes), ", "))
	f.StringVar(&k.ExpiresIn, "expires-in", "", "lifetime of the key, such as 720h; default: no expiry")
	_ = cmd.MarkFlagRequired("name") // no error: the flag exists
	return cmd
}

func keysRevoke(s *serverFlags) *cobra.Command {
	return &cobra.Command{Use: "revoke KEY", Short: "Revoke a key, by its ID; every API process refuses it within 5 s", Args: checkArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.newClient()
			if err != nil {
				return err
			}
			return c.RevokeAPIKey(cmd.Context(), args[0])
		}}
}

// issueTimeout limits how long the command waits for Firestore.
const issueTimeout = 15 * time.Second

func keysIssue() *cobra.Command {
	var (
		r      operator.KeyRequest
		scopes []string
	)
	cmd := &cobra.Command{
		Use:   "issue --tenant TENANT",
		Short: "Issue a key as the operator, directly in Firestore: the first key of a tenant",
		Long: "Issue a key as the operator, directly in Firestore, without the API. It reads the API's environment variables:\n" +
			"GOOGLE_CLOUD_PROJECT or FIRESTORE_EMULATOR_HOST, and AIRLOCK_API_KEY_PEPPER or AIRLOCK_API_KEY_PEPPER_FILE.",
		Args: checkArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			issuer, err := operator.LoadKeyIssuer()
			if err != nil {
				return err
			}
			ctx, stop := process.Context()
			defer stop()
			ctx, cancel := context.WithTimeout(ctx, issueTimeout)
			defer cancel()
			for _, s := range scopes {
				r.Scopes = append(r.Scopes, tenant.Scope(s))
			}
			k, secret, err := issuer.Issue(ctx, r)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s of tenant %s. This is its secret; it cannot be shown again:\n", k.ID, k.Tenant)
			fmt.Fprintln(cmd.OutOrStdout(), secret.Reveal())
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.Tenant, "tenant", "", "tenant of the key")
	f.StringVar(&r.Name, "name", "issued by the operator", "name of the key")
	f.StringSliceVar(&scopes, "scopes", scopeNames(tenant.AllScopes), "scopes of the key")
	f.DurationVar(&r.Lifetime, "expires-in", 0, "lifetime of the key (0: no expiry)")
	_ = cmd.MarkFlagRequired("tenant") // no error: the flag exists
	return cmd
}

// scopeNames converts scopes for flags and tables.
func scopeNames[S ~string](scopes []S) []string {
	list := make([]string, len(scopes))
	for i, s := range scopes {
		list[i] = string(s)
	}
	return list
}
