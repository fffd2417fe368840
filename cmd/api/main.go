// Command api is the API service. Environment variables configure it, see docs/configuration.md. SIGTERM stops it.
package main

import (
	"context"
	"net"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/app/apiserver"
	"github.com/airlock-run/airlock/internal/process"
)

func main() {
	process.Main(apiserver.Load, func(ctx context.Context, s apiserver.Settings, log *zap.Logger) error {
		return apiserver.Run(ctx, s, log, func(net.Addr) {})
	})
}
