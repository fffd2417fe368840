// Package dev runs everything on one machine: the emulators, the API and one executor, wired as in the cloud. Settings
// come in from the environment and the command line; the addresses go out as soon as everything listens. It is the only
// package of the product that imports the emulators, and no service imports it.
package dev

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/emulator"
	"github.com/airlock-run/airlock/emulator/firestore"
	"github.com/airlock-run/airlock/emulator/pubsub"
	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/app/apiserver"
	"github.com/airlock-run/airlock/internal/app/config"
	"github.com/airlock-run/airlock/internal/app/executorservice"
	"github.com/airlock-run/airlock/internal/domain/environment"
	"github.com/airlock-run/airlock/internal/store"
)

// EmulatorOptions say where the emulators listen and keep their data.
type EmulatorOptions = emulator.Options

// ReadIndexes reads a firestore.indexes.json, for EmulatorOptions.
func ReadIndexes(path string) (*firestore.Indexes, error) { return firestore.ReadIndexes(path) }

// ReadResources reads a file of topics and subscriptions, for EmulatorOptions.
func ReadResources(path string) (pubsub.Resources, error) { return pubsub.ReadResources(path) }

// Config is the configuration of everything on one machine. The runtimes file is the API's.
type Config struct {
	API        config.API
	Executor   config.Executor
	Emulators  EmulatorOptions
	BlobURL    string // default: beside the emulators' data
	NoAPI      bool
	NoExecutor bool
}

// Started says where the parts listen; it is empty for a part that is left out.
type Started struct {
	API            string
	DefaultRuntime string
	Firestore      string
	PubSub         string
	// PepperFile is set if callers are authenticated by keys and the pepper is in a file.
	PepperFile string
}

// loopbackNetworks may receive webhooks: a developer's receiver is on this machine.
var loopbackNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// Load reads the configuration of the parts from the environment. The addresses of Firestore and Pub/Sub do not matter:
// Run starts its own emulators.
func Load() (Config, error) {
	api, apiErr := config.Parse[config.API]()
	executor, executorErr := config.Parse[config.Executor]()
	executor.Common = api.Common // the environment of FIRESTORE_EMULATOR_HOST can be read only once
	if api.DefaultRuntime == "" && api.RuntimesFile == "" && executor.AnthropicAPIKey != "" {
		api.DefaultRuntime = "claude"
	}
	if len(api.WebhookPrivateNetworks) == 0 {
		api.WebhookPrivateNetworks, executor.WebhookPrivateNetworks = loopbackNetworks, loopbackNetworks
	}
	if api.EgressHosts.Empty() {
		api.EgressHosts, executor.EgressHosts = environment.DevCeiling(), environment.DevCeiling()
	}
	executor.MetricsListenAddr = ""          // the API serves the metrics of this process
	executor.StepsListenAddr = "127.0.0.1:0" // the API is in this process
	blobURL := api.BlobURL
	api.SetDefaults()
	executor.SetDefaults()
	return Config{API: api, Executor: executor, BlobURL: blobURL}, joinDistinct(apiErr, executorErr)
}

