package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/client"
)

// What can go wrong besides the job. None of these is an outcome of a job; the
// execution may be tried again, here or elsewhere, except after ErrInvalidJob.
var (
	// ErrUnreachable says that no Engine answers.
	ErrUnreachable = errors.New("no container engine answers")
	// ErrForbidden says that this user may not speak to the Engine.
	ErrForbidden = errors.New("no permission to use the container engine")
	// ErrNoImage says that the Engine does not have the image.
	ErrNoImage = errors.New("image is not on the container engine")
	// ErrNoRuntime says that the Engine does not know the OCI runtime.
	ErrNoRuntime = errors.New("runtime is not known to the container engine")
	// ErrTooOld says that the Engine lacks what the sandbox is built on.
	ErrTooOld = errors.New("container engine is too old")
	// ErrRefused says that the Engine answered with an error.
	ErrRefused = errors.New("container engine refused")
	// ErrLost says that a container ended, or its connection, without a result.
	ErrLost = errors.New("sandbox was lost")
	// ErrProtocol says that what came from a container was not its init's.
	ErrProtocol = errors.New("sandbox broke the protocol")
	// ErrFault says that init could not do its part; for instance the agent's
	// program is not in the image.
	ErrFault = errors.New("sandbox could not run the agent")
	// ErrInvalidJob says that the job cannot be run anywhere.
	ErrInvalidJob = errors.New("invalid job")
)

// engineError translates what the Engine's client returned from op. A context
// that ended is not the Engine's doing: its cause is returned as it is.
func engineError(ctx context.Context, op string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case client.IsErrConnectionFailed(err) && errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: %w: %w", op, ErrForbidden, err)
	case client.IsErrConnectionFailed(err) || errdefs.IsUnavailable(err):
		return fmt.Errorf("%s: %w: %w", op, ErrUnreachable, err)
	default:
		return fmt.Errorf("%s: %w: %w", op, ErrRefused, err)
	}
}
