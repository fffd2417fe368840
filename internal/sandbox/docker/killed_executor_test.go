package docker

import (
	"context"
	"net/http"
	"os"
)

// victimEnv makes the test binary an executor that is there to be killed. Its
// value is the socket folder.
const killedExecutorEnv = "AIRLOCK_TEST_VICTIM"

// victim runs a job for ever, and says on standard output when it runs.
func runUntilKilled(dir string) error {
	d, err := New(Options{SocketDir: dir})
	if err != nil {
		return err
	}
	m := newGate()
	m.gateway.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = os.Stdout.WriteString(".")
		<-r.Context().Done()
	})
	_, err = d.Run(context.Background(), m.job())
	return err
}
