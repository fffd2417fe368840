package app

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/netip"

	"github.com/caarlos0/env/v11"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/emulator"
	"github.com/airlock-run/airlock/internal/store"
)

// Dev is everything on one machine: the emulators, the API and one executor,
// wired as they are in the cloud.
type Dev struct {
	API        API
	Executor   Executor
	Emulators  emulator.Options
	BlobURL    string // default: beside the emulators' data
	NoAPI      bool
	NoExecutor bool
}

// Started says where the parts are; empty are those that were left out.
type Addresses struct {
	API       string
	Firestore string
	PubSub    string
	// PepperFile is set where callers are known by keys and the pepper is in a file.
	PepperFile string
}

// loopbacks are this machine's own addresses: who develops receives webhooks there.
var loopbackNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// LoadDev reads the parts' configuration from the environment. Where Firestore
// and Pub/Sub are, the emulators say.
func LoadDev() (Dev, error) {
	api, apiErr := env.ParseAs[API]()
	executor, executorErr := env.ParseAs[Executor]()
	executor.Cloud = api.Cloud // of which a part can be read once
	if api.DefaultRuntime == "" && api.RuntimesFile == "" && executor.AnthropicAPIKey != "" {
		api.DefaultRuntime = "claude"
	}
	if len(api.WebhookPrivateNetworks) == 0 {
		api.WebhookPrivateNetworks, executor.WebhookPrivateNetworks = loopbackNetworks, loopbackNetworks
	}
	executor.MetricsListenAddr = "" // the API's has them all
	blobURL := api.BlobURL
	api.setDefaults()
	executor.setDefaults()
	return Dev{API: api, Executor: executor, BlobURL: blobURL}, errors.Join(apiErr, executorErr)
}

// RunDev runs all of it until ctx ends. It calls started once everything
// listens. The emulators end last, so that the others can finish their work.
func RunDev(ctx context.Context, d Dev, log *zap.Logger, onStarted func(Addresses)) (err error) {
	blobURL, removeBlobs, err := d.blobLocation()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeBlobs()) }()
	d.Emulators.Logger = log.Named("emulator")
	ttl := store.TTL()
	maps.Copy(ttl, d.Emulators.TTL)
	d.Emulators.TTL = ttl
	emulators, err := emulator.Start(ctx, d.Emulators)
	if err != nil {
		return err
	}
	cloud := Cloud{Services: Services{Project: LocalProject, FirestoreHost: emulators.Firestore, PubSubHost: emulators.PubSub}, BlobURL: blobURL}
	d.API.Cloud, d.Executor.Cloud = cloud, cloud
	if err := errors.Join(d.ensurePepper(), d.validate()); err != nil {
		return errors.Join(err, emulators.Close())
	}

	emulatorCtx, stopEmulators := context.WithCancel(context.WithoutCancel(ctx))
	defer stopEmulators()
	g, emulatorCtx := errgroup.WithContext(emulatorCtx)
	g.Go(func() error { return emulators.Serve(emulatorCtx) })
	g.Go(func() error {
		defer stopEmulators()
		return runServices(ctx, emulatorCtx, d, log, Addresses{Firestore: emulators.Firestore, PubSub: emulators.PubSub, PepperFile: d.API.PepperFile}, onStarted)
	})
	return g.Wait()
}

// check looks at the parts that are not left out.
func (d *Dev) validate() error {
	var errs []error
	if !d.NoAPI {
		errs = append(errs, d.API.validate())
	}
	if !d.NoExecutor {
		errs = append(errs, d.Executor.validate())
	}
	return errors.Join(errs...)
}

// runParts runs the API and the executor until ctx ends or the emulators fail.
func runServices(ctx, emulatorCtx context.Context, d Dev, log *zap.Logger, addresses Addresses, onStarted func(Addresses)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(emulatorCtx, cancel)()

	g, ctx := errgroup.WithContext(ctx)
	if !d.NoExecutor {
		g.Go(func() error { return RunExecutor(ctx, d.Executor, log) })
	}
	if d.NoAPI {
		onStarted(addresses)
	} else {
		g.Go(func() error {
			return RunAPI(ctx, d.API, log, func(a net.Addr) {
				addresses.API = a.String()
				onStarted(addresses)
			})
		})
	}
	g.Go(func() error { // keeps the emulators up where both are left out
		<-ctx.Done()
		return nil
	})
	return g.Wait()
}
