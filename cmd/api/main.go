// Command api is the API service, configured by environment variables alone
// (app.API says which). It stops on SIGTERM.
package main

import (
	"context"
	"net"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/app"
	"github.com/airlock-run/airlock/internal/process"
)

func main() {
	process.Main(app.LoadAPI, func(ctx context.Context, c app.API, log *zap.Logger) error {
		return app.RunAPI(ctx, c, log, func(net.Addr) {})
	})
}
