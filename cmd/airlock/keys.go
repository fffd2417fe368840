package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/client"
	"github.com/airlock-run/airlock/internal/app"
	"github.com/airlock-run/airlock/internal/domain/tenant"
	"github.com/airlock-run/airlock/internal/process"
)

func keysCommand() *cobra.Command {
	var s serverFlags
	return commandGroup("keys", "The keys of the API: list, create, revoke; issue, for the operator", &s,
		keysList(&s), keysCreate(&s), keysRevoke(&s), keysIssue())
}

func keysList(s *serverFlags) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List all keys, the newest first, without their secrets", Args: checkArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.newClient()
			if err != nil {
				return err
			}
			return showAll(s, cmd.OutOrStdout(), c.APIKeys(cmd.Context()), 0, "ID NAME SCOPES CREATED EXPIRES USED", func(k client.APIKey) []string {
				return []string{k.Id, truncate(k.Name), strings.Join(scopeNames(k.Scopes), ","), formatTime(k.CreatedAt), formatTime(k.ExpiresAt), formatTime(k.LastUsedAt)}
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
	f.StringVar(&k.Name, "name", "", "what it is for")
	f.StringSliceVar(&scopes, "scopes", []string{string(tenant.ScopeRead), string(tenant.ScopeRun)}, "what it may do: "+strings.Join(scopeNames(tenant.AllScopes), ", "))
	f.StringVar(&k.ExpiresIn, "expires-in", "", "how long it is good, such as 720h; for ever when absent")
	_ = cmd.MarkFlagRequired("name") // there is such a flag
	return cmd
}

func keysRevoke(s *serverFlags) *cobra.Command {
	return &cobra.Command{Use: "revoke KEY", Short: "Revoke a key, by its ID; it is refused everywhere within 5 s", Args: checkArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.newClient()
			if err != nil {
				return err
			}
			return c.RevokeAPIKey(cmd.Context(), args[0])
		}}
}

// issueTimeout bounds what the command waits for Firestore.
const issueTimeout = 15 * time.Second

func keysIssue() *cobra.Command {
	var (
		tenantName, name string
		scopes           []string
		lifetime         time.Duration
	)
	cmd := &cobra.Command{
		Use:   "issue --tenant TENANT",
		Short: "Issue a key as the operator, straight in Firestore: the first one of a tenant",
		Long: "Issue a key as the operator, straight in Firestore, without the API. It takes the environment of the API:\n" +
			"GOOGLE_CLOUD_PROJECT or FIRESTORE_EMULATOR_HOST, and AIRLOCK_API_KEY_PEPPER or AIRLOCK_API_KEY_PEPPER_FILE.",
		Args: checkArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			issuer, err := app.LoadKeyIssuer()
			if err != nil {
				return err
			}
			ctx, stop := process.Context()
			defer stop()
			ctx, cancel := context.WithTimeout(ctx, issueTimeout)
			defer cancel()
			granted := make([]tenant.Scope, len(scopes))
			for i, s := range scopes {
				granted[i] = tenant.Scope(s)
			}
			k, secret, err := issuer.Issue(ctx, tenantName, name, granted, lifetime)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s of tenant %s. This is its secret; it cannot be shown again:\n", k.ID, k.Tenant)
			fmt.Fprintln(cmd.OutOrStdout(), secret.Reveal())
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&tenantName, "tenant", "", "whose key it is")
	f.StringVar(&name, "name", "issued by the operator", "what it is for")
	f.StringSliceVar(&scopes, "scopes", scopeNames(tenant.AllScopes), "what it may do")
	f.DurationVar(&lifetime, "expires-in", 0, "how long it is good (0: for ever)")
	_ = cmd.MarkFlagRequired("tenant") // there is such a flag
	return cmd
}

// texts are scopes as flags and tables have them.
func scopeNames[S ~string](scopes []S) []string {
	list := make([]string, len(scopes))
	for i, s := range scopes {
		list[i] = string(s)
	}
	return list
}
