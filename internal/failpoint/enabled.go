//go:build failpoints

package failpoint

import (
	"os"
	"strings"
	"syscall"
)

// Env says where the process crashes, and how: "claimed" is killed there, and
// "claimed/stop" is stopped until somebody lets it go on.
const Env = "AIRLOCK_FAILPOINT"

// At ends the process, or stops it, if this is the point.
func Hit(p Point) {
	point, action, _ := strings.Cut(os.Getenv(Env), "/")
	if point != string(p) {
		return
	}
	signal := syscall.SIGKILL
	if action == "stop" {
		signal = syscall.SIGSTOP
	}
	_ = syscall.Kill(os.Getpid(), signal) // cannot fail: it is this process' own
	if action != "stop" {
		select {}
	}
}
