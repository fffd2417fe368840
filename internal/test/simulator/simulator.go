// Package simulator runs the core of Airlock at a scale that one machine cannot: the API and many executors in one
// process, wired as shipped, with sandboxes that only wait, and emulators that are as slow as Google's services. It
// counts each call, and what Google would bill for it.
//
// In: the size of the fleet, the latencies, and a scenario. Out: a Report with figures. Nothing below the API's HTTP
// and the executor's settings is known here but the names of collections and topics, so the figures of two commits can
// be compared (docs/scale.md).
package simulator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/airlock-run/airlock/emulator"
	"github.com/airlock-run/airlock/emulator/firestore"
	"github.com/airlock-run/airlock/emulator/pubsub"
	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/app/apiserver"
	"github.com/airlock-run/airlock/internal/app/config"
	"github.com/airlock-run/airlock/internal/app/executorservice"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/test/faultproxy"
)

// Options are the size of the fleet and its surroundings.
type Options struct {
	APIs      int // processes of the API; at least 1
	Executors int
	Slots     int // of each executor
	Latency   Latency
	Dir       string      // of the emulators' data; "" keeps it in memory
	Log       *zap.Logger // of the product; nil discards it
}

// runtimeName is the only runtime of the fleet.
const runtimeName = "simulated"

const runtimes = `
runtimes:
- name: ` + runtimeName + `
  image: simulated
  contract: command
  argv: [simulated]
`

// Fleet is the emulators and the processes that use them. The zero latency applies until SetLatency is called, so that
// a scenario can prepare quickly.
type Fleet struct {
	Meter    *Meter
	Observer *Observer

	options   Options
	sandboxes *sandboxes
	emulators *emulators
	blobs     string
	apis      []*service
	executors []*service
}

// service is a process of the product, as a group of goroutines.
type service struct {
	name    string
	url     string // of an API
	cancel  context.CancelFunc
	running errgroup.Group
	proxies []*faultproxy.Proxy // between it and the emulators
}

func (s *service) stop() error {
	s.cancel()
	err := s.running.Wait()
	for _, p := range s.proxies {
		err = errors.Join(err, p.Close())
	}
	return err
}

// NewFleet starts the emulators. StartAPIs and StartExecutors start the rest.
func NewFleet(ctx context.Context, o Options) (*Fleet, error) {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	f := &Fleet{Observer: newObserver(), options: o, sandboxes: newSandboxes()}
	f.Meter = newMeter(Latency{}, f.Observer)
	var err error
	if f.blobs, err = os.MkdirTemp("", "airlock-simulator-"); err != nil {
		return nil, err
	}
	if f.emulators, err = startEmulators(ctx, o.Dir, f.Meter); err != nil {
		return nil, errors.Join(err, os.RemoveAll(f.blobs))
	}
	return f, nil
}

