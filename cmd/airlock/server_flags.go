package main

import (
	"cmp"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/airlock-run/airlock/client"
	"github.com/airlock-run/airlock/internal/app/config"
)

// serverFlags are the flags of commands that call a server.
type serverFlags struct {
	baseURL    string // such as http://127.0.0.1:8000
	jsonOutput bool
	operator   bool // the command is the operator's
}

func (s *serverFlags) addServerFlag(f *pflag.FlagSet) {
	f.StringVar(&s.baseURL, "server", cmp.Or(os.Getenv("AIRLOCK_URL"), "http://127.0.0.1:8000"), "address of the API (AIRLOCK_URL)")
}

func (s *serverFlags) addJSONFlag(f *pflag.FlagSet) {
	f.BoolVar(&s.jsonOutput, "json", false, "print JSON, one object per line")
}

// newClient returns a client of the server. The key comes from the environment only: everybody on a machine can read
// the command line of a process.
func (s *serverFlags) newClient() (*client.Client, error) {
	if _, err := config.CheckNames(os.Environ()); err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	options := []client.Option{client.WithUserAgent("airlock/" + config.Version)}
	key, err := config.LookupSecret("AIRLOCK_API_KEY")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	if key != "" {
		options = append(options, client.WithAPIKey(key))
	}
	if s.operator {
		options = append(options, client.WithOperator())
	}
	c, err := client.New(s.baseURL, options...)
	if err != nil {
		return nil, fmt.Errorf("%w: --server: %w", errUsage, err)
	}
	return c, nil
}

// commandGroup is a command that has only subcommands, which call a server.
func commandGroup(use, short string, s *serverFlags, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: checkArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	s.addServerFlag(cmd.PersistentFlags())
	s.addJSONFlag(cmd.PersistentFlags())
	cmd.AddCommand(commands...)
	return cmd
}
