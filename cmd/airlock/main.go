// Command airlock runs everything on one machine, and is the command line of any Airlock.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/internal/app/config"
	"github.com/airlock-run/airlock/internal/process"
)

// Exit codes of all commands.
const (
	exitFailed      = 1 // the execution or the command failed
	exitUsage       = 2 // the command line or the environment is wrong
	exitUnreachable = 3 // the server does not answer
)

func main() {
	if err := rootCommand().Execute(); err != nil {
		process.Exit(exitCode(err), err)
	}
}

func rootCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "airlock",
		Short:         "Run agents as jobs, each in a fresh, sealed container",
		Version:       config.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          checkArgs(cobra.NoArgs),
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.SetOut(os.Stdout)
	cmd.SetFlagErrorFunc(usageError)
	cmd.AddCommand(devCommand(), emulatorsCommand(), doctorCommand(),
		runCommand(), chatCommand(), agentsCommand(), environmentsCommand(), executionsCommand(), batchCommand(), filesCommand(), receiptCommand(), keysCommand(), usageCommand(),
		redriveCommand(), statusCommand(), executorCommand(), tenantsCommand())
	return cmd
}
