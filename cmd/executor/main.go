// Command executor runs executions, configured by environment variables alone
// (app.Executor says which). On SIGTERM it finishes or hands back what it runs.
package main

import (
	"github.com/airlock-run/airlock/internal/app"
	"github.com/airlock-run/airlock/internal/process"
)

func main() {
	if err := run(); err != nil {
		process.Exit(1, err)
	}
}

func run() error {
	config, err := app.LoadExecutor()
	if err != nil {
		return err
	}
	log, err := process.Logger()
	if err != nil {
		return err
	}
	ctx, stop := process.Context()
	defer stop()
	return app.RunExecutor(ctx, config, log)
}
