package store

import (
	"errors"
	"slices"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

var rejections = []error{
	execution.ErrTerminal, execution.ErrLeased, execution.ErrLeaseLost, execution.ErrNotDue,
	execution.ErrThrottled, execution.ErrStartDeadlineExceeded, ErrEarlierTurnPending,
}

// IsRejection reports whether an error of Apply says that the execution does not exist, or that the event does not fit
// its state. It is an answer, not a fault: there is no reason to apply the event again.
func IsRejection(err error) bool {
	var notFound *NotFoundError
	return errors.As(err, &notFound) || slices.ContainsFunc(rejections, func(target error) bool { return errors.Is(err, target) })
}
