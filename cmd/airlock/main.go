// Command airlock runs everything on one machine, and is the client of an
// Airlock anywhere.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/internal/app"
	"github.com/airlock-run/airlock/internal/process"
)

// Exit codes of all commands.
const (
	exitFailed      = 1 // the execution failed, or the command did
	exitUsage       = 2
	exitUnreachable = 3
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
		Version:       app.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          checkArgs(cobra.NoArgs),
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.SetOut(os.Stdout)
	cmd.SetFlagErrorFunc(usageError)
	cmd.AddCommand(devCommand(), emulatorsCommand(), doctorCommand(),
		runCommand(), chatCommand(), agentsCommand(), executionsCommand(), batchCommand(), receiptCommand(), keysCommand(), redriveCommand())
	return cmd
}
