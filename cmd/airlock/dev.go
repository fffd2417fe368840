package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/internal/app/config"
	"github.com/airlock-run/airlock/internal/app/dev"
	"github.com/airlock-run/airlock/internal/process"
)

// devShutdownGracePeriod keeps the promise that SIGINT stops everything within 10 s.
const devShutdownGracePeriod = 4 * time.Second

func devCommand() *cobra.Command {
	var (
		flags             emulatorFlags
		listenAddr        string
		noAPI, noExecutor bool
	)
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run everything on this machine: emulators, API, page and one executor",
		Args:  checkArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := dev.Load()
			if err != nil {
				return err
			}
			c.NoAPI, c.NoExecutor = noAPI, noExecutor
			if c.Emulators, err = flags.options(); err != nil {
				return err
			}
			if cmd.Flags().Changed("listen") {
				c.API.ListenAddr = listenAddr
			}
			c.API.ShutdownGracePeriod, c.Executor.ShutdownGracePeriod = devShutdownGracePeriod, devShutdownGracePeriod
			return runDev(cmd, c)
		},
	}
	f := cmd.Flags()
	f.StringVar(&listenAddr, "listen", "127.0.0.1:8000", "address of the API and the page")
	f.BoolVar(&noAPI, "no-api", false, "leave the API out")
	f.BoolVar(&noExecutor, "no-executor", false, "leave the executor out")
	flags.add(cmd)
	return cmd
}

func emulatorsCommand() *cobra.Command {
	var flags emulatorFlags
	cmd := &cobra.Command{
		Use:   "emulators",
		Short: "Run the Pub/Sub and Firestore emulators alone",
		Args:  checkArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			options, err := flags.options()
			_, namesErr := config.CheckNames(os.Environ())
			if err := errors.Join(err, namesErr); err != nil {
				return err
			}
			return runDev(cmd, dev.Config{Emulators: options, NoAPI: true, NoExecutor: true})
		},
	}
	flags.add(cmd)
	return cmd
}

// emulatorFlags are the flags of commands that run the emulators.
type emulatorFlags struct {
	emulators dev.EmulatorOptions // all but the folder
	data      string
	indexes   string
	resources string
	inMemory  bool
}

func (e *emulatorFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&e.emulators.PubSub, "pubsub", "127.0.0.1:8085", "address of the Pub/Sub emulator")
	f.StringVar(&e.emulators.Firestore, "firestore", "127.0.0.1:8080", "address of the Firestore emulator")
	f.StringVar(&e.data, "data", ".airlock", "folder of the emulators' data")
	f.StringToStringVar(&e.emulators.TTL, "ttl", nil, "Firestore documents that expire: collection=field, where the field holds the time")
	f.StringVar(&e.indexes, "firestore-indexes", "", "a firestore.indexes.json: refuse queries without their index, as Google's Firestore does")
	f.StringVar(&e.resources, "pubsub-create", "", "a JSON file of topics and subscriptions that exist from the start")
	f.BoolVar(&e.emulators.PubSubDenyAdmin, "pubsub-deny-admin", false, "refuse every admin call of Pub/Sub, as for a client that may only publish and subscribe")
	f.BoolVar(&e.inMemory, "memory", false, "hold the emulators' data in memory only")
}

func (e *emulatorFlags) options() (dev.EmulatorOptions, error) {
	o := e.emulators
	var err, resourcesErr, dirErr error
	if e.indexes != "" {
		if o.Indexes, err = dev.ReadIndexes(e.indexes); err != nil {
			err = fmt.Errorf("--firestore-indexes: %w", err)
		}
	}
	if e.resources != "" {
		if o.PubSubCreate, resourcesErr = dev.ReadResources(e.resources); resourcesErr != nil {
			resourcesErr = fmt.Errorf("--pubsub-create: %w", resourcesErr)
		}
	}
	if !e.inMemory {
		o.Dir, dirErr = filepath.Abs(e.data)
	}
	return o, errors.Join(err, resourcesErr, dirErr)
}

func runDev(cmd *cobra.Command, c dev.Config) error {
	log, err := process.ConsoleLogger()
	if err != nil {
		return err
	}
	process.RelaxGC()
	ctx, stop := process.Context()
	defer stop()
	err = dev.Run(ctx, c, log, func(s dev.Started) {
		out := cmd.OutOrStdout()
		if s.API != "" {
			fmt.Fprintf(out, "Airlock     http://%s  (default runtime: %s)\n", s.API, s.DefaultRuntime)
		}
		fmt.Fprintf(out, "Firestore   FIRESTORE_EMULATOR_HOST=%s\n", s.Firestore)
		fmt.Fprintf(out, "Pub/Sub     PUBSUB_EMULATOR_HOST=%s\n", s.PubSub)
		if s.PepperFile != "" {
			fmt.Fprintf(out, "A first key FIRESTORE_EMULATOR_HOST=%s AIRLOCK_API_KEY_PEPPER_FILE=%s airlock keys issue --tenant local\n", s.Firestore, s.PepperFile)
		}
		if dir := c.Emulators.Dir; dir != "" {
			fmt.Fprintf(out, "Data        %s\n", dir)
		}
		fmt.Fprintln(out, "Stop with Ctrl-C.")
	})
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
