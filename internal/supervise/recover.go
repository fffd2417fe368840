package supervise

import (
	"fmt"
	"runtime/debug"

	"go.uber.org/zap"
)

// PanicError is a panic that was turned into an error. It does not wrap the panic's value: code that checks for an
// error must not take panic(io.EOF) for io.EOF.
type PanicError struct {
	Value any
	Stack []byte // of the panic
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v\n\n%s", e.Value, e.Stack) }

// RecoverTo turns a panic of the calling function into its error:
//
//	func handle(…) (err error) {
//		defer supervise.RecoverTo(&err)
//
// Use it where a panic over the data of one tenant or one job must not stop the work for others. It must be the first
// defer statement, so that the function's other deferred calls have run when it returns.
func RecoverTo(err *error) {
	if v := recover(); v != nil {
		*err = &PanicError{Value: v, Stack: debug.Stack()}
	}
}

// RecoverLog is RecoverTo for functions without an error: it logs the panic.
func RecoverLog(log *zap.Logger, message string) {
	if v := recover(); v != nil {
		log.Error(message, zap.Error(&PanicError{Value: v, Stack: debug.Stack()}))
	}
}
