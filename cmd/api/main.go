// Command api is the API service, configured by environment variables alone
// (app.API says which). It stops on SIGTERM.
package main

import (
	"net"

	"github.com/airlock-run/airlock/internal/app"
	"github.com/airlock-run/airlock/internal/process"
)

func main() {
	if err := run(); err != nil {
		process.Exit(1, err)
	}
}

func run() error {
	config, err := app.LoadAPI()
	if err != nil {
		return err
	}
	log, err := process.Logger()
	if err != nil {
		return err
	}
	ctx, stop := process.Context()
	defer stop()
	return app.RunAPI(ctx, config, log, func(net.Addr) {})
}
