// Command sandbox-init is PID 1 of every sandbox. It is part of the runtime
// images and takes no arguments; see package guest.
package main

import (
	"fmt"
	"os"

	"github.com/airlock-run/airlock/internal/sandbox/guest"
)

func main() {
	if err := guest.Main(); err != nil {
		fmt.Fprintln(os.Stderr, "sandbox-init:", err)
		os.Exit(1)
	}
}
