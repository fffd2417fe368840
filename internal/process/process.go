// Package process has what every program of Airlock does around its work: it makes the logger, ends the work on a
// signal, and exits with a message when the program cannot start. It knows no service and reads no configuration but
// the log level.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Main is the main function of a service: it loads the configuration and runs the service until a signal. After an
// error the process ends with exit code 1.
func Main[Config any](load func() (Config, error), run func(context.Context, Config, *zap.Logger) error) {
	if err := serve(load, run); err != nil {
		Exit(1, err)
	}
}

func serve[Config any](load func() (Config, error), run func(context.Context, Config, *zap.Logger) error) error {
	config, configErr := load()
	log, logErr := Logger()
	if err := errors.Join(configErr, logErr); err != nil {
		return err
	}
	ctx, stop := Context()
	defer stop()
	return run(ctx, config, log)
}

// Context returns a context that ends with the first SIGINT or SIGTERM. From then on signals have their default
// action, so a second signal ends the process at once.
func Context() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		defer cancel()
		defer signal.Stop(signals)
		select {
		case <-signals:
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// relaxedGCPercent is the GOGC of programs that contain the emulators.
const relaxedGCPercent = 400

// RelaxGC lets the heap grow to five times its live size before a collection, instead of twice, unless GOGC is set.
// It is for programs that contain the emulators: their calls allocate much and keep little. It saves a sixth of the
// CPU time of an execution and costs some 100 MB of memory.
func RelaxGC() {
	if _, isSet := os.LookupEnv("GOGC"); !isSet {
		debug.SetGCPercent(relaxedGCPercent)
	}
}

// Logger returns a logger that writes JSON lines to standard error, from AIRLOCK_LOG_LEVEL (default info) up.
func Logger() (*zap.Logger, error) {
	return logger(zap.NewProductionConfig())
}

// ConsoleLogger returns a logger that writes lines for people.
func ConsoleLogger() (*zap.Logger, error) {
	c := zap.NewDevelopmentConfig()
	c.Development = false
	c.DisableStacktrace = true
	c.DisableCaller = true
	c.EncoderConfig.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
	return logger(c)
}

func logger(c zap.Config) (*zap.Logger, error) {
	level := zapcore.InfoLevel
	if text := os.Getenv("AIRLOCK_LOG_LEVEL"); text != "" {
		var err error
		if level, err = zapcore.ParseLevel(text); err != nil {
			return nil, errors.New("AIRLOCK_LOG_LEVEL must be debug, info, warn or error")
		}
	}
	c.Sampling = nil // no line is dropped, because the audit log must be complete
	c.Level = zap.NewAtomicLevelAt(level)
	return c.Build()
}

// Exit ends the process with the given code. It first writes err, if there is one, to standard error.
func Exit(code int, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[0], err)
	}
	os.Exit(code)
}
