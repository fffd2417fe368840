package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/client"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// The errors of this package. None of them is an outcome of a job. Except after ErrInvalidJob, another attempt may run
// the execution, here or on another host.
var (
	// ErrUnreachable means that no Engine answers.
	ErrUnreachable = errors.New("no container engine answers")
	// ErrForbidden means that this process may not use the Engine's socket.
	ErrForbidden = errors.New("no permission to use the container engine")
	// ErrNoImage means that the Engine does not have the image.
	ErrNoImage = errors.New("image is not on the container engine")
	// ErrNoRuntime means that the Engine does not know the OCI runtime.
	ErrNoRuntime = errors.New("runtime is not known to the container engine")
	// ErrTooOld means that the Engine's API lacks a feature that the sandbox needs.
	ErrTooOld = errors.New("container engine is too old")
	// ErrRefused means that the Engine answered with an error.
	ErrRefused = errors.New("container engine refused")
	// ErrLost means that a container or its connection ended without a result.
	ErrLost = errors.New("sandbox was lost")
	// ErrProtocol means that the container sent something that its init does not send.
	ErrProtocol = errors.New("sandbox violated the protocol")
	// ErrFault means that init could not run the job. If the reason is that the agent's program is not in the image, it
	// is within a *sandbox.StartError.
	ErrFault = errors.New("sandbox could not run the agent")
	// ErrInvalidJob means that no sandbox can run the job.
	ErrInvalidJob = sandbox.ErrInvalidJob
)

// engineError translates an error that the Engine's client returned for op. If ctx has ended, the Engine is not at
// fault and the result is the cause of ctx.
func engineError(ctx context.Context, op string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case client.IsErrConnectionFailed(err) && errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: %w: %w", op, ErrForbidden, err)
	case isConnectionError(err) || errdefs.IsUnavailable(err):
		return fmt.Errorf("%s: %w: %w", op, ErrUnreachable, err)
	default:
		return fmt.Errorf("%s: %w: %w", op, ErrRefused, err)
	}
}

// isConnectionError reports whether no complete answer of the Engine arrived. The client wraps such an error only for
// calls that do not attach to a container.
func isConnectionError(err error) bool {
	var network *net.OpError
	return client.IsErrConnectionFailed(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.As(err, &network)
}

// containerError translates an error about a container that should exist. Somebody else may have removed it.
func containerError(ctx context.Context, op string, err error) error {
	if errdefs.IsNotFound(err) {
		return fmt.Errorf("%s: %w: %w", op, ErrLost, err)
	}
	return engineError(ctx, op, err)
}
