// Command sandbox-init is PID 1 of every sandbox. It is part of the runtime images and takes no arguments; see package
// guest. If an agent runs it with "inspect", it prints which limits of the sandbox a process can observe.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/airlock-run/airlock/internal/sandbox/guest"
	"github.com/airlock-run/airlock/internal/sandbox/selfinspect"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "sandbox-init:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) == 2 && os.Args[1] == "inspect" {
		return json.NewEncoder(os.Stdout).Encode(selfinspect.Read())
	}
	return guest.Main()
}
