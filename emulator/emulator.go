// Package emulator runs emulators of Google Pub/Sub and Firestore inside a Go program.
//
// It answers the calls of Google's client libraries, in any language, that use PUBSUB_EMULATOR_HOST and
// FIRESTORE_EMULATOR_HOST, and keeps the data in one folder. A crash loses nothing that a call has acknowledged. The
// package never checks credentials: listen on loopback addresses only.
//
//	e, err := emulator.Start(ctx, emulator.Options{Dir: "data", PubSub: "127.0.0.1:8085", Firestore: "127.0.0.1:8080"})
//	...
//	err = e.Serve(ctx) // until ctx ends
//
// The packages pubsub and firestore contain the two emulators, for a program that needs only one of them or has a gRPC
// server of its own. Package emulatortest is for Go tests.
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

	"github.com/airlock-run/airlock/emulator/firestore"
	"github.com/airlock-run/airlock/emulator/pubsub"
)

// Options say where the emulators listen and where they keep their data.
type Options struct {
	Dir       string            // "" keeps the data in memory
	PubSub    string            // address to listen on, host:port; port 0 selects a free port
	Firestore string            // likewise
	TTL       map[string]string // of Firestore: collection ID to the name of the field with the expiry time
	Logger    *zap.Logger       // nil discards everything
	// Indexes, if not nil, turn on the strict mode of Firestore: see firestore.Options.
	Indexes *firestore.Indexes
	// PubSubCreate and PubSubDenyAdmin are the strict mode of Pub/Sub: see pubsub.Options.
	PubSubCreate    pubsub.Resources
	PubSubDenyAdmin bool
}

// Emulators are the two servers.
type Emulators struct {
	PubSub, Firestore string // the addresses they listen on
	servers           []server
	firestore         *firestore.Server
}

type server struct {
	grpc     *grpc.Server
	listener net.Listener
	service  Service
}

// Start opens the data and the listeners. Serve answers the calls. An error that is caused by the folder of the data
// is a *LockedError, *KindError, *VersionError or *CorruptError.
func Start(ctx context.Context, o Options) (*Emulators, error) {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	var e Emulators
	p, err := pubsub.Open(pubsub.Options{
		Dir: subdir(o.Dir, "pubsub"), Logger: o.Logger.Named("pubsub"), Create: o.PubSubCreate, DenyAdmin: o.PubSubDenyAdmin,
	})
	if err != nil {
		return nil, fmt.Errorf("pubsub emulator: %w", err)
	}
	if e.PubSub, err = e.listen(ctx, o.PubSub, p); err != nil {
		return nil, errors.Join(fmt.Errorf("pubsub emulator: %w", err), e.Close())
	}
	f, err := firestore.Open(firestore.Options{Dir: subdir(o.Dir, "firestore"), TTL: o.TTL, Logger: o.Logger.Named("firestore"), Indexes: o.Indexes})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("firestore emulator: %w", err), e.Close())
	}
	e.firestore = f
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

func (e *Emulators) listen(ctx context.Context, address string, s Service) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return "", errors.Join(fmt.Errorf("%w (is another emulator running? choose another address)", err), s.Close())
	}
	e.servers = append(e.servers, server{grpc: NewServer(s), listener: l, service: s})
	return l.Addr().String(), nil
}

// Serve answers calls until ctx ends, and then closes the emulators.
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

// Close ends the streams, waits for the active calls and for the disk, and unlocks the folder.
func (e *Emulators) Close() error {
	var errs []error
	for _, s := range e.servers {
		errs = append(errs, s.service.Close())
		s.grpc.GracefulStop()
		_ = s.listener.Close() // GracefulStop has closed it if Serve was called
	}
	return errors.Join(errs...)
}
