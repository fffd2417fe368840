// Command agent-offline is the agent of the offline runtime. It replies without any model, by the same contract as the
// Claude Code CLI. See docs/runtimes.md.
package main

import (
	"os"

	"github.com/airlock-run/airlock/internal/agentruntime/offline"
)

func main() {
	os.Exit(offline.Run(offline.Invocation{
		Args:   os.Args[1:],
		Home:   os.Getenv("HOME"),
		Stdin:  os.Stdin,
		Stdout: os.Stdout,
		Stderr: os.Stderr,
	}))
}
