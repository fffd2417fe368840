// Command executor runs executions. Environment variables configure it, see docs/configuration.md. On SIGTERM it
// finishes its jobs, or hands them back after the grace period.
package main

import (
	"github.com/airlock-run/airlock/internal/app/executorservice"
	"github.com/airlock-run/airlock/internal/process"
)

func main() {
	process.Main(executorservice.Load, executorservice.Run)
}
