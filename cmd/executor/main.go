// Command executor runs executions, configured by environment variables alone
// (app.Executor says which). On SIGTERM it finishes or hands back what it runs.
package main

import (
	"github.com/airlock-run/airlock/internal/app"
	"github.com/airlock-run/airlock/internal/process"
)

func main() {
	process.Main(app.LoadExecutor, app.RunExecutor)
}
