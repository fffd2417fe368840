package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/api/reference"
	"github.com/airlock-run/airlock/internal/supervise"
)

// Clock returns the time of the store. It fails if the store does not answer, so it is the readiness check as well.
type Clock interface {
	Now(ctx context.Context) (time.Time, error)
}

// Root serves the web page to browsers and Health to everything else.
func (s *Server) Root(c echo.Context) error {
	c.Response().Header().Set(echo.HeaderVary, echo.HeaderAccept)
	if strings.Contains(c.Request().Header.Get(echo.HeaderAccept), echo.MIMETextHTML) {
		s.config.WebUI.ServeHTTP(c.Response(), c.Request())
		return nil
	}
	return s.Health(c)
}

// Health reports that the process is alive.
func (s *Server) Health(c echo.Context) error {
	return respondJSON(c, http.StatusOK, contract.Health{Status: contract.Ok, Version: s.config.Version})
}

// Ready reports whether the API can serve requests, and which dependency is missing.
func (s *Server) Ready(c echo.Context) error {
	checks := s.checkDependencies(c,
		dependency{"firestore", "Is FIRESTORE_EMULATOR_HOST right and the emulator up, or are there Google credentials?", func(ctx context.Context) error {
			_, err := s.stores.Clock.Now(ctx)
			return err
		}},
		dependency{"pubsub", "Is PUBSUB_EMULATOR_HOST right and the emulator up, or are there Google credentials?", s.queue.Check},
	)
	if err := c.Request().Context().Err(); err != nil {
		return err // what a probe that has given up does not wait for says nothing
	}
	if s.stopping.Load() {
		checks = append(checks, contract.Check{Name: "api", Detail: "is stopping"})
	}
	readiness := contract.Readiness{Ready: true, Checks: checks}
	for _, check := range checks {
		readiness.Ready = readiness.Ready && check.Ok
	}
	status := http.StatusOK
	if !readiness.Ready {
		status = http.StatusServiceUnavailable
	}
	return respondJSON(c, status, readiness)
}

// operatorError is an error that goes on until an operator acts, and says how. Its text contains no secret.
type operatorError interface {
	error
	OperatorMustAct()
}

// dependency is a service that the API needs. The advice is for the case that the probe fails.
type dependency struct {
	name, advice string
	probe        func(ctx context.Context) error
}

// checkDependencies probes all at the same time, each with its own deadline: one that does not answer must not make
// another look dead.
func (s *Server) checkDependencies(c echo.Context, all ...dependency) []contract.Check {
	checks := make([]contract.Check, len(all))
	var wg sync.WaitGroup
	for i, d := range all {
		wg.Go(func() { checks[i] = s.checkDependency(c, d) })
	}
	wg.Wait()
	return checks
}

func (s *Server) checkDependency(c echo.Context, d dependency) contract.Check {
	err := func() (err error) {
		defer supervise.RecoverTo(&err)
		ctx, cancel := storeContext(c)
		defer cancel()
		return d.probe(ctx)
	}()
	if err != nil { // the error itself is internal and only logged
		if !clientDisconnected(c, err) {
			s.log.Warn("not ready", zap.String("dependency", d.name), zap.Error(err))
		}
		if act, ok := errors.AsType[operatorError](err); ok {
			return contract.Check{Name: d.name, Detail: act.Error()}
		}
		return contract.Check{Name: d.name, Detail: "does not answer. " + d.advice}
	}
	return contract.Check{Name: d.name, Ok: true}
}

// Metrics returns the metrics of the process, unless another listener serves them.
func (s *Server) Metrics(c echo.Context) error {
	if s.config.Metrics == nil {
		return echo.ErrNotFound
	}
	s.config.Metrics.ServeHTTP(c.Response(), c.Request())
	return nil
}

// Openapi returns the contract.
func (s *Server) Openapi(c echo.Context) error {
	return c.JSONBlob(http.StatusOK, contract.JSON())
}

// referencePage is rendered once: the contract is part of the program.
var referencePage = sync.OnceValues(func() ([]byte, error) { return reference.Render(contract.JSON()) })

// Docs returns the contract as a page.
func (s *Server) Docs(c echo.Context) error {
	page, err := referencePage()
	if err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderContentSecurityPolicy, reference.ContentSecurityPolicy)
	return c.HTMLBlob(http.StatusOK, page)
}
