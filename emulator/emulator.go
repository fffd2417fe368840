// Package emulator serves Pub/Sub and Firestore on this machine, for any
// program that honours PUBSUB_EMULATOR_HOST and FIRESTORE_EMULATOR_HOST.
package emulator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"github.com/airlock-run/airlock/emulator/firestore"
	"github.com/airlock-run/airlock/emulator/pubsub"
)

// maxMessage is the largest call that is taken: Pub/Sub takes 10 MB, Firestore
// 10 MiB and some for what surrounds them.
const maxMessageBytes = 16 << 20

// streamWorkers keep the stacks of what was answered for what comes next; calls
// beyond them get goroutines of their own. Without them a call grows its stack
// several times, which was 5 % of an execution's CPU time.
const streamWorkers = 128

// ServerOptions are those of the server that either emulator registers with.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.MaxRecvMsgSize(maxMessageBytes), grpc.MaxSendMsgSize(maxMessageBytes), grpc.NumStreamWorkers(streamWorkers)}
}

// Options say where the emulators listen and keep their data.
type Options struct {
	Dir       string // "": in memory only
	PubSub    string // host:port; port 0 takes any free one
	Firestore string
	TTL       map[string]string // of Firestore: collection group to the field that says when its documents expire
	Logger    *zap.Logger
}

// Emulators are the two servers, listening.
type Emulators struct {
	PubSub, Firestore string // addresses they listen on
	servers           []server
}

type server struct {
	grpc     *grpc.Server
	listener net.Listener
	service  service
}

// service is one of the two emulators.
type service interface {
	Register(grpc.ServiceRegistrar)
	Close() error // ends what streams there are, and makes the data safe
}

// Start opens the data and listens. What listens is served by Serve.
func Start(ctx context.Context, o Options) (*Emulators, error) {
	var e Emulators
	p, err := pubsub.Open(pubsub.Options{Dir: subdir(o.Dir, "pubsub"), Logger: o.Logger.Named("pubsub")})
	if err != nil {
		return nil, fmt.Errorf("pubsub emulator: %w", err)
	}
	if e.PubSub, err = e.listen(ctx, o.PubSub, p); err != nil {
		return nil, errors.Join(fmt.Errorf("pubsub emulator: %w", err), e.Close())
	}
	f, err := firestore.Open(firestore.Options{Dir: subdir(o.Dir, "firestore"), TTL: o.TTL, Logger: o.Logger.Named("firestore")})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("firestore emulator: %w", err), e.Close())
	}
	if e.Firestore, err = e.listen(ctx, o.Firestore, f); err != nil {
		return nil, errors.Join(fmt.Errorf("firestore emulator: %w", err), e.Close())
	}
	return &e, nil
}

func subdir(dir, name string) string {
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, name)
}

func (e *Emulators) listen(ctx context.Context, address string, s service) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return "", errors.Join(fmt.Errorf("%w (is another emulator running? choose another address)", err), s.Close())
	}
	g := grpc.NewServer(ServerOptions()...)
	s.Register(g)
	grpc_health_v1.RegisterHealthServer(g, health.NewServer())
	reflection.Register(g)
	e.servers = append(e.servers, server{grpc: g, listener: l, service: s})
	return l.Addr().String(), nil
}

// Serve answers until ctx ends, then closes everything.
func (e *Emulators) Serve(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, s := range e.servers {
		g.Go(func() error { return s.grpc.Serve(s.listener) })
	}
	g.Go(func() error {
		<-ctx.Done()
		return e.Close()
	})
	return g.Wait()
}

// Close ends the streams, answers what is being asked, and makes the data safe.
func (e *Emulators) Close() error {
	var errs []error
	for _, s := range e.servers {
		errs = append(errs, s.service.Close())
		s.grpc.GracefulStop()
		_ = s.listener.Close() // closed already where it was served
	}
	return errors.Join(errs...)
}