// Start starts a whole fleet, with its latency.
func Start(ctx context.Context, o Options) (*Fleet, error) {
	f, err := NewFleet(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.StartAPIs(ctx), f.StartExecutors(ctx)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	f.Meter.SetLatency(o.Latency)
	return f, nil
}

// Close stops everything. The emulators answer at once, so that the processes end soon.
func (f *Fleet) Close() error {
	f.Meter.SetLatency(Latency{})
	return errors.Join(f.stopServices(), f.emulators.close(), os.RemoveAll(f.blobs))
}

// stopServices stops all processes but the emulators. StartAPIs and StartExecutors start others.
func (f *Fleet) stopServices() error {
	all := slices.Concat(f.executors, f.apis)
	f.executors, f.apis = nil, nil
	var stopping errgroup.Group
	for _, s := range all {
		stopping.Go(s.stop)
	}
	return stopping.Wait()
}

// cloud returns where a process finds the services.
func (f *Fleet) cloud(firestoreHost, pubSubHost string) config.Cloud {
	return config.Cloud{
		Services: config.Services{Project: config.LocalProject, FirestoreHost: firestoreHost, PubSubHost: pubSubHost},
		BlobURL:  config.FileURL(f.blobs), PubSubManage: true,
	}
}

// StartAPIs starts the processes of the API and waits until they listen.
func (f *Fleet) StartAPIs(ctx context.Context) error {
	c, err := config.Parse[config.API]()
	if err != nil {
		return err
	}
	c.Cloud = f.cloud(f.emulators.firestore, f.emulators.pubSub)
	c.ListenAddr, c.AuthMode, c.MaxQueued, c.ShutdownGracePeriod = "127.0.0.1:0", config.AuthDev, 0, time.Second
	c.SetDefaults()
	known, err := catalog.Parse([]byte(runtimes))
	if err != nil {
		return err
	}
	settings, err := apiserver.Prepare(c, known)
	if err != nil {
		return err
	}
	for i := range max(1, f.options.APIs) {
		s := &service{name: fmt.Sprintf("api-%d", i)}
		f.apis = append(f.apis, s)
		listening, ended := make(chan net.Addr, 1), make(chan struct{})
		f.run(ctx, s, func(ctx context.Context) error {
			defer close(ended)
			return apiserver.Run(ctx, settings, f.options.Log, func(a net.Addr) { listening <- a })
		})
		select {
		case a := <-listening:
			s.url = "http://" + a.String()
		case <-ended:
			return s.stop()
		}
	}
	return nil
}

// StartExecutors starts the executors. Each has connections of its own, which kill cuts.
func (f *Fleet) StartExecutors(ctx context.Context) error {
	known, err := catalog.Parse([]byte(runtimes))
	if err != nil {
		return err
	}
	for i := range f.options.Executors {
		s := &service{name: fmt.Sprintf("executor-%d", i)}
		f.executors = append(f.executors, s)
		var hosts [2]string
		for i, target := range []string{f.emulators.firestore, f.emulators.pubSub} {
			p, err := faultproxy.Listen("tcp", "127.0.0.1:0", target)
			if err != nil {
				return err
			}
			s.proxies, hosts[i] = append(s.proxies, p), p.Addr()
		}
		c, err := config.Parse[config.Executor]()
		if err != nil {
			return err
		}
		c.Cloud = f.cloud(hosts[0], hosts[1])
		c.Name, c.Slots, c.ShutdownGracePeriod, c.MetricsListenAddr, c.HealthListenAddr = s.name, f.options.Slots, 0, "", ""
		c.SetDefaults()
		settings, err := executorservice.Prepare(c, known)
		if err != nil {
			return err
		}
		f.run(ctx, s, func(ctx context.Context) error {
			return executorservice.RunWithDriver(ctx, settings, f.sandboxes.newDriver, f.options.Log)
		})
	}
	return nil
}

func (f *Fleet) run(ctx context.Context, s *service, run func(context.Context) error) {
	ctx, s.cancel = context.WithCancel(ctx)
	s.running.Go(func() error { return run(ctx) })
}

// kill cuts all connections of an executor, for ever: nothing that it does is seen any more.
func (f *Fleet) kill(executor int) {
	for _, p := range f.executors[executor].proxies {
		p.Set(faultproxy.Unreachable)
	}
}

// revive lets an executor that was killed end properly.
func (f *Fleet) revive(executor int) {
	for _, p := range f.executors[executor].proxies {
		p.Clear()
	}
}

// slots returns the number of slots of the whole fleet.
func (f *Fleet) slots() int { return f.options.Executors * f.options.Slots }

// emulators are Firestore and Pub/Sub, each behind the meter and, for the scenario itself, without it.
type emulators struct {
	firestore, pubSub             string // addresses, metered
	directFirestore, directPubSub string
	services                      []emulator.Service
	servers                       []*grpc.Server
	running                       errgroup.Group
}

func startEmulators(ctx context.Context, dir string, m *Meter) (*emulators, error) {
	folder := func(name string) string {
		if dir == "" {
			return ""
		}
		return dir + "/" + name
	}
	e := &emulators{}
	fs, err := firestore.Open(firestore.Options{Dir: folder("firestore"), TTL: store.TTL()})
	if err != nil {
		return nil, err
	}
	e.services = append(e.services, fs)
	ps, err := pubsub.Open(pubsub.Options{Dir: folder("pubsub")})
	if err != nil {
		return nil, errors.Join(err, e.close())
	}
	e.services = append(e.services, ps)
	for _, l := range []struct {
		address *string
		service emulator.Service
		options []grpc.ServerOption
	}{
		{&e.firestore, fs, m.serverOptions()}, {&e.pubSub, ps, m.serverOptions()},
		{&e.directFirestore, fs, nil}, {&e.directPubSub, ps, nil},
	} {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, errors.Join(err, e.close())
		}
		*l.address = listener.Addr().String()
		server := emulator.NewServer(l.service, l.options...)
		e.servers = append(e.servers, server)
		e.running.Go(func() error { return server.Serve(listener) })
	}
	return e, nil
}

func (e *emulators) close() error {
	var errs []error
	for _, s := range e.services {
		errs = append(errs, s.Close())
	}
	for _, s := range e.servers {
		s.Stop()
	}
	return errors.Join(append(errs, e.running.Wait())...)
}
