// Package process is what every program of Airlock does around its work: it
// logs, ends on a signal, and says plainly why it could not start.
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

// Main is the whole of a service's main: it reads the configuration, runs the
// service until a signal, and ends the process with an exit code of 1 where
// something failed.
func Main[Config any](load func() (Config, error), run func(context.Context, Config, *zap.Logger) error) {
	if err := serve(load, run); err != nil {
		Exit(1, err)
	}
}

func serve[Config any](load func() (Config, error), run func(context.Context, Config, *zap.Logger) error) error {
	config, err := load()
	if err != nil {
		return err
	}
	log, err := Logger()
	if err != nil {
		return err
	}
	ctx, stop := Context()
	defer stop()
	return run(ctx, config, log)
}

// Context ends with the first SIGINT or SIGTERM. From then on nobody listens:
// whoever can see that the first was heard ends the process at once with the second.
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

// relaxed is the GOGC of programs that hold the data as well.
const relaxedGCPercent = 400

// RelaxGC lets the heap grow to five times what lives in it before it is
// collected, not to twice, unless GOGC says otherwise. It is for programs that
// the emulators are part of, whose every call leaves much garbage and little that
// lives: an execution takes a sixth less CPU time, for some 100 MB of memory.
func RelaxGC() {
	if _, isSet := os.LookupEnv("GOGC"); !isSet {
		debug.SetGCPercent(relaxedGCPercent)
	}
}

// Logger logs JSON lines to standard error, from AIRLOCK_LOG_LEVEL (default info) up.
func Logger() (*zap.Logger, error) {
	return logger(zap.NewProductionConfig())
}

// ConsoleLogger logs lines for people.
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
	c.Sampling = nil // no line is dropped: the audit log has to have them all
	c.Level = zap.NewAtomicLevelAt(level)
	return c.Build()
}

// Exit ends the process with the given code, after saying on standard error
// what is wrong where something is.
func Exit(code int, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[0], err)
	}
	os.Exit(code)
}
