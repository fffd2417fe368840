//go:build failpoints

package failpoint

import (
	"os"
	"strings"
	"syscall"
)

// env is the variable that names the point: "claimed" kills the process there, "claimed/stop" stops it until SIGCONT.
const env = "AIRLOCK_FAILPOINT"

// Hit kills or stops the process if the variable names this point.
func Hit(p Point) {
	point, action, _ := strings.Cut(os.Getenv(env), "/")
	if point != string(p) {
		return
	}
	signal := syscall.SIGKILL
	if action == "stop" {
		signal = syscall.SIGSTOP
	}
	_ = syscall.Kill(os.Getpid(), signal) // a process may always signal itself
	if action != "stop" {
		select {} // until the signal arrives
	}
}