// Run runs all of it until ctx ends. It calls onStarted when everything listens. The emulators stop last, so that the
// others can finish their work.
func Run(ctx context.Context, c Config, log *zap.Logger, onStarted func(Started)) (err error) {
	if err := checkDataVersion(c.Emulators.Dir); err != nil {
		return err
	}
	blobURL, removeBlobs, err := c.blobLocation()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeBlobs()) }()
	c.Emulators.Logger = log.Named("emulator")
	ttl := store.TTL()
	maps.Copy(ttl, c.Emulators.TTL)
	c.Emulators.TTL = ttl
	emulators, err := emulator.Start(ctx, c.Emulators)
	if err != nil {
		return err
	}
	cloud := config.Cloud{
		Services: config.Services{Project: config.LocalProject, FirestoreHost: emulators.Firestore, PubSubHost: emulators.PubSub},
		BlobURL:  blobURL, PubSubManage: !c.Emulators.PubSubDenyAdmin,
	}
	c.API.Cloud, c.Executor.Cloud = cloud, cloud
	p, err := c.prepare(log)
	if err != nil {
		return errors.Join(err, emulators.Close())
	}

	emulatorCtx, stopEmulators := context.WithCancel(context.WithoutCancel(ctx))
	defer stopEmulators()
	g, emulatorCtx := errgroup.WithContext(emulatorCtx)
	g.Go(func() error { return emulators.Serve(emulatorCtx) })
	g.Go(func() error {
		defer stopEmulators()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(emulatorCtx, cancel)()
		return p.run(ctx, log, onStarted)
	})
	return g.Wait()
}

// parts are the services beside the emulators; nil: the part is left out.
type parts struct {
	api      *apiserver.Settings
	executor *executorservice.Settings
	started  Started
}

// prepare checks the configuration of the parts and reads their files. It reports everything that is wrong at once.
func (c *Config) prepare(log *zap.Logger) (parts, error) {
	p := parts{started: Started{Firestore: c.API.FirestoreHost, PubSub: c.API.PubSubHost}}
	if c.NoAPI && c.NoExecutor {
		return p, nil
	}
	errs := []error{c.ensurePepper()}
	runtimes, err := catalog.Load(c.API.RuntimesFile)
	if err != nil {
		errs = append(errs, fmt.Errorf("AIRLOCK_RUNTIMES_FILE: %w", err))
	}
	unknown, err := config.CheckNames(os.Environ(), runtimes.KeyVariables()...)
	errs = append(errs, err)
	if len(unknown) > 0 && err == nil {
		log.Warn("no program reads these variables", zap.Strings("variables", unknown))
	}
	if !c.NoAPI {
		api, err := apiserver.Prepare(c.API, runtimes)
		errs = append(errs, err)
		p.api, p.started.DefaultRuntime, p.started.PepperFile = &api, api.DefaultRuntime, api.PepperFile
	}
	if !c.NoExecutor {
		executor, err := executorservice.Prepare(c.Executor, runtimes)
		errs = append(errs, err)
		p.executor = &executor
	}
	return p, joinDistinct(errs...)
}

// run runs the API and the executor until ctx ends.
func (p parts) run(ctx context.Context, log *zap.Logger, onStarted func(Started)) error {
	g, ctx := errgroup.WithContext(ctx)
	if p.executor != nil {
		g.Go(func() error { return executorservice.Run(ctx, *p.executor, log) })
	}
	if p.api == nil {
		onStarted(p.started)
	} else {
		g.Go(func() error {
			return apiserver.Run(ctx, *p.api, log, func(a net.Addr) {
				p.started.API = a.String()
				onStarted(p.started)
			})
		})
	}
	g.Go(func() error { // the emulators run on if both parts are left out
		<-ctx.Done()
		return nil
	})
	return g.Wait()
}

// joinDistinct joins errors like errors.Join, but drops repeated ones: both parts report a wrong value of a variable
// that both read.
func joinDistinct(errs ...error) error {
	var distinct []error
	seen := map[string]bool{}
	for _, err := range flatten(errs) {
		if !seen[err.Error()] {
			seen[err.Error()] = true
			distinct = append(distinct, err)
		}
	}
	return errors.Join(distinct...)
}

// flatten undoes errors.Join.
func flatten(errs []error) (flat []error) {
	for _, err := range errs {
		several, ok := err.(interface{ Unwrap() []error }) // not errors.As: a wrapped one has a text of its own
		switch {
		case err == nil:
		case ok && errors.Join(several.Unwrap()...).Error() == err.Error():
			flat = append(flat, flatten(several.Unwrap())...)
		default:
			flat = append(flat, err)
		}
	}
	return flat
}
