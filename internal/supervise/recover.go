package supervise

import (
	"fmt"
	"runtime/debug"

	"go.uber.org/zap"
)

// Error is a panic, as the error of the work that it ended. It does not wrap
// the panic's value: a panic never counts as the error that it was raised with.
type PanicError struct {
	Value any
	Stack []byte // of the panic
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v\n\n%s", e.Value, e.Stack) }

// Panic makes a panic of the function that defers it its error:
//
//	func look(…) (err error) {
//		defer supervise.RecoverTo(&err)
//
// It belongs around work on what one tenant or one job has given, first in its
// function, so that what the others defer is done before.
func RecoverTo(err *error) {
	if v := recover(); v != nil {
		*err = &PanicError{Value: v, Stack: debug.Stack()}
	}
}

// Log is Panic for work whose error nobody waits for.
func RecoverLog(log *zap.Logger, what string) {
	if v := recover(); v != nil {
		log.Error(what, zap.Error(&PanicError{Value: v, Stack: debug.Stack()}))
	}
}
