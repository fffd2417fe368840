package main

import (
	"cmp"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/airlock-run/airlock/client"
	"github.com/airlock-run/airlock/internal/app"
)

// server says which Airlock a command calls, and how its answers are shown.
type serverFlags struct {
	baseURL    string // such as http://127.0.0.1:8000
	jsonOutput bool
}

func (s *serverFlags) addServerFlag(f *pflag.FlagSet) {
	f.StringVar(&s.baseURL, "server", cmp.Or(os.Getenv("AIRLOCK_URL"), "http://127.0.0.1:8000"), "address of the API (AIRLOCK_URL)")
}

func (s *serverFlags) addJSONFlag(f *pflag.FlagSet) {
	f.BoolVar(&s.jsonOutput, "json", false, "print JSON, one object a line")
}

// connect returns a client of the server. The key is read from the environment
// alone: what is on a command line, everybody on the machine can read.
func (s *serverFlags) newClient() (*client.Client, error) {
	options := []client.Option{client.WithUserAgent("airlock/" + app.Version)}
	if key := os.Getenv("AIRLOCK_API_KEY"); key != "" {
		options = append(options, client.WithAPIKey(key))
	}
	c, err := client.New(s.baseURL, options...)
	if err != nil {
		return nil, fmt.Errorf("%w: --server: %w", errUsage, err)
	}
	return c, nil
}

// group is a command that only has others below it, which call a server.
func commandGroup(use, short string, s *serverFlags, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: checkArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	s.addServerFlag(cmd.PersistentFlags())
	s.addJSONFlag(cmd.PersistentFlags())
	cmd.AddCommand(commands...)
	return cmd
}
