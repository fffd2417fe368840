package docker

import (
	"context"
	"errors"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/supervise"
)

// startError returns err, which ended a run before the agent's start, as a *sandbox.StartError. It returns the cause
// of ctx if ctx has ended. It does not change an error that the job itself may have caused.
func startError(ctx context.Context, err error) error {
	var known *sandbox.StartError
	var panicked *supervise.PanicError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &known), errors.Is(err, ErrInvalidJob), errors.As(err, &panicked):
		return err
	}
	return &sandbox.StartError{Cause: startFailure(err), Err: err}
}

func startFailure(err error) sandbox.StartFailure {
	switch {
	case errors.Is(err, errContainerStartTimeout), errors.Is(err, errAgentStartTimeout):
		return sandbox.StartTimedOut // before ErrUnreachable, which the first one contains
	case errors.Is(err, errNoFreeUID):
		return sandbox.NoFreeUID
	case errors.Is(err, ErrNoImage):
		return sandbox.ImageMissing
	case errors.Is(err, ErrProtocol), errors.Is(err, errInitUnusable), errors.Is(err, errImageRefused),
		errors.Is(err, errAgentNotStarted):
		return sandbox.ImageUnusable
	case errors.Is(err, ErrUnreachable), errors.Is(err, ErrForbidden), errors.Is(err, errDisconnected):
		return sandbox.EngineUnreachable
	default:
		return sandbox.EngineRefused
	}
}
