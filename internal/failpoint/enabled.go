//go:build failpoints

package failpoint

import (
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// env is the variable that names the point: "claimed" kills the process there, "claimed/stop" stops it until SIGCONT.
const env = "AIRLOCK_FAILPOINT"

// Hit kills or stops the process if the variable names this point. It returns only after SIGCONT: the kernel may stop
// the process a little after Kill has returned, and the caller must not take its next step before that.
func Hit(p Point) {
	point, action, _ := strings.Cut(os.Getenv(env), "/")
	if point != string(p) {
		return
	}
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, syscall.SIGCONT)
	defer signal.Stop(continued)
	stopOrKill := syscall.SIGKILL
	if action == "stop" {
		stopOrKill = syscall.SIGSTOP
	}
	_ = syscall.Kill(os.Getpid(), stopOrKill) // a process may always signal itself
	<-continued
}
