package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/emulator"
	"github.com/airlock-run/airlock/internal/app"
	"github.com/airlock-run/airlock/internal/process"
)

// devGrace keeps the promise that SIGINT stops everything within 10 s.
const devShutdownGracePeriod = 4 * time.Second

func devCommand() *cobra.Command {
	var (
		dataPath   string
		inMemory   bool
		listenAddr string
		d          app.Dev
	)
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run everything on this machine: emulators, API, page and one executor",
		Args:  checkArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := app.LoadDev()
			if err != nil {
				return err
			}
			config.Emulators, config.NoAPI, config.NoExecutor = d.Emulators, d.NoAPI, d.NoExecutor
			if config.Emulators.Dir, err = dataDir(dataPath, inMemory); err != nil {
				return err
			}
			if cmd.Flags().Changed("listen") {
				config.API.ListenAddr = listenAddr
			}
			config.API.ShutdownGracePeriod, config.Executor.ShutdownGracePeriod = devShutdownGracePeriod, devShutdownGracePeriod
			return runDev(cmd, config)
		},
	}
	f := cmd.Flags()
	f.StringVar(&listenAddr, "listen", "127.0.0.1:8000", "address of the API and the page")
	f.BoolVar(&d.NoAPI, "no-api", false, "leave the API out")
	f.BoolVar(&d.NoExecutor, "no-executor", false, "leave the executor out")
	emulatorFlags(cmd, &d.Emulators, &dataPath, &inMemory)
	return cmd
}

func emulatorsCommand() *cobra.Command {
	var (
		data     string
		inMemory bool
		o        emulator.Options
	)
	cmd := &cobra.Command{
		Use:   "emulators",
		Short: "Run the Pub/Sub and Firestore emulators alone",
		Args:  checkArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.Dir, err = dataDir(data, inMemory); err != nil {
				return err
			}
			return runDev(cmd, app.Dev{Emulators: o, NoAPI: true, NoExecutor: true})
		},
	}
	emulatorFlags(cmd, &o, &data, &inMemory)
	return cmd
}

func emulatorFlags(cmd *cobra.Command, o *emulator.Options, data *string, inMemory *bool) {
	f := cmd.Flags()
	f.StringVar(&o.PubSub, "pubsub", "127.0.0.1:8085", "address of the Pub/Sub emulator")
	f.StringVar(&o.Firestore, "firestore", "127.0.0.1:8080", "address of the Firestore emulator")
	f.StringVar(data, "data", ".airlock", "folder of the emulators' data")
	f.StringToStringVar(&o.TTL, "ttl", nil, "Firestore documents that expire: collection=field, the field holds the time")
	f.BoolVar(inMemory, "memory", false, "keep the emulators' data in memory only")
}

func dataDir(data string, inMemory bool) (string, error) {
	if inMemory {
		return "", nil
	}
	dir, err := filepath.Abs(data)
	if err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o700)
}

func runDev(cmd *cobra.Command, d app.Dev) error {
	log, err := process.ConsoleLogger()
	if err != nil {
		return err
	}
	process.RelaxGC()
	ctx, stop := process.Context()
	defer stop()
	err = app.RunDev(ctx, d, log, func(s app.Addresses) {
		out := cmd.OutOrStdout()
		if s.API != "" {
			fmt.Fprintf(out, "Airlock     http://%s  (default runtime: %s)\n", s.API, d.API.DefaultRuntime)
		}
		fmt.Fprintf(out, "Firestore   FIRESTORE_EMULATOR_HOST=%s\n", s.Firestore)
		fmt.Fprintf(out, "Pub/Sub     PUBSUB_EMULATOR_HOST=%s\n", s.PubSub)
		if s.API != "" && s.PepperFile != "" {
			fmt.Fprintf(out, "A first key FIRESTORE_EMULATOR_HOST=%s AIRLOCK_API_KEY_PEPPER_FILE=%s airlock keys issue --tenant local\n", s.Firestore, s.PepperFile)
		}
		if dir := d.Emulators.Dir; dir != "" {
			fmt.Fprintf(out, "Data        %s\n", dir)
		}
		fmt.Fprintln(out, "Stop with Ctrl-C.")
	})
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
